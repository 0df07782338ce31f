//! `GET /admin/v1/shards`.

use actix_web::{HttpRequest, web};
use dormouse_protocol::ErrorBody;
use dormouse_protocol::stats::{ShardState, ShardStats};
use dormouse_shard::command::ShardQuery;
use serde::Serialize;
use utoipa::{IntoParams, ToSchema};

use super::find_tier;
use super::shard_page::PageQuery;
use crate::app_state::AppState;
use crate::http::credentials::AdminIdentity;
use crate::http::errors::ApiError;
use crate::http::query::Query;

/// One page of shards.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ShardsAnswer {
    /// The shards, in the order that was asked for.
    shards: Vec<ShardStats>,
    /// What to give as `cursor` for the next page; null on the last.
    next_cursor: Option<String>,
}

/// What the query of a list of shards may hold. This is its description; [`Query`] reads it.
#[derive(Clone, Debug, IntoParams)]
#[into_params(parameter_in = Query, rename_all = "camelCase")]
#[expect(dead_code, reason = "describes the query, and is not made")]
struct ShardsParams {
    /// Only shards of users whose id contains this.
    #[param(nullable = false)]
    user: Option<String>,
    /// Only shards of users of this tier.
    #[param(nullable = false)]
    tier: Option<String>,
    /// Only shards in this state.
    #[param(inline, nullable = false)]
    state: Option<ShardState>,
    /// Only shards of the worker with this index.
    #[param(nullable = false)]
    worker: Option<usize>,
    /// `connections`, `lastActivity`, `queuedBytes`, `rejected` or `name`; with a `-` in front,
    /// from high to low. Ties are in the order of names.
    #[param(
        nullable = false,
        default = "-connections",
        pattern = "^-?(connections|lastActivity|queuedBytes|rejected|name)$"
    )]
    sort: Option<String>,
    /// The `nextCursor` of the page before, asked for with the same `sort`.
    #[param(nullable = false)]
    cursor: Option<String>,
    /// How many shards to show.
    #[param(nullable = false, minimum = 1, maximum = 500, default = 50)]
    limit: Option<u32>,
}

/// Shards, page by page. Wakes none of them.
///
/// Numbers change while pages are read: a shard that moves in the order may be seen twice or not
/// at all, others are seen once.
#[utoipa::path(
    get, path = "/admin/v1/shards", tag = "admin", security(("adminToken" = [])),
    params(ShardsParams),
    responses(
        (status = 200, description = "A page of shards", body = ShardsAnswer),
        (status = 400, description = "A parameter that cannot be used, or a bad cursor",
         body = ErrorBody),
        (status = 401, description = "No token, or a bad one", body = ErrorBody),
        (status = 403, description = "A user's token", body = ErrorBody),
    )
)]
pub async fn shards(
    _: AdminIdentity,
    state: web::Data<AppState>,
    request: HttpRequest,
) -> Result<web::Json<ShardsAnswer>, ApiError> {
    let query = Query::new(request.query_string());
    let tier = query.text("tier")?;
    if let Some(tier) = tier {
        find_tier(&state.workers, tier)?;
    }
    let last_worker = state.workers.count().saturating_sub(1) as u64;
    let worker = query.number("worker", 0..=last_worker)?;
    let page = PageQuery::read(&query)?;
    let chosen = ShardQuery {
        user: query.text("user")?.map(str::to_owned),
        tier: tier.map(str::to_owned),
        state: query.text("state")?.map(read_state).transpose()?,
    };
    let mut shards = state.workers.list(&chosen).await;
    shards.retain(|shard| worker.is_none_or(|worker| shard.worker as u64 == worker));
    let (shards, next_cursor) = page.page(shards);
    Ok(web::Json(ShardsAnswer {
        shards,
        next_cursor,
    }))
}

fn read_state(text: &str) -> Result<ShardState, ApiError> {
    match text {
        "awake" => Ok(ShardState::Awake),
        "asleep" => Ok(ShardState::Asleep),
        _ => Err(ApiError::validation("state must be awake or asleep")),
    }
}
