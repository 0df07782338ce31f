//! From snapshots to what pages are sent: rates, quantiles, and whether promises are kept.

use bytestring::ByteString;
use dormouse_protocol::frames;
use dormouse_shard::counters::Histogram;
use serde::Serialize;

use super::history::History;
use super::snapshot::{Snapshot, TierSnapshot, WorkerSnapshot};
use crate::app_state::{AppState, VERSION};

/// Over how long quantiles of delivery are taken, milliseconds.
const QUANTILE_WINDOW_MS: u64 = 60_000;
/// Over how long promises are judged, milliseconds.
const PROMISE_WINDOW_MS: u64 = 15 * 60_000;
/// The share of deliveries that may take longer than promised: promises are 95th percentiles.
const LATE_SHARE: f64 = 0.05;

/// One moment as the charts draw it.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
struct Point {
    at: u64,
    connections: u64,
    users: u64,
    awake: u64,
    asleep: u64,
    received_per_second: f64,
    sent_per_second: f64,
    refused_per_second: f64,
    p50_ms: Option<f64>,
    p95_ms: Option<f64>,
    p99_ms: Option<f64>,
    memory_bytes: Option<u64>,
    subscribers: u64,
    events_per_second: f64,
    event_p95_ms: Option<f64>,
    /// By worker: the share of a core that its thread used.
    loads: Vec<f64>,
}

/// What a page is sent each second.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Update<'a> {
    point: Point,
    uptime_ms: u64,
    pending: u64,
    queued_bytes: u64,
    draining: bool,
    store_fault: Option<String>,
    refused: u64,
    workers: Vec<WorkerView>,
    tiers: Vec<TierView<'a>>,
    events: EventView,
    audit_version: u64,
}

/// What a page is sent first.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Beginning<'a> {
    admin: &'a str,
    version: &'static str,
    environment: &'static str,
    /// Who may sign up.
    signup: &'static str,
    /// Whether `/v1/updates` is at this address too.
    serves_users: bool,
    points: Vec<Point>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct WorkerView {
    id: usize,
    connections: u64,
    shards: u64,
    awake: u64,
    queued_bytes: u64,
    load: f64,
}

/// Call events, since the start of the server.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct EventView {
    published: u64,
    delivered: u64,
    dropped: u64,
    active_calls: u64,
}

/// A tier, its promises, and what became of them in the last 15 minutes.
#[derive(Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
struct TierView<'a> {
    name: &'a str,
    limit: u32,
    users: u64,
    connections: u64,
    promised_latency_ms: f64,
    promised_availability: f64,
    #[serde(flatten)]
    kept: Promises,
    /// Refused at the cap since the start.
    at_the_cap: u64,
}

/// What became of a tier's promises; null where nothing happened.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
struct Promises {
    p95_ms: Option<f64>,
    deliveries: u64,
    late: u64,
    latency_kept: Option<bool>,
    /// Percent.
    availability: Option<f64>,
    availability_kept: Option<bool>,
}

