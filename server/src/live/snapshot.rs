//! All that the feed shows, at one moment: gauges, and counters since the start.

use dormouse_shard::counters::Histogram;
use dormouse_shard::report::{ShardCounters, WorkerReport};

use crate::app_state::AppState;
use crate::clock::unix_ms;
use crate::metrics::labels::AT_THE_CAP;
use crate::metrics::process;

/// The server at one moment.
#[derive(Clone, Debug, Default)]
pub(super) struct Snapshot {
    /// Unix milliseconds.
    pub at: u64,
    pub users: u64,
    pub connections: u64,
    pub pending: u64,
    pub awake: u64,
    pub asleep: u64,
    pub queued_bytes: u64,
    pub memory: Option<u64>,
    /// Messages of clients, since the start.
    pub received: u64,
    /// Frames to clients, since the start.
    pub sent: u64,
    /// Connections and handshakes refused, since the start.
    pub refused: u64,
    pub delivery: Histogram,
    pub workers: Vec<WorkerSnapshot>,
    pub tiers: Vec<TierSnapshot>,
    pub events: EventSnapshot,
}

/// Call events.
#[derive(Clone, Debug, Default)]
pub(super) struct EventSnapshot {
    pub subscribers: u64,
    /// Calls that are not over.
    pub active_calls: u64,
    /// Events published, since the start.
    pub published: u64,
    /// One for each event and subscriber, since the start.
    pub delivered: u64,
    /// Those that a subscriber did not take, since the start.
    pub dropped: u64,
    /// From accepting an event to having handed it to a subscriber.
    pub delivery: Histogram,
}

/// One worker.
#[derive(Clone, Debug, Default)]
pub(super) struct WorkerSnapshot {
    pub id: usize,
    pub connections: u64,
    pub shards: u64,
    pub awake: u64,
    pub queued_bytes: u64,
    /// Since the start of its thread, microseconds.
    pub processor_us: u64,
}

/// One tier, in the order of the configuration.
#[derive(Clone, Debug, Default)]
pub(super) struct TierSnapshot {
    pub users: u64,
    pub connections: u64,
    pub accepted: u64,
    /// Refused at the cap: what the tier says, and so no broken promise.
    pub at_the_cap: u64,
    /// Refused for a reason of the server's own.
    pub turned_away: u64,
    pub delivery: Histogram,
    pub late: u64,
}

impl Snapshot {
    /// Asks every worker once.
    pub async fn take(state: &AppState) -> Self {
        let reports = state.workers.report(0).await;
        let names: Vec<&str> = state
            .workers
            .tiers()
            .iter()
            .map(|(_, tier)| &*tier.name)
            .collect();
        let handshakes = state.refused.all().values().sum();
        let mut snapshot = Self::of(&reports, &names, handshakes);
        snapshot.at = unix_ms();
        snapshot.memory = process::resident_bytes();
        snapshot.events.published = state.events.counters.all_published();
        snapshot.events.active_calls = state.events.counters.active();
        snapshot
    }

