//! What the workers report, as families: connections, traffic, shards.
//!
//! Workers count in plain numbers of their own; a scrape asks each of them for a copy, once, and
//! everything here is computed from these copies.

use std::collections::BTreeMap;
use std::time::Duration;

use dormouse_protocol::stats::ByType;
use dormouse_shard::counters::{Histogram, IoCounters};
use dormouse_shard::report::{ShardCounters, TierCounters, WorkerReport};
use dormouse_shard::tier::Tiers;

use super::busiest::busiest_users;
use super::catalogue as metrics;
use super::families::Families;
use super::labels::{AT_THE_CAP, CAUSES, CLIENT_TYPES, CLOSE_CODES, LOBBY_REFUSALS, SHARD_STATES};

/// What counts as a broadcast in time (performance baselines).
const BROADCAST_IN_TIME: Duration = Duration::from_millis(500);
/// What is summed over all workers.
#[derive(Debug, Default)]
struct Totals {
    connections: u64,
    users: u64,
    by_type: ByType,
    queued_frames: u64,
    subscribers: u64,
    oldest: Option<u64>,
    io: IoCounters,
    counters: ShardCounters,
}

/// Exports everything that workers report. `busiest` users have series of their own, `handshakes`
/// is the number of handshakes refused before a worker heard of them, `now_ms` is Unix time.
pub fn export(
    families: &mut Families,
    reports: &[WorkerReport],
    tiers: &Tiers,
    busiest: usize,
    handshakes: u64,
    now_ms: u64,
) {
    let totals = Totals::of(reports);
    connections(families, &totals, handshakes, now_ms);
    families.counts(
        &metrics::DO_CONNECTIONS_TOTAL,
        busiest_users(reports, busiest)
            .into_iter()
            .map(|(user, connections)| ([user], connections)),
    );
    traffic(families, &totals);
    subscribers(families, &totals);
    shards(families, &totals.counters);
    by_worker(families, reports);
    by_tier(families, reports, tiers, &totals.counters);
}

fn subscribers(families: &mut Families, totals: &Totals) {
    let (io, counters) = (&totals.io, &totals.counters);
    let dropped = io.events_dropped + counters.events_dropped;
    families.count(&metrics::WS_EVENT_CONNECTIONS, totals.subscribers);
    families.count(&metrics::WS_EVENTS_DELIVERED, counters.events_delivered);
    families.count(&metrics::WS_EVENTS_DROPPED, dropped);
    families.histogram(&metrics::EVENT_DELIVERY, &counters.event_delivery);
}

fn connections(families: &mut Families, totals: &Totals, handshakes: u64, now_ms: u64) {
    let (io, counters) = (&totals.io, &totals.counters);
    let ByType {
        user_scoped,
        session_scoped,
        machine_scoped,
    } = totals.by_type;
    let rejected: u64 = counters.rejected.values().sum();
    let at_the_cap: u64 = counters
        .rejected
        .iter()
        .filter(|((_, reason), _)| *reason == AT_THE_CAP)
        .map(|(_, count)| count)
        .sum();
    let lobby: u64 = counters.lobby_refused.values().sum();
    let age = totals
        .oldest
        .map_or(0, |oldest| now_ms.saturating_sub(oldest));
    families.count(&metrics::WS_CONNECTIONS_ACTIVE, totals.connections);
    families.count(&metrics::USERS, totals.users);
    families.count(
        &metrics::WS_CONNECTION_ERRORS,
        handshakes + rejected + lobby,
    );
    families.count(&metrics::WS_CONNECTION_SUCCESS, counters.accepted);
    families.histogram(&metrics::WS_CONNECTION_TIME, &counters.connection_time);
    families.histogram(&metrics::CONNECTION_SETUP, &counters.connection_time);
    families.count(&metrics::DO_CONNECTIONS_REJECTED, at_the_cap);
    families.value(
        &metrics::DO_CONNECTION_REJECTION_RATE,
        share(at_the_cap, at_the_cap + counters.accepted, 0.0),
    );
    families.count(&metrics::DO_OLDEST_CONNECTION_MS, age);
    families.by_label(
        &metrics::CONNECTIONS,
        CLIENT_TYPES,
        [user_scoped, session_scoped, machine_scoped],
    );
    families.counts(
        &metrics::LOBBY_REFUSED,
        with_zeros(&counters.lobby_refused, &LOBBY_REFUSALS),
    );
    families.counts(
        &metrics::CONNECTIONS_CLOSED,
        with_zeros(&io.closes, &CLOSE_CODES),
    );
    let IoCounters {
        slow_consumers,
        rate_closed,
        idle_closed,
        protocol_faults,
        ..
    } = *io;
    families.by_label(
        &metrics::CONNECTIONS_DROPPED,
        CAUSES,
        [slow_consumers, rate_closed, idle_closed, protocol_faults],
    );
}

