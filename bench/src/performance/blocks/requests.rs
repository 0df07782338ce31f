//! HTTP: the scenarios, and the event side.

use std::fmt::Write as _;

use super::{Markdown, dash, millis, percent, shown, status, verdict};
use crate::stats::Statistic;
use crate::table::format_number;

use crate::performance::Results;

pub(super) fn http(results: &Results) -> String {
    let runs = results.named(|stem| stem.starts_with("http-"));
    let mut table = Markdown::new(&[
        "Run",
        "Users",
        "Requests/s",
        "p50",
        "p95",
        "p99",
        "Errors",
        "Verdict",
    ]);
    for (name, result) in &runs {
        let result = Some(*result);
        let value = |metric| result.and_then(|result| result.statistic(metric, Statistic::Value));
        table.row([
            (*name).to_owned(),
            shown(value("vus_max"), ""),
            shown(value("http_request_rate"), ""),
            millis(result, "http_req_duration", Statistic::P50),
            millis(result, "http_req_duration", Statistic::P95),
            millis(result, "http_req_duration", Statistic::P99),
            percent(result, "http_req_failed"),
            result.map_or_else(dash, verdict),
        ]);
    }
    let mut text = match runs.is_empty() {
        true => "Not run.\n\n".to_owned(),
        false => format!("{}\n", table.0),
    };
    let _ = writeln!(text, "{}", acceptance(results));
    let rows = [
        ("`/health`", "health", 50, 100),
        ("`/v1/sessions` (list)", "sessions_list", 200, 400),
        ("`/v1/sessions` (create)", "sessions_create", 300, 500),
        ("`/v1/machines` (list)", "machines_list", 200, 400),
        ("`/v1/artifacts` (list)", "artifacts_list", 200, 400),
        ("`/v1/websocket/stats`", "websocket_stats", 100, 200),
        ("`/v1/websocket/broadcast`", "websocket_broadcast", 200, 400),
    ];
    let mut table = Markdown::new(&[
        "Endpoint",
        "P95 Target",
        "P95",
        "P99 Target",
        "P99",
        "Status",
        "Run",
    ]);
    for (name, metric, p95, p99) in rows {
        let metric = format!("http_req_duration:{metric}");
        // The most users first, of those who ran at least a hundred.
        let preferred = ["-stress", "-average", "-spike", "-endurance", "-smoke"];
        let run = preferred.iter().find_map(|profile| {
            runs.iter().find(|(name, result)| {
                name.ends_with(profile) && result.metrics.get(&metric).is_some()
            })
        });
        let result = run.map(|run| run.1);
        table.row([
            name.to_owned(),
            format!("< {p95} ms"),
            millis(result, &metric, Statistic::P95),
            format!("< {p99} ms"),
            millis(result, &metric, Statistic::P99),
            status(result, &metric),
            run.map_or_else(dash, |run| run.0.to_owned()),
        ]);
    }
    text.push_str(&table.0);
    text
}

/// The acceptance criteria of HAP-19, of the run of all endpoints with a hundred users.
fn acceptance(results: &Results) -> String {
    let result = results.newest("http-full-api-average");
    let value = |metric| result.and_then(|result| result.statistic(metric, Statistic::Value));
    let mut table = Markdown::new(&["Metric", "Target", "Measured", "Status"]);
    let per_minute = value("http_request_rate").map(|rate| (rate * 60.0).round());
    for (name, target, measured, metric) in [
        (
            "Concurrent Users",
            "100+ sustained",
            shown(value("vus_max"), ""),
            "vus_max",
        ),
        (
            "Request Rate",
            "1,000+ req/min",
            shown(per_minute, "/min"),
            "http_request_rate",
        ),
        (
            "P95 Response Time",
            "< 500ms",
            millis(result, "http_req_duration", Statistic::P95),
            "http_req_duration",
        ),
        (
            "P99 Response Time",
            "< 1000ms",
            millis(result, "http_req_duration", Statistic::P99),
            "http_req_duration",
        ),
        (
            "Error Rate",
            "< 1%",
            percent(result, "http_req_failed"),
            "http_req_failed",
        ),
    ] {
        table.row([
            name.to_owned(),
            target.to_owned(),
            measured,
            status(result, metric),
        ]);
    }
    table.0
}

/// A row of the events tables: label, target, metric, statistic.
type Row = (&'static str, &'static str, &'static str, Statistic);

pub(super) fn events(results: &Results) -> String {
    let mut text = String::new();
    let calls: [Row; 4] = [
        (
            "Throughput",
            "500 updates/sec",
            "call_state_updates_throughput",
            Statistic::Value,
        ),
        (
            "Success Rate",
            ">95%",
            "call_state_success_rate",
            Statistic::Rate,
        ),
        (
            "p95 Latency",
            "<300ms",
            "call_state_update_latency",
            Statistic::P95,
        ),
        (
            "p99 Latency",
            "<500ms",
            "call_state_update_latency",
            Statistic::P99,
        ),
    ];
    let reporting: [Row; 5] = [
        (
            "Request Rate",
            "100 req/s",
            "reporting_request_rate",
            Statistic::Value,
        ),
        (
            "Success Rate",
            ">98%",
            "reporting_success_rate",
            Statistic::Rate,
        ),
        ("p50 Latency", "<150ms", "reporting_latency", Statistic::P50),
        ("p95 Latency", "<300ms", "reporting_latency", Statistic::P95),
        ("p99 Latency", "<500ms", "reporting_latency", Statistic::P99),
    ];
    let pubsub: [Row; 5] = [
        (
            "Message Delivery Rate",
            ">95%",
            "pubsub_delivery_rate",
            Statistic::Rate,
        ),
        (
            "Message Throughput",
            "500 msg/s",
            "pubsub_throughput",
            Statistic::Value,
        ),
        ("p50 Latency", "<50ms", "message_latency", Statistic::P50),
        ("p95 Latency", "<100ms", "message_latency", Statistic::P95),
        ("p99 Latency", "<200ms", "message_latency", Statistic::P99),
    ];
    let tables: [(&str, &str, &[Row]); 3] = [
        ("Call State Updates", "calls", &calls),
        ("Reporting Endpoints", "reporting", &reporting),
        ("Pub/Sub Throughput", "pubsub", &pubsub),
    ];
    for (title, name, rows) in tables {
        let result = results.newest(name);
        let mut table = Markdown::new(&["Metric", "Target", "Baseline", "Status"]);
        for (label, target, metric, statistic) in rows {
            let value = match statistic {
                Statistic::Rate => percent(result, metric),
                Statistic::Value => {
                    let value = result.and_then(|result| result.statistic(metric, *statistic));
                    shown(value, "/s")
                }
                _ => millis(result, metric, *statistic),
            };
            let status = result.map_or_else(
                || "-".to_owned(),
                |result| {
                    let parts = result.judgements.criteria.iter().flat_map(|c| &c.parts);
                    let wanted = format!("{metric} {}", statistic.name());
                    let part = parts
                        .into_iter()
                        .find(|part| part.threshold.starts_with(&wanted));
                    part.map_or_else(
                        || "-".to_owned(),
                        |part| crate::table::mark(part.passed).to_string(),
                    )
                },
            );
            table.row([(*label).to_owned(), (*target).to_owned(), value, status]);
        }
        let _ = writeln!(text, "### {title}\n\n{}", table.0);
        if let Some(result) = result {
            let _ = writeln!(
                text,
                "{}, {}, {} clients at the peak, {} s.\n",
                result.day(),
                verdict(result),
                result.peak(),
                format_number(result.duration_seconds.round())
            );
        }
    }
    text
}