/// The frame for all pages. The snapshot is newer than all of the history.
pub(super) fn update(state: &AppState, snapshot: &Snapshot, history: &History) -> ByteString {
    let before = history.last();
    let window = history.within(snapshot.at, QUANTILE_WINDOW_MS);
    let point = point(snapshot, before, window);
    let long = history.within(snapshot.at, PROMISE_WINDOW_MS);
    let tiers = state.workers.tiers().iter().zip(&snapshot.tiers);
    let tiers = tiers.filter_map(|((id, tier), now)| {
        let promise = state.settings.tiers.get(&*tier.name)?;
        let before = long.and_then(|long| long.tiers.get(id.index()));
        Some(TierView {
            name: &tier.name,
            limit: tier.limit(),
            users: now.users,
            connections: now.connections,
            promised_latency_ms: promise.latency_p95.as_secs_f64() * 1e3,
            promised_availability: promise.availability,
            kept: promises(now, before, promise.availability),
            at_the_cap: now.at_the_cap,
        })
    });
    let workers = snapshot.workers.iter().zip(&point.loads);
    let workers = workers.map(|(worker, load)| WorkerView {
        id: worker.id,
        connections: worker.connections,
        shards: worker.shards,
        awake: worker.awake,
        queued_bytes: worker.queued_bytes,
        load: *load,
    });
    let update = Update {
        uptime_ms: u64::try_from(state.started.elapsed().as_millis()).unwrap_or(u64::MAX),
        pending: snapshot.pending,
        queued_bytes: snapshot.queued_bytes,
        draining: state.workers.is_draining(),
        store_fault: state.workers.store().fault().map(|fault| fault.to_string()),
        refused: snapshot.refused,
        workers: workers.collect(),
        tiers: tiers.collect(),
        events: EventView {
            published: snapshot.events.published,
            delivered: snapshot.events.delivered,
            dropped: snapshot.events.dropped,
            active_calls: snapshot.events.active_calls,
        },
        audit_version: state.audit.version(),
        point,
    };
    frames::event("update", &update).into()
}

/// The frame for one page, when it has authenticated.
pub(super) fn beginning(
    state: &AppState,
    admin: &str,
    serves_users: bool,
    history: &History,
) -> ByteString {
    let points = history.steps().map(|(before, after)| {
        let window = history.within(after.at, QUANTILE_WINDOW_MS);
        point(after, Some(before), window)
    });
    let beginning = Beginning {
        admin,
        version: VERSION,
        environment: if state.is_development() {
            "development"
        } else {
            "production"
        },
        signup: state.settings.resolved_signup().as_str(),
        serves_users,
        points: points.collect(),
    };
    frames::event("history", &beginning).into()
}

/// A moment: rates since `before`, quantiles since `window`.
fn point(now: &Snapshot, before: Option<&Snapshot>, window: Option<&Snapshot>) -> Point {
    let seconds = before.map_or(0.0, |before| now.at.saturating_sub(before.at) as f64 / 1e3);
    let rate = |now: u64, before: Option<u64>| match before {
        Some(before) if seconds > 0.0 => rounded(now.saturating_sub(before) as f64 / seconds, 10.0),
        _ => 0.0,
    };
    let none = Histogram::default();
    let delivery = now
        .delivery
        .since(window.map_or(&none, |window| &window.delivery));
    let events = &now.events;
    let event_delivery = events
        .delivery
        .since(window.map_or(&none, |window| &window.events.delivery));
    let loads = now.workers.iter().map(|worker| {
        let earlier = before.and_then(|before| before.workers.get(worker.id));
        let used = |worker: &WorkerSnapshot| worker.processor_us;
        let load = rate(used(worker), earlier.map(used)) / 1e6;
        rounded(load.min(1.0), 1000.0)
    });
    Point {
        at: now.at,
        connections: now.connections,
        users: now.users,
        awake: now.awake,
        asleep: now.asleep,
        received_per_second: rate(now.received, before.map(|before| before.received)),
        sent_per_second: rate(now.sent, before.map(|before| before.sent)),
        refused_per_second: rate(now.refused, before.map(|before| before.refused)),
        p50_ms: quantile_ms(&delivery, 0.5),
        p95_ms: quantile_ms(&delivery, 0.95),
        p99_ms: quantile_ms(&delivery, 0.99),
        memory_bytes: now.memory,
        subscribers: events.subscribers,
        events_per_second: rate(
            events.published,
            before.map(|before| before.events.published),
        ),
        event_p95_ms: quantile_ms(&event_delivery, 0.95),
        loads: loads.collect(),
    }
}