fn traffic(families: &mut Families, totals: &Totals) {
    let (io, counters) = (&totals.io, &totals.counters);
    let in_time = |bound: &&u64| u128::from(**bound) <= BROADCAST_IN_TIME.as_micros();
    let in_time = Histogram::BOUNDS_US.iter().take_while(in_time).count();
    let in_time = counters.broadcast_time.counts().iter().take(in_time).sum();
    let deliveries = counters.broadcast_time.total();
    for (metric, count) in [
        (&metrics::WS_MESSAGES_RECEIVED, counters.messages + io.pings),
        (&metrics::WS_MESSAGES_SENT, io.frames_out),
        (&metrics::DO_BROADCAST_FAILURES, counters.broadcast_failures),
        (&metrics::DO_MESSAGE_QUEUE_DEPTH, totals.queued_frames),
        (&metrics::RECEIVED_FRAMES, io.frames_in),
        (&metrics::RECEIVED_BYTES, io.bytes_in),
        (&metrics::SENT_FRAMES, io.frames_out),
        (&metrics::SENT_BYTES, io.bytes_out),
        (&metrics::SOCKET_WRITES, io.writes),
        (&metrics::MESSAGES_HANDLED, counters.messages),
        (&metrics::PINGS_ANSWERED, io.pings),
        (&metrics::EPHEMERALS_DROPPED, io.ephemerals_dropped),
    ] {
        families.count(metric, count);
    }
    for (metric, histogram) in [
        (&metrics::WS_MESSAGE_LATENCY, &counters.message_latency),
        (&metrics::MESSAGE_HANDLING, &counters.message_latency),
        (
            &metrics::WS_BROADCAST_DELIVERY_TIME,
            &counters.broadcast_time,
        ),
        (&metrics::BROADCAST, &counters.broadcast_time),
    ] {
        families.histogram(metric, histogram);
    }
    families.value(
        &metrics::WS_BROADCAST_SUCCESS,
        share(in_time, deliveries, 1.0),
    );
}

fn shards(families: &mut Families, counters: &ShardCounters) {
    for (metric, count) in [
        (&metrics::DO_HIBERNATION_EVENTS, counters.sleeps),
        (&metrics::SHARD_SLEEPS, counters.sleeps),
        (&metrics::SHARD_WAKES, counters.wakes),
        (&metrics::SHARD_SLEEP_FAILURES, counters.sleep_failures),
        (&metrics::SHARD_WAKE_FAILURES, counters.wake_failures),
    ] {
        families.count(metric, count);
    }
    families.histogram(&metrics::DO_WAKEUP_TIME, &counters.wake_time);
    families.histogram(&metrics::SHARD_WAKE, &counters.wake_time);
}

