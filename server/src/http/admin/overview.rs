//! `GET /admin/v1/overview`.

use std::collections::BTreeMap;

use actix_web::web;
use dormouse_protocol::ErrorBody;
use dormouse_protocol::stats::ByType;
use dormouse_shard::report::WorkerReport;
use dormouse_shard::tier::Tiers;
use serde::Serialize;
use utoipa::ToSchema;

use crate::app_state::{AppState, VERSION};
use crate::http::credentials::AdminIdentity;
use crate::metrics::process;

/// The whole server at a glance.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Overview {
    /// The server's version.
    version: &'static str,
    /// Since the start, milliseconds.
    uptime_ms: u64,
    /// Resident bytes of the process, where the system tells.
    memory_bytes: Option<u64>,
    /// Whether no more connections are taken.
    draining: bool,
    /// Authenticated connections.
    connections: u64,
    /// The same, by client type.
    by_type: ByType,
    /// Connections that have yet to authenticate.
    pending: u64,
    /// Users with a connection.
    users: u64,
    /// Shards, by state.
    shards: ShardCounts,
    /// Each worker.
    workers: Vec<WorkerOverview>,
    /// Each configured tier.
    tiers: Vec<TierOverview>,
    /// Refused connections since the start.
    rejections: Vec<Rejection>,
}

/// Numbers of shards.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, ToSchema)]
pub struct ShardCounts {
    /// All of them.
    total: u64,
    /// With their attachments in memory.
    awake: u64,
    /// With their attachments in the store.
    asleep: u64,
}

/// One worker.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct WorkerOverview {
    /// Its index.
    id: usize,
    /// Shards that it owns.
    shards: u64,
    /// Their connections.
    connections: u64,
    /// Bytes that wait for clients that read slowly.
    queued_bytes: u64,
}

/// One tier.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct TierOverview {
    /// Its name.
    name: String,
    /// Connections that one of its users may have.
    limit: u32,
    /// Its users with a connection.
    users: u64,
    /// Their connections.
    connections: u64,
    /// Connections refused to its users since the start.
    rejected: u64,
}

/// Refused connections of one kind.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, ToSchema)]
pub struct Rejection {
    /// The user's tier; null where the refusal came before it was known.
    tier: Option<String>,
    /// A word from a closed set.
    #[schema(value_type = String, example = "connection_limit")]
    reason: &'static str,
    /// How many.
    count: u64,
}

/// The whole server at a glance. Wakes no shard.
#[utoipa::path(
    get, path = "/admin/v1/overview", tag = "admin", security(("adminToken" = [])),
    responses(
        (status = 200, description = "Connections, shards, workers, tiers, refusals",
         body = Overview),
        (status = 401, description = "No token, or a bad one", body = ErrorBody),
        (status = 403, description = "A user's token", body = ErrorBody),
    )
)]
pub async fn overview(_: AdminIdentity, state: web::Data<AppState>) -> web::Json<Overview> {
    let reports = state.workers.report(0).await;
    let mut overview = summary(&reports, state.workers.tiers(), state.refused.all());
    overview.uptime_ms = u64::try_from(state.started.elapsed().as_millis()).unwrap_or(u64::MAX);
    overview.memory_bytes = process::resident_bytes();
    overview.draining = state.workers.is_draining();
    web::Json(overview)
}

