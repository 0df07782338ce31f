//! `GET /v1/websocket/stats`.

use actix_web::web;
use dormouse_protocol::ErrorBody;
use dormouse_protocol::stats::HubStats;

use crate::app_state::AppState;
use crate::http::credentials::UserIdentity;
use crate::metrics::process;

/// Statistics of the caller's connections.
///
/// Does not wait behind messages, and wakes no shard.
#[utoipa::path(
    get, path = "/v1/websocket/stats", tag = "user", security(("userToken" = [])),
    responses(
        (status = 200, description = "Connections and shards of the caller", body = HubStats),
        (status = 401, description = "No token, or a bad one", body = ErrorBody),
    )
)]
pub async fn stats(user: UserIdentity, state: web::Data<AppState>) -> web::Json<HubStats> {
    let mut stats = state.workers.stats(&user.0.user).await;
    stats.memory_usage = process::resident_bytes();
    web::Json(stats)
}
