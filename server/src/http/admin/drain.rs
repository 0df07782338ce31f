//! `POST /admin/v1/drain`.

use std::time::Duration;

use actix_web::web;
use dormouse_protocol::ErrorBody;
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::ToSchema;

use super::audit::on_record;
use crate::app_state::AppState;
use crate::audit::AuditAction;
use crate::http::credentials::AdminIdentity;
use crate::http::errors::ApiError;
use crate::http::json_body::JsonBody;

/// Longest time over which connections are closed: an hour.
const MOST_MS: u64 = 3_600_000;

/// How to drain.
#[derive(Clone, Debug, Default, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct DrainRequest {
    /// Over how many milliseconds to close the connections, so that clients do not come back all
    /// at once; 0, at once, if absent.
    #[schema(nullable = false, maximum = 3_600_000, default = 0)]
    over_ms: Option<u64>,
}

/// What has begun.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct DrainAnswer {
    /// Always true.
    #[schema(example = true)]
    success: bool,
    /// Over how many milliseconds the connections are being closed.
    over_ms: u64,
}

/// Takes no more connections, and closes the open ones over a time. There is no way back but a
/// restart.
///
/// `/ready` answers 503 from now on. HTTP is still served.
#[utoipa::path(
    post, path = "/admin/v1/drain", tag = "admin", security(("adminToken" = [])),
    request_body(content = Option<DrainRequest>, description = "May be absent"),
    responses(
        (status = 200, description = "Draining has begun", body = DrainAnswer),
        (status = 400, description = "Not such a body, or too long a time", body = ErrorBody),
        (status = 401, description = "No token, or a bad one", body = ErrorBody),
        (status = 403, description = "A user's token", body = ErrorBody),
        (status = 413, description = "The body is too large", body = ErrorBody),
        (status = 503, description = "The audit log cannot be written; nothing was done",
         body = ErrorBody),
    )
)]
pub async fn drain(
    admin: AdminIdentity,
    state: web::Data<AppState>,
    body: JsonBody,
) -> Result<web::Json<DrainAnswer>, ApiError> {
    let request: DrainRequest = body.read_or_default()?;
    let over_ms = request.over_ms.unwrap_or(0);
    if over_ms > MOST_MS {
        let text = format!("overMs must be a whole number from 0 to {MOST_MS}");
        return Err(ApiError::validation(text));
    }
    let detail = json!({"overMs": over_ms});
    let entry = on_record(&state, &admin, AuditAction::Drain, "server", detail).await?;
    state.workers.drain(Duration::from_millis(over_ms));
    entry.done(json!({})).await;
    tracing::info!(admin = %admin.0.user, over_ms, "an admin drains the server");
    Ok(web::Json(DrainAnswer {
        success: true,
        over_ms,
    }))
}
