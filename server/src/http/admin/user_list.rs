//! `GET /admin/v1/users`.

use std::collections::BTreeMap;

use actix_web::{HttpRequest, web};
use dormouse_protocol::ErrorBody;
use dormouse_protocol::stats::{ByType, ShardState, ShardStats};
use dormouse_shard::command::ShardQuery;
use serde::Serialize;
use utoipa::{IntoParams, ToSchema};

use super::find_tier;
use super::shard_page::PageQuery;
use crate::app_state::AppState;
use crate::http::credentials::AdminIdentity;
use crate::http::errors::ApiError;
use crate::http::query::Query;

/// One page of users.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct UsersAnswer {
    /// The users, in the order that was asked for.
    users: Vec<UserSummary>,
    /// What to give as `cursor` for the next page; null on the last.
    next_cursor: Option<String>,
    /// How many users the query chooses, on all pages.
    total: u64,
}

/// A user as the sum of the user's shards.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct UserSummary {
    /// The account id.
    user: String,
    /// The tier that caps the user.
    tier: String,
    /// Shards, asleep or awake.
    shards: u64,
    /// Of those, awake.
    awake: u64,
    /// Open connections.
    connections: u64,
    /// The same, by client type.
    by_type: ByType,
    /// The smallest `connectedAt`, Unix milliseconds.
    oldest_connection: Option<u64>,
    /// When a shard last had an event, Unix milliseconds.
    last_activity_at: u64,
    /// Bytes that wait for clients that read slowly.
    queued_bytes: u64,
    /// Connections refused at the cap, as long as the shards remember.
    rejected: u64,
}

/// What the query may hold. This is its description; [`Query`] reads it.
#[derive(Clone, Debug, IntoParams)]
#[into_params(parameter_in = Query, rename_all = "camelCase")]
#[expect(dead_code, reason = "describes the query, and is not made")]
struct UsersParams {
    /// Only users whose id contains this.
    #[param(nullable = false)]
    search: Option<String>,
    /// Only users of this tier.
    #[param(nullable = false)]
    tier: Option<String>,
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
    /// How many users to show.
    #[param(nullable = false, minimum = 1, maximum = 500, default = 50)]
    limit: Option<u32>,
}

/// Users with a connection, page by page. Wakes no shard.
#[utoipa::path(
    get, path = "/admin/v1/users", tag = "admin", security(("adminToken" = [])),
    params(UsersParams),
    responses(
        (status = 200, description = "A page of users", body = UsersAnswer),
        (status = 400, description = "A parameter that cannot be used, or a bad cursor",
         body = ErrorBody),
        (status = 401, description = "No token, or a bad one", body = ErrorBody),
        (status = 403, description = "A user's token", body = ErrorBody),
    )
)]
pub async fn users(
    _: AdminIdentity,
    state: web::Data<AppState>,
    request: HttpRequest,
) -> Result<web::Json<UsersAnswer>, ApiError> {
    let query = Query::new(request.query_string());
    let tier = query.text("tier")?;
    if let Some(tier) = tier {
        find_tier(&state.workers, tier)?;
    }
    let page = PageQuery::read(&query)?;
    let chosen = ShardQuery {
        user: query.text("search")?.map(str::to_owned),
        tier: tier.map(str::to_owned),
        state: None,
    };
    let (sums, mut counts) = by_user(state.workers.list(&chosen).await);
    let total = sums.len() as u64;
    let (sums, next_cursor) = page.page(sums);
    let users = sums.into_iter().map(|sum| {
        let (shards, awake) = counts.remove(&sum.user).unwrap_or_default();
        UserSummary {
            user: sum.user,
            tier: sum.tier,
            shards,
            awake,
            connections: sum.connections,
            by_type: sum.by_type,
            oldest_connection: sum.oldest_connection,
            last_activity_at: sum.last_activity_at,
            queued_bytes: sum.queued_bytes,
            rejected: sum.rejected,
        }
    });
    Ok(web::Json(UsersAnswer {
        users: users.collect(),
        next_cursor,
        total,
    }))
}

/// One sum for each user, in the form that pages order, and how many shards are in it and awake.
fn by_user(shards: Vec<ShardStats>) -> (Vec<ShardStats>, BTreeMap<String, (u64, u64)>) {
    let mut sums: BTreeMap<String, ShardStats> = BTreeMap::new();
    let mut counts: BTreeMap<String, (u64, u64)> = BTreeMap::new();
    for shard in shards {
        let count = counts.entry(shard.user.clone()).or_default();
        count.0 += 1;
        count.1 += u64::from(shard.state == ShardState::Awake);
        match sums.get_mut(&shard.user) {
            None => {
                let name = shard.user.clone();
                let sum = ShardStats {
                    shard: name.clone(),
                    ..shard
                };
                sums.insert(name, sum);
            }
            Some(sum) => {
                sum.connections += shard.connections;
                sum.by_type.add(&shard.by_type);
                sum.queued_bytes += shard.queued_bytes;
                sum.queued_frames += shard.queued_frames;
                sum.rejected += shard.rejected;
                sum.last_activity_at = sum.last_activity_at.max(shard.last_activity_at);
                sum.oldest_connection = [sum.oldest_connection, shard.oldest_connection]
                    .into_iter()
                    .flatten()
                    .min();
            }
        }
    }
    (sums.into_values().collect(), counts)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shard(user: &str, number: u16, state: ShardState, connections: u64) -> ShardStats {
        ShardStats {
            shard: format!("{user}-{number}"),
            user: user.to_owned(),
            tier: "pro".to_owned(),
            state,
            worker: 0,
            connections,
            by_type: ByType {
                user_scoped: connections,
                ..ByType::default()
            },
            oldest_connection: Some(100 - connections),
            last_activity_at: connections,
            queued_bytes: 1,
            queued_frames: 1,
            rejected: 2,
            sleeps: 0,
            wakes: 0,
        }
    }

    #[test]
    fn shards_of_a_user_add_up() {
        let (sums, counts) = by_user(vec![
            shard("a", 1, ShardState::Asleep, 5),
            shard("b", 0, ShardState::Awake, 1),
            shard("a", 0, ShardState::Awake, 7),
        ]);
        let a = &sums[0];
        assert_eq!((&*a.user, &*a.shard, a.connections), ("a", "a", 12));
        assert_eq!((a.oldest_connection, a.last_activity_at), (Some(93), 7));
        assert_eq!((a.queued_bytes, a.rejected), (2, 4));
        assert_eq!(a.by_type.user_scoped, 12);
        assert_eq!(counts["a"], (2, 1));
        assert_eq!(counts["b"], (1, 1));
        assert_eq!(sums.len(), 2);
    }
}
