//! `GET /v1/usage/limits` (REST contract, section 12).

use actix_web::web;
use dormouse_protocol::ErrorBody;
use serde_json::{Map, Value};

use super::credentials::UserIdentity;
use super::endpoint::Endpoint;
use crate::app_state::AppState;
use crate::clock::unix_ms;
use crate::sync::usage;

/// The route.
pub fn endpoints() -> Vec<Endpoint> {
    vec![Endpoint::at("/v1/usage/limits").get(limits)]
}

/// The limits that one of the caller's agents was told of, as it told them, with `lastUpdatedAt`
/// (Unix milliseconds). `limitsAvailable` is false where nothing is known.
#[utoipa::path(
    get, path = "/v1/usage/limits", operation_id = "usage_limits", tag = "usage", security(("userToken" = [])),
    responses(
        (status = 200, description = "The limits", body = Object),
        (status = 401, description = "No token, or a bad one", body = ErrorBody),
    )
)]
pub async fn limits(
    user: UserIdentity,
    state: web::Data<AppState>,
) -> web::Json<Map<String, Value>> {
    let account = user.0.user;
    let read = state
        .database
        .read(async move |reader| usage::limits(reader, &account).await);
    // A failure is no reason for an error here: clients show the limits beside other things.
    let stored = read.await.unwrap_or_else(|err| {
        tracing::warn!(%err, "cannot read usage limits");
        None
    });
    let known = stored.and_then(|(json, updated_at)| {
        let limits: Map<String, Value> = serde_json::from_str(&json).ok()?;
        Some((limits, Value::from(updated_at)))
    });
    let (mut limits, updated_at) = known.unwrap_or_else(|| {
        let mut none = Map::new();
        none.insert("limitsAvailable".to_owned(), false.into());
        none.insert("weeklyLimits".to_owned(), Value::Array(Vec::new()));
        (none, unix_ms().into())
    });
    limits.insert("lastUpdatedAt".to_owned(), updated_at);
    web::Json(limits)
}