    /// The sum of what workers report. `handshakes` were refused before a worker heard of them.
    fn of(reports: &[WorkerReport], tiers: &[&str], handshakes: u64) -> Self {
        let mut counters = ShardCounters::default();
        let mut snapshot = Self {
            refused: handshakes,
            ..Self::default()
        };
        for report in reports {
            counters.merge(&report.counters);
            snapshot.users += report.users;
            snapshot.connections += report.connections;
            snapshot.pending += report.pending;
            snapshot.awake += report.awake;
            snapshot.asleep += report.shards.saturating_sub(report.awake);
            snapshot.queued_bytes += report.queued_bytes;
            snapshot.received += report.counters.messages + report.io.pings;
            snapshot.sent += report.io.frames_out;
            snapshot.events.subscribers += report.subscribers;
            snapshot.events.dropped += report.io.events_dropped;
            snapshot.workers.push(WorkerSnapshot {
                id: report.id,
                connections: report.connections,
                shards: report.shards,
                awake: report.awake,
                queued_bytes: report.queued_bytes,
                processor_us: u64::try_from(report.processor_time.as_micros()).unwrap_or(u64::MAX),
            });
        }
        snapshot.refused += counters.rejected.values().sum::<u64>();
        snapshot.refused += counters.lobby_refused.values().sum::<u64>();
        snapshot.tiers = tiers
            .iter()
            .enumerate()
            .map(|(index, name)| {
                let used = || reports.iter().filter_map(|report| report.tiers.get(index));
                let own = counters.tiers.get(index).cloned().unwrap_or_default();
                let rejected = |is_meant: fn(&str) -> bool, of_all: bool| {
                    let all = counters.rejected.iter();
                    all.filter(|((tier, reason), _)| {
                        // Where the server was stopping, refusals name no tier and concern all.
                        (tier == name || (of_all && tier.is_empty())) && is_meant(reason)
                    })
                    .map(|(_, count)| count)
                    .sum()
                };
                TierSnapshot {
                    users: used().map(|used| used.users).sum(),
                    connections: used().map(|used| used.connections).sum(),
                    accepted: own.accepted,
                    at_the_cap: rejected(|reason| reason == AT_THE_CAP, false),
                    turned_away: rejected(|reason| reason != AT_THE_CAP, true),
                    delivery: own.delivery_time,
                    late: own.late_deliveries,
                }
            })
            .collect();
        snapshot.events.delivered = counters.events_delivered;
        snapshot.events.dropped += counters.events_dropped;
        snapshot.events.delivery = counters.event_delivery;
        snapshot.delivery = counters.broadcast_time;
        snapshot
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use dormouse_shard::report::{TierCounters, TierUse};

    use super::*;

    #[test]
    fn workers_add_up_and_tiers_are_kept_apart() {
        let mut first = WorkerReport {
            users: 1,
            connections: 3,
            shards: 4,
            awake: 1,
            processor_time: Duration::from_millis(5),
            tiers: vec![
                TierUse {
                    users: 1,
                    connections: 3,
                },
                TierUse::default(),
            ],
            ..WorkerReport::default()
        };
        let limit = "connection_limit";
        first.subscribers = 4;
        first.counters.events_delivered = 6;
        first.counters.events_dropped = 1;
        first.io.events_dropped = 2;
        first
            .counters
            .event_delivery
            .observe(Duration::from_millis(8), 6);
        first.counters.messages = 2;
        first.io.pings = 3;
        first.counters.rejected = [
            (("free".to_owned(), limit), 7),
            ((String::new(), "draining"), 2),
        ]
        .into();
        first.counters.tiers = vec![TierCounters {
            accepted: 10,
            late_deliveries: 1,
            ..TierCounters::default()
        }];
        let second = WorkerReport {
            id: 1,
            shards: 1,
            ..first.clone()
        };
        let snapshot = Snapshot::of(&[first, second], &["free", "pro"], 100);
        assert_eq!((snapshot.users, snapshot.connections), (2, 6));
        assert_eq!((snapshot.awake, snapshot.asleep), (2, 3));
        assert_eq!((snapshot.received, snapshot.refused), (10, 118));
        let [free, pro] = &snapshot.tiers[..] else {
            panic!("{:?}", snapshot.tiers);
        };
        assert_eq!((free.accepted, free.late), (20, 2));
        assert_eq!((free.at_the_cap, free.turned_away), (14, 4));
        assert_eq!((pro.accepted, pro.at_the_cap, pro.turned_away), (0, 0, 4));
        assert_eq!((free.users, free.connections), (2, 6));
        assert_eq!(snapshot.workers[1].processor_us, 5_000);
        let events = &snapshot.events;
        assert_eq!((events.subscribers, events.delivered), (8, 12));
        assert_eq!((events.dropped, events.delivery.total()), (6, 12));
    }
}