/// What became of the promises between two moments; since the start, without the first.
fn promises(now: &TierSnapshot, before: Option<&TierSnapshot>, availability: f64) -> Promises {
    let nothing = TierSnapshot::default();
    let before = before.unwrap_or(&nothing);
    let delivery = now.delivery.since(&before.delivery);
    let deliveries = delivery.total();
    let late = now.late.saturating_sub(before.late);
    let accepted = now.accepted.saturating_sub(before.accepted);
    let turned_away = now.turned_away.saturating_sub(before.turned_away);
    let attempts = accepted + turned_away;
    let available = (attempts > 0).then(|| accepted as f64 / attempts as f64 * 100.0);
    Promises {
        p95_ms: quantile_ms(&delivery, 0.95),
        deliveries,
        late,
        latency_kept: (deliveries > 0).then_some(late as f64 <= deliveries as f64 * LATE_SHARE),
        availability: available.map(|percent| rounded(percent, 1000.0)),
        availability_kept: available.map(|percent| percent >= availability),
    }
}

fn quantile_ms(histogram: &Histogram, share: f64) -> Option<f64> {
    Some(histogram.quantile_us(share)? as f64 / 1e3)
}

/// To a fraction that is worth its digits.
fn rounded(number: f64, fraction: f64) -> f64 {
    (number * fraction).round() / fraction
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn rates_are_per_second_and_quantiles_of_the_window() {
        let mut before = Snapshot {
            at: 10_000,
            received: 5,
            refused: 9,
            workers: vec![WorkerSnapshot::default()],
            ..Snapshot::default()
        };
        before.delivery.observe(Duration::from_secs(9), 50);
        let mut now = before.clone();
        now.at = 12_000;
        now.received = 25;
        now.workers[0].processor_us = 500_000;
        now.delivery.observe(Duration::from_millis(8), 10);
        now.events.subscribers = 2;
        now.events.published = 30;
        now.events.delivery.observe(Duration::from_millis(8), 10);
        let seen = point(&now, Some(&before), Some(&before));
        assert_eq!(seen.received_per_second, 10.0);
        assert_eq!((seen.sent_per_second, seen.refused_per_second), (0.0, 0.0));
        assert_eq!(seen.loads, [0.25]);
        assert_eq!(seen.p50_ms, Some(7.5), "5 to 10 ms");
        assert_eq!((seen.subscribers, seen.events_per_second), (2, 15.0));
        assert!(seen.event_p95_ms > Some(5.0), "{seen:?}");
        let first = point(&now, None, None);
        assert_eq!(
            (first.received_per_second, &first.loads[..]),
            (0.0, &[0.0][..])
        );
        assert_eq!(point(&now, Some(&now), Some(&now)).p50_ms, None);
    }

    #[test]
    fn promises_are_judged_by_what_happened_since() {
        let mut before = TierSnapshot {
            late: 100,
            turned_away: 100,
            ..TierSnapshot::default()
        };
        before.delivery.observe(Duration::from_secs(1), 100);
        let silent = promises(&before, Some(&before), 99.9);
        assert_eq!(
            (silent.latency_kept, silent.availability_kept),
            (None, None)
        );
        let mut now = before.clone();
        now.accepted = 999;
        now.turned_away = 101;
        now.delivery.observe(Duration::from_millis(1), 95);
        now.delivery.observe(Duration::from_secs(1), 5);
        now.late = 105;
        let kept = promises(&now, Some(&before), 99.9);
        assert_eq!((kept.deliveries, kept.late), (100, 5));
        assert_eq!(kept.latency_kept, Some(true), "exactly a twentieth");
        assert_eq!(kept.availability, Some(99.9));
        assert_eq!(kept.availability_kept, Some(true));
        now.late = 106;
        now.turned_away = 102;
        let broken = promises(&now, Some(&before), 99.9);
        assert_eq!(broken.latency_kept, Some(false));
        assert_eq!(broken.availability_kept, Some(false));
        let from_start = promises(&now, None, 99.9);
        assert_eq!(from_start.latency_kept, Some(false));
    }
}
