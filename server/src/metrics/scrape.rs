//! One scrape: ask every worker once, read the rest, write text.

use std::collections::BTreeMap;

use prometheus::TextEncoder;
use prometheus::proto::MetricFamily;

use super::catalogue as metrics;
use super::counters::TokenCheck;
use super::families::Families;
use super::{process, workers};
use crate::app_state::{AppState, VERSION};
use crate::clock::unix_ms;
use crate::dashboard::counters::DashboardCounters;
use crate::database::counters::{DatabaseCounters, Ended};
use crate::events::counters::EventCounters;
use crate::handshake::HandshakeRefusal;

/// The text of a scrape, in the text format 0.0.4.
///
/// Wakes no shard. Waits for each worker to copy its counters, which it does between two messages.
///
/// # Errors
/// When the library refuses what it is given, which the tests would have shown.
pub async fn scrape(state: &AppState) -> Result<String, prometheus::Error> {
    TextEncoder::new().encode_to_string(&families(state).await)
}

/// All families of a scrape, by name.
pub async fn families(state: &AppState) -> Vec<MetricFamily> {
    let busiest = state.settings.metrics.busiest_users;
    let reports = state.workers.report(busiest).await;
    let open_files = match process::open_files() {
        Some(count) => Some(count),
        None => tokio::task::spawn_blocking(process::list_open_files)
            .await
            .ok()
            .flatten(),
    };
    let handshakes = state.refused.all();
    let mut families = Families::default();
    let tiers = state.workers.tiers();
    let refused = handshakes.values().sum();
    workers::export(&mut families, &reports, tiers, busiest, refused, unix_ms());
    server(&mut families, state, &handshakes);
    operating_system(&mut families, open_files);
    families.extend(state.counters.http.families());
    families.sorted()
}

fn server(families: &mut Families, state: &AppState, handshakes: &BTreeMap<&'static str, u64>) {
    let is_up = state.workers.store().fault().is_none();
    families.counts(&metrics::BUILD_INFO, [([VERSION], 1)]);
    families.count(&metrics::STORE_UP, u64::from(is_up));
    database(families, state.database.counters());
    families.count(&metrics::DRAINING, u64::from(state.workers.is_draining()));
    families.counts(
        &metrics::HANDSHAKES_REFUSED,
        HandshakeRefusal::LABELS
            .into_iter()
            .map(|reason| ([reason], handshakes.get(reason).copied().unwrap_or(0))),
    );
    let promises = || {
        let tiers = state.settings.tiers.iter();
        tiers.map(|(name, tier)| ([name.as_str()], tier))
    };
    families.values(
        &metrics::TIER_PROMISED_DELIVERY,
        promises().map(|(tier, promise)| (tier, promise.latency_p95.as_secs_f64())),
    );
    families.values(
        &metrics::TIER_PROMISED_AVAILABILITY,
        promises().map(|(tier, promise)| (tier, promise.availability / 100.0)),
    );
    let connections = u64::from(state.settings.database.read_connections) + 1;
    families.count(&metrics::DB_CONNECTIONS_ACTIVE, connections);
    let write_time = state.database.counters().write_time();
    families.histogram(&metrics::DB_QUERY_DURATION, &write_time);
    events(families, &state.events.counters);
    let none = DashboardCounters::default();
    let counters = state
        .dashboard
        .as_ref()
        .map(|dashboard| &dashboard.counters);
    dashboard(families, counters.unwrap_or(&none));
    let checks = state.counters.tokens.all();
    families.by_label(&metrics::TOKEN_CHECKS, TokenCheck::LABELS, checks);
}

fn database(families: &mut Families, counters: &DatabaseCounters) {
    families.count(&metrics::DATABASE_UP, u64::from(counters.is_up()));
    families.by_label(&metrics::DATABASE_WRITES, Ended::LABELS, counters.writes());
    let [done, _, failed] = counters.reads();
    families.by_label(&metrics::DATABASE_READS, ["done", "failed"], [done, failed]);
    families.count(&metrics::DATABASE_COMMITS, counters.commits());
    families.histogram(&metrics::DATABASE_WRITE, &counters.write_time());
}

fn events(families: &mut Families, counters: &EventCounters) {
    families.by_label(&metrics::CALLS, EventCounters::STATUSES, counters.calls());
    families.count(&metrics::CALLS_ACTIVE, counters.active());
    families.count(&metrics::EVENTS_PUBLISHED, counters.all_published());
    families.count(&metrics::EVENT_DEAD_LETTERS, counters.all_dead());
    families.histogram(&metrics::EVENT_PUBLISH, &counters.publish_time());
}

fn dashboard(families: &mut Families, counters: &DashboardCounters) {
    let (came, went) = (counters.connections(), counters.disconnections());
    families.count(&metrics::DASHBOARD_CONNECTIONS, came.saturating_sub(went));
    families.count(&metrics::DASHBOARD_CONNECTED, came);
    families.count(&metrics::DASHBOARD_DISCONNECTED, went);
    families.histogram(&metrics::DASHBOARD_OPEN, &counters.open_times());
    let emitted = counters.all_emitted();
    let emitted = emitted
        .iter()
        .map(|(event, count)| ([event.as_str()], *count));
    families.counts(&metrics::DASHBOARD_EMITTED, emitted);
    families.count(&metrics::DASHBOARD_RECEIVED, counters.all_received());
    families.count(&metrics::DASHBOARD_ERRORS, counters.errors());
    families.histogram(&metrics::DASHBOARD_LATENCY, &counters.latency());
    families.histogram(&metrics::DASHBOARD_INITIAL, &counters.initial_state());
}

/// What the system does not tell is left out.
fn operating_system(families: &mut Families, open_files: Option<u64>) {
    families.value(&metrics::PROCESS_CPU, process::cpu_seconds());
    if let Some(started) = process::started_at() {
        families.value(&metrics::PROCESS_START_TIME, started);
    }
    if let Some(bytes) = process::resident_bytes() {
        families.count(&metrics::PROCESS_RESIDENT_MEMORY, bytes);
        families.count(&metrics::DO_MEMORY_USAGE_BYTES, bytes);
    }
    if let Some(files) = open_files {
        families.count(&metrics::PROCESS_OPEN_FDS, files);
    }
    if let Some(files) = process::max_files() {
        families.count(&metrics::PROCESS_MAX_FDS, files);
    }
}
