//! The numbers of a scripted run.

use super::scenario::Scenario;
use crate::stats::{Counter, Figure, Rate, Snapshot, Trend};

/// How many different complaints are kept for the report.
const MOST_NOTES: usize = 8;

/// What a scripted run collects.
#[derive(Clone, Debug, Default)]
pub(super) struct Metrics {
    pub(super) http_req_duration: Trend,
    pub(super) http_reqs: Counter,
    pub(super) http_req_failed: Rate,
    pub(super) success: Rate,
    pub(super) checks: Rate,
    pub(super) iterations: Counter,
    pub(super) iteration_duration: Trend,
    pub(super) data_received: Counter,
    pub(super) data_sent: Counter,
    pub(super) refused: u64,
    pub(super) unanswered: u64,
    /// By number of the request.
    pub(super) each: Vec<Endpoint>,
    pub(super) notes: Vec<String>,
}

/// The numbers of one request of the script.
#[derive(Clone, Debug, Default)]
pub(super) struct Endpoint {
    pub(super) duration: Trend,
    pub(super) failed: Rate,
}

impl Metrics {
    pub(super) fn for_scenario(scenario: &Scenario) -> Self {
        Self {
            each: vec![Endpoint::default(); scenario.request_names().len()],
            ..Self::default()
        }
    }

    pub(super) fn note(&mut self, text: String) {
        if self.notes.len() < MOST_NOTES && !self.notes.contains(&text) {
            self.notes.push(text);
        }
    }

    /// Every metric under its name. `peak` are the most users, `rate` the requests a second at the
    /// peak.
    pub(super) fn snapshot(&self, scenario: &Scenario, peak: u64, rate: Option<f64>) -> Snapshot {
        let mut snapshot = Snapshot::default();
        let mut throughput = Figure::default();
        throughput.set(rate);
        snapshot.push("http_req_duration", self.http_req_duration.summary());
        for name in scenario.request_names() {
            let metric = format!("http_req_duration:{name}");
            // A name may stand for the same endpoint at several places of the script.
            if snapshot.get(&metric).is_none() {
                snapshot.push(metric, self.duration_of(scenario, &name).summary());
            }
        }
        snapshot.push("http_req_failed", self.http_req_failed.summary());
        snapshot.push("http_reqs", self.http_reqs.summary());
        snapshot.push("http_request_rate", throughput.summary());
        snapshot.push("checks", self.checks.summary());
        snapshot.push("iterations", self.iterations.summary());
        snapshot.push("iteration_duration", self.iteration_duration.summary());
        snapshot.push("data_received", self.data_received.summary());
        snapshot.push("data_sent", self.data_sent.summary());
        let mut users = Figure::default();
        users.set(Some(peak as f64));
        snapshot.push("vus_max", users.summary());
        let names = &scenario.names;
        for (name, summary) in [
            (&names.success, self.success.summary()),
            (&names.latency, self.http_req_duration.summary()),
            (&names.throughput, throughput.summary()),
        ] {
            if let Some(name) = name {
                snapshot.push(name.clone(), summary);
            }
        }
        snapshot
    }

    fn duration_of(&self, scenario: &Scenario, wanted: &str) -> Trend {
        let mut sum = Trend::new();
        for (name, endpoint) in scenario.request_names().iter().zip(&self.each) {
            if name == wanted {
                sum.merge(&endpoint.duration);
            }
        }
        sum
    }
}

/// The metrics of a scenario before anything is measured: what thresholds may name.
pub(super) fn empty_metrics(scenario: &Scenario) -> Snapshot {
    Metrics::for_scenario(scenario).snapshot(scenario, 0, None)
}

/// How long an endpoint took and how often it failed, for the table.
pub(super) fn endpoint_row(name: &str, duration: &Trend, failed: &Rate) -> Vec<String> {
    let time = |share: f64| {
        duration.quantile(share).map_or_else(
            || "-".to_owned(),
            |micros| crate::table::format_micros(micros as f64),
        )
    };
    let failed = match failed.summary() {
        crate::stats::Summary::Rate {
            rate: Some(rate), ..
        } => {
            format!("{}%", crate::table::format_number(rate * 100.0))
        }
        _ => "-".to_owned(),
    };
    vec![
        name.to_owned(),
        duration.count().to_string(),
        time(0.5),
        time(0.95),
        time(0.99),
        failed,
    ]
}
