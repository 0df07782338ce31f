//! `DELETE /admin/v1/connections/{id}` and `POST /admin/v1/users/{id}/disconnect`.

use actix_web::{HttpRequest, web};
use dormouse_protocol::{CloseCode, ConnectionId, ErrorBody};
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::{IntoParams, ToSchema};

use super::audit::on_record;
use crate::app_state::AppState;
use crate::audit::AuditAction;
use crate::http::credentials::AdminIdentity;
use crate::http::errors::ApiError;
use crate::http::json_body::JsonBody;
use crate::http::query::Query;

/// Longest reason in a close frame, bytes (RFC 6455 section 5.5).
const MOST_REASON_BYTES: usize = 123;
/// What clients are told when the admin gives no reason.
const USUAL_REASON: &str = "closed by an administrator";

/// What the close frame says, in the body or in the query; the body wins, field by field.
#[derive(Clone, Debug, Default, Deserialize, ToSchema, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct Closing {
    /// A close code that may be sent; 1008, if absent.
    #[schema(nullable = false, minimum = 1000, maximum = 4999, default = 1008)]
    #[param(nullable = false, minimum = 1000, maximum = 4999, default = 1008)]
    code: Option<u64>,
    /// A text of at most 123 bytes.
    #[schema(nullable = false, max_length = 123)]
    #[param(nullable = false, max_length = 123)]
    reason: Option<String>,
}

impl Closing {
    fn read(body: &JsonBody, query: &str) -> Result<(CloseCode, String), ApiError> {
        let query = Query::new(query);
        let Self { code, reason } = body.read_or_default()?;
        let code = code.map_or_else(|| query.number("code", 0..=u64::MAX), |code| Ok(Some(code)));
        let reason = match reason {
            Some(reason) => Some(reason),
            None => query.text("reason")?.map(str::to_owned),
        };
        Ok((
            code?.map_or(Ok(CloseCode::POLICY), close_code)?,
            reason.map_or_else(|| Ok(USUAL_REASON.to_owned()), checked_reason)?,
        ))
    }
}

fn close_code(code: u64) -> Result<CloseCode, ApiError> {
    let sendable = u16::try_from(code).ok().and_then(CloseCode::sendable);
    sendable.ok_or_else(|| {
        ApiError::validation(
            "code must be a close code that may be sent: 1000 to 1003, 1007 to 1014 or 3000 to \
             4999",
        )
    })
}

fn checked_reason(reason: String) -> Result<String, ApiError> {
    if reason.len() <= MOST_REASON_BYTES {
        return Ok(reason);
    }
    let length = reason.len();
    Err(ApiError::validation(format!(
        "reason has {length} bytes; a close frame takes {MOST_REASON_BYTES}"
    )))
}

/// How many connections were closed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct ClosedAnswer {
    /// Always true.
    #[schema(example = true)]
    success: bool,
    /// Connections that were open and are closing now.
    closed: u64,
}

/// Closes one connection.
#[utoipa::path(
    delete, path = "/admin/v1/connections/{id}", tag = "admin", security(("adminToken" = [])),
    params(("id" = String, Path, description = "The connection's id"), Closing),
    request_body(content = Option<Closing>, description = "Code and reason; may be absent"),
    responses(
        (status = 200, description = "The connection is closing", body = ClosedAnswer),
        (status = 400, description = "A code that may not be sent, or too long a reason",
         body = ErrorBody),
        (status = 401, description = "No token, or a bad one", body = ErrorBody),
        (status = 403, description = "A user's token", body = ErrorBody),
        (status = 404, description = "No such connection", body = ErrorBody),
        (status = 413, description = "The body is too large", body = ErrorBody),
        (status = 503, description = "The audit log cannot be written; nothing was done",
         body = ErrorBody),
    )
)]
pub async fn close_connection(
    admin: AdminIdentity,
    state: web::Data<AppState>,
    path: web::Path<String>,
    request: HttpRequest,
    body: JsonBody,
) -> Result<web::Json<ClosedAnswer>, ApiError> {
    let (code, reason) = Closing::read(&body, request.query_string())?;
    let unknown = || ApiError::not_found("there is no connection of this id");
    let id = ConnectionId::parse(&path).ok_or_else(unknown)?;
    let detail = json!({"code": code.as_u16(), "reason": reason});
    let action = AuditAction::CloseConnection;
    let entry = on_record(&state, &admin, action, id.to_string(), detail).await?;
    if !state.workers.close_connection(id, code, &reason).await {
        entry.failed(&"no such connection").await;
        return Err(unknown());
    }
    entry.done(json!({"closed": 1})).await;
    tracing::info!(
        admin = %admin.0.user, connection = %id, code = code.as_u16(),
        "an admin closed a connection"
    );
    Ok(web::Json(ClosedAnswer {
        success: true,
        closed: 1,
    }))
}

/// Closes all connections of a user.
#[utoipa::path(
    post, path = "/admin/v1/users/{id}/disconnect", tag = "admin",
    security(("adminToken" = [])),
    params(("id" = String, Path, description = "The account id"), Closing),
    request_body(content = Option<Closing>, description = "Code and reason; may be absent"),
    responses(
        (status = 200, description = "The connections are closing", body = ClosedAnswer),
        (status = 400, description = "A code that may not be sent, or too long a reason",
         body = ErrorBody),
        (status = 401, description = "No token, or a bad one", body = ErrorBody),
        (status = 403, description = "A user's token", body = ErrorBody),
        (status = 404, description = "The user has no connection", body = ErrorBody),
        (status = 413, description = "The body is too large", body = ErrorBody),
        (status = 503, description = "The audit log cannot be written; nothing was done",
         body = ErrorBody),
    )
)]
pub async fn disconnect_user(
    admin: AdminIdentity,
    state: web::Data<AppState>,
    path: web::Path<String>,
    request: HttpRequest,
    body: JsonBody,
) -> Result<web::Json<ClosedAnswer>, ApiError> {
    let (code, reason) = Closing::read(&body, request.query_string())?;
    let user = path.into_inner();
    let detail = json!({"code": code.as_u16(), "reason": reason});
    let entry = on_record(&state, &admin, AuditAction::DisconnectUser, &*user, detail).await?;
    let closed = state.workers.disconnect(&user, code, &reason).await;
    if closed == 0 {
        entry.failed(&"the user has no connection").await;
        return Err(ApiError::not_found("this user has no connection"));
    }
    entry.done(json!({"closed": closed})).await;
    tracing::info!(
        admin = %admin.0.user, user, closed, code = code.as_u16(), "an admin disconnected a user"
    );
    Ok(web::Json(ClosedAnswer {
        success: true,
        closed,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_codes_that_may_be_sent_are_taken() {
        for code in [1000, 1008, 1012, 3000, 4999] {
            assert_eq!(
                close_code(code).map(CloseCode::as_u16).ok(),
                Some(code as u16)
            );
        }
        for code in [
            0,
            999,
            1005,
            1006,
            1015,
            2999,
            5000,
            65_536 + 1000,
            u64::MAX,
        ] {
            assert!(close_code(code).is_err(), "{code}");
        }
    }

    #[test]
    fn reasons_are_bounded_in_bytes() {
        assert!(checked_reason("é".repeat(61)).is_ok());
        let err = checked_reason("é".repeat(62)).unwrap_err().to_string();
        assert!(err.contains("124") && err.contains("123"), "{err}");
    }
}