/// What the workers' reports and the refused handshakes add up to.
fn summary(
    reports: &[WorkerReport],
    tiers: &Tiers,
    refused: BTreeMap<&'static str, u64>,
) -> Overview {
    let sum = |of: fn(&WorkerReport) -> u64| reports.iter().map(of).sum::<u64>();
    let mut by_type = ByType::default();
    reports
        .iter()
        .for_each(|report| by_type.add(&report.by_type));
    let (total, awake) = (sum(|report| report.shards), sum(|report| report.awake));
    let mut rejections: BTreeMap<(Option<&str>, &'static str), u64> = BTreeMap::new();
    for (reason, count) in refused {
        *rejections.entry((None, reason)).or_default() += count;
    }
    for report in reports {
        let counters = &report.counters;
        for ((tier, reason), count) in &counters.rejected {
            // A shard that refuses for a reason of the server's own names no tier.
            let tier = Some(tier.as_str()).filter(|tier| !tier.is_empty());
            *rejections.entry((tier, reason)).or_default() += count;
        }
        for (reason, count) in &counters.lobby_refused {
            *rejections.entry((None, reason)).or_default() += count;
        }
    }
    let tiers = tiers.iter().map(|(id, tier)| {
        let used = || {
            reports
                .iter()
                .filter_map(|report| report.tiers.get(id.index()))
        };
        let is_its = |name: &Option<&str>| *name == Some(&*tier.name);
        TierOverview {
            name: tier.name.to_string(),
            limit: tier.limit(),
            users: used().map(|used| used.users).sum(),
            connections: used().map(|used| used.connections).sum(),
            rejected: rejections
                .iter()
                .filter_map(|((name, _), count)| is_its(name).then_some(count))
                .sum(),
        }
    });
    Overview {
        version: VERSION,
        uptime_ms: 0,
        memory_bytes: None,
        draining: false,
        connections: sum(|report| report.connections),
        by_type,
        pending: sum(|report| report.pending),
        users: sum(|report| report.users),
        shards: ShardCounts {
            total,
            awake,
            asleep: total - awake,
        },
        workers: reports.iter().map(WorkerOverview::from).collect(),
        tiers: tiers.collect(),
        rejections: rejections
            .iter()
            .map(|((tier, reason), count)| Rejection {
                tier: tier.map(str::to_owned),
                reason,
                count: *count,
            })
            .collect(),
    }
}

impl From<&WorkerReport> for WorkerOverview {
    fn from(report: &WorkerReport) -> Self {
        Self {
            id: report.id,
            shards: report.shards,
            connections: report.connections,
            queued_bytes: report.queued_bytes,
        }
    }
}

#[cfg(test)]
mod tests {
    use dormouse_shard::report::TierUse;
    use dormouse_shard::tier::Tier;

    use super::*;

    #[test]
    fn workers_add_up_and_refusals_are_kept_apart() {
        let tier = |name: &str| Tier {
            name: name.into(),
            connections_per_shard: 5,
            max_shards: 2,
        };
        let tiers = Tiers::new(vec![tier("free"), tier("pro")], "free").unwrap();
        let used = |users, connections| TierUse { users, connections };
        let mut first = WorkerReport {
            shards: 3,
            awake: 1,
            users: 2,
            connections: 7,
            pending: 1,
            queued_bytes: 10,
            tiers: vec![used(2, 4), used(0, 3)],
            ..WorkerReport::default()
        };
        let rejected = |tier: &str, reason| (tier.to_owned(), reason);
        let limit = "connection_limit";
        first.counters.rejected =
            [(rejected("free", limit), 2), (rejected("", "draining"), 1)].into();
        let mut second = WorkerReport {
            id: 1,
            shards: 1,
            awake: 1,
            users: 1,
            connections: 1,
            tiers: vec![used(0, 0), used(1, 1)],
            ..WorkerReport::default()
        };
        second.counters.rejected = [(rejected("free", limit), 3)].into();
        second.counters.lobby_refused = [("auth_timeout", 4)].into();
        let refused = [("token", 5), ("draining", 6)].into();
        let overview = summary(&[first, second], &tiers, refused);
        assert_eq!(
            overview.shards,
            ShardCounts {
                total: 4,
                awake: 2,
                asleep: 2
            }
        );
        assert_eq!(
            (overview.connections, overview.users, overview.pending),
            (8, 3, 1)
        );
        let tiers: Vec<_> = overview
            .tiers
            .iter()
            .map(|tier| {
                (
                    &*tier.name,
                    tier.limit,
                    tier.users,
                    tier.connections,
                    tier.rejected,
                )
            })
            .collect();
        assert_eq!(tiers, [("free", 10, 2, 4, 5), ("pro", 10, 1, 4, 0)]);
        let rejections: Vec<_> = overview
            .rejections
            .iter()
            .map(|rejection| (rejection.tier.as_deref(), rejection.reason, rejection.count))
            .collect();
        assert_eq!(
            rejections,
            [
                (None, "auth_timeout", 4),
                (None, "draining", 7),
                (None, "token", 5),
                (Some("free"), limit, 5),
            ]
        );
    }
}