fn by_worker(families: &mut Families, reports: &[WorkerReport]) {
    families.count(&metrics::WORKERS, reports.len() as u64);
    let ids: Vec<String> = reports.iter().map(|report| report.id.to_string()).collect();
    let reports = || ids.iter().map(String::as_str).zip(reports);
    let [awake, asleep] = SHARD_STATES;
    families.counts(
        &metrics::SHARDS,
        reports().flat_map(|(id, report)| {
            let asleep_here = report.shards.saturating_sub(report.awake);
            [([id, awake], report.awake), ([id, asleep], asleep_here)]
        }),
    );
    let mut each = |metric, value: fn(&WorkerReport) -> u64| {
        families.counts(metric, reports().map(|(id, report)| ([id], value(report))));
    };
    each(&metrics::WORKER_CONNECTIONS, |report| report.connections);
    each(&metrics::PENDING_CONNECTIONS, |report| report.pending);
    each(&metrics::OUTBOX_FRAMES, |report| report.queued_frames);
    each(&metrics::OUTBOX_BYTES, |report| report.queued_bytes);
    families.values(
        &metrics::WORKER_CPU,
        reports().map(|(id, report)| ([id], report.processor_time.as_secs_f64())),
    );
}

fn by_tier(
    families: &mut Families,
    reports: &[WorkerReport],
    tiers: &Tiers,
    counters: &ShardCounters,
) {
    let in_use = |index: usize| {
        reports
            .iter()
            .filter_map(move |report| report.tiers.get(index))
    };
    families.counts(
        &metrics::TIER_USERS,
        tiers.iter().map(|(id, tier)| {
            let users = in_use(id.index()).map(|tier| tier.users).sum();
            ([&*tier.name], users)
        }),
    );
    families.counts(
        &metrics::TIER_CONNECTIONS,
        tiers.iter().map(|(id, tier)| {
            let connections = in_use(id.index()).map(|tier| tier.connections).sum();
            ([&*tier.name], connections)
        }),
    );
    families.counts(
        &metrics::TIER_CONNECTION_LIMIT,
        tiers
            .iter()
            .map(|(_, tier)| ([&*tier.name], u64::from(tier.limit()))),
    );
    let nothing = TierCounters::default();
    let counted = || {
        tiers.iter().map(|(id, tier)| {
            let own = counters.tiers.get(id.index()).unwrap_or(&nothing);
            ([&*tier.name], own)
        })
    };
    families.counts(
        &metrics::TIER_ACCEPTED,
        counted().map(|(tier, own)| (tier, own.accepted)),
    );
    families.histograms(
        &metrics::TIER_DELIVERY,
        counted().map(|(tier, own)| (tier, &own.delivery_time)),
    );
    families.counts(
        &metrics::TIER_LATE_DELIVERIES,
        counted().map(|(tier, own)| (tier, own.late_deliveries)),
    );
    let mut rejected: BTreeMap<[&str; 2], u64> = tiers
        .iter()
        .map(|(_, tier)| ([&*tier.name, AT_THE_CAP], 0))
        .collect();
    for ((tier, reason), count) in &counters.rejected {
        *rejected.entry([tier, reason]).or_default() += count;
    }
    families.counts(&metrics::CONNECTIONS_REJECTED, rejected);
}

/// Counts by a word, the words of `known` among them even without any.
fn with_zeros<'a>(
    counts: &BTreeMap<&'static str, u64>,
    known: &[&'static str],
) -> impl Iterator<Item = ([&'a str; 1], u64)> {
    let mut all: BTreeMap<&'static str, u64> = known.iter().map(|word| (*word, 0)).collect();
    for (word, count) in counts {
        *all.entry(word).or_default() += count;
    }
    all.into_iter().map(|(word, count)| ([word], count))
}

fn share(part: u64, whole: u64, of_nothing: f64) -> f64 {
    if whole == 0 {
        of_nothing
    } else {
        part as f64 / whole as f64
    }
}

impl Totals {
    fn of(reports: &[WorkerReport]) -> Self {
        let mut totals = Self::default();
        for report in reports {
            totals.connections += report.connections;
            totals.users += report.users;
            totals.by_type.add(&report.by_type);
            totals.queued_frames += report.queued_frames;
            totals.subscribers += report.subscribers;
            totals.oldest = [totals.oldest, report.oldest].into_iter().flatten().min();
            totals.io.merge(&report.io);
            totals.counters.merge(&report.counters);
        }
        totals
    }
}
