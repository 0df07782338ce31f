//! `GET /admin/v1/audit`, and how actions are put on record.

use actix_web::http::StatusCode;
use actix_web::{HttpRequest, web};
use dormouse_protocol::ErrorBody;
use serde::Serialize;
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};

use crate::app_state::AppState;
use crate::audit::{AuditAction, AuditEntry, OpenEntry};
use crate::http::credentials::AdminIdentity;
use crate::http::errors::ApiError;
use crate::http::query::Query;

/// Most entries of a page.
const MOST: u64 = 200;
/// Entries of a page when the caller names no number.
const USUAL: u64 = 50;

/// Puts an action on record before it is done.
///
/// # Errors
/// 503 when it cannot be written: what cannot be recorded is not done.
pub async fn on_record(
    state: &AppState,
    admin: &AdminIdentity,
    action: AuditAction,
    target: impl Into<String>,
    detail: Value,
) -> Result<OpenEntry, ApiError> {
    let begun = state.audit.begin(&admin.0.user, action, target, detail);
    begun.await.map_err(|err| {
        tracing::error!(%err, "cannot write the audit log");
        let text = "the audit log cannot be written, and nothing has been done; make room in the \
                    data folder or repair it, then try again";
        ApiError::new(StatusCode::SERVICE_UNAVAILABLE, text)
    })
}

/// Records how an action on record ended, and passes its outcome on.
///
/// # Errors
/// That of the action.
pub async fn ended<T>(
    entry: OpenEntry,
    outcome: Result<T, ApiError>,
    result: impl FnOnce(&T) -> Value,
) -> Result<T, ApiError> {
    match &outcome {
        Ok(done) => entry.done(result(done)).await,
        Err(err) => entry.failed(err).await,
    }
    outcome
}

/// A part of the audit log.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct AuditAnswer {
    /// What admins did, newest first.
    entries: Vec<AuditEntry>,
    /// What to give as `before` for older entries; null where these are all that are kept at hand.
    next_before: Option<u64>,
}

/// What the query may hold. This is its description; [`Query`] reads it.
#[derive(Clone, Debug, IntoParams)]
#[into_params(parameter_in = Query, rename_all = "camelCase")]
#[expect(dead_code, reason = "describes the query, and is not made")]
struct AuditParams {
    /// Only entries with a lower number.
    #[param(nullable = false)]
    before: Option<u64>,
    /// How many entries to show.
    #[param(nullable = false, minimum = 1, maximum = 200, default = 50)]
    limit: Option<u32>,
}

/// What admins did. The newest 1,000 actions are shown; older ones are in the files
/// `audit.jsonl` and `audit.jsonl.1` of the data folder.
#[utoipa::path(
    get, path = "/admin/v1/audit", tag = "admin", security(("adminToken" = [])),
    params(AuditParams),
    responses(
        (status = 200, description = "Actions, newest first", body = AuditAnswer),
        (status = 400, description = "A parameter that cannot be used", body = ErrorBody),
        (status = 401, description = "No token, or a bad one", body = ErrorBody),
        (status = 403, description = "A user's token", body = ErrorBody),
    )
)]
pub async fn audit(
    _: AdminIdentity,
    state: web::Data<AppState>,
    request: HttpRequest,
) -> Result<web::Json<AuditAnswer>, ApiError> {
    let query = Query::new(request.query_string());
    let before = query.number("before", 0..=u64::MAX)?;
    let limit = query.number("limit", 1..=MOST)?.unwrap_or(USUAL) as usize;
    let mut entries = state.audit.newest(before, limit + 1);
    let has_more = entries.len() > limit;
    entries.truncate(limit);
    let last = entries.last().map(|entry| entry.id);
    Ok(web::Json(AuditAnswer {
        entries,
        next_before: last.filter(|_| has_more),
    }))
}
