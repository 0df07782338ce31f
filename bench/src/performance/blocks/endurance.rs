//! Load and leak runs, what the machine did in all of them, and the history.

use super::{Markdown, dash, millis, percent, shown, verdict};
use crate::stats::Statistic;
use crate::table::format_number;

use crate::performance::Results;

pub(super) fn load(results: &Results) -> String {
    let runs = results.named(|stem| stem.starts_with("load-"));
    if runs.is_empty() {
        return "Not run.\n".to_owned();
    }
    let mut table = Markdown::new(&[
        "Run",
        "Connection success",
        "Connection time p95",
        "Event latency p50",
        "p95",
        "p99",
        "Loss",
        "Deliveries",
        "Verdict",
    ]);
    for (name, result) in runs {
        let result = Some(result);
        let received =
            result.and_then(|result| result.statistic("events_received", Statistic::Count));
        table.row([
            name.to_owned(),
            percent(result, "connection_success_rate"),
            millis(result, "connection_time", Statistic::P95),
            millis(result, "event_latency", Statistic::P50),
            millis(result, "event_latency", Statistic::P95),
            millis(result, "event_latency", Statistic::P99),
            percent(result, "event_loss_rate"),
            shown(received, ""),
            result.map_or_else(dash, verdict),
        ]);
    }
    table.0
}

pub(super) fn leak(results: &Results) -> String {
    let runs = results.named(|stem| stem.starts_with("leak-"));
    if runs.is_empty() {
        return "Not run.\n".to_owned();
    }
    let mut table = Markdown::new(&[
        "Run",
        "Initial",
        "Final",
        "Leak rate",
        "R²",
        "Samples",
        "Leak",
        "Timeline",
    ]);
    for (name, result) in runs {
        let value = |metric| result.statistic(metric, Statistic::Value);
        let leak = result.statistic("leak_detected", Statistic::Count);
        let summary = result.tables.iter().flat_map(|table| &table.rows);
        let timeline = summary
            .filter(|row| row.first().is_some_and(|name| name == "Timeline"))
            .find_map(|row| row.get(1).cloned());
        table.row([
            name.to_owned(),
            shown(value("memory_initial_mb"), " MB"),
            shown(value("memory_final_mb"), " MB"),
            shown(value("memory_leak_rate_mb_per_hour"), " MB/h"),
            value("memory_r_squared").map_or_else(dash, |r_squared| format!("{r_squared:.3}")),
            shown(value("memory_samples"), ""),
            match leak {
                Some(0.0) => "✓ no".to_owned(),
                Some(_) => "✗ yes".to_owned(),
                None => "not told".to_owned(),
            },
            timeline.unwrap_or_default(),
        ]);
    }
    table.0
}

pub(super) fn resources(results: &Results) -> String {
    let mebibytes =
        |bytes: u64| format!("{} MiB", format_number(bytes as f64 / f64::from(1 << 20)));
    let runs = results.named(|_| true);
    let mut table = Markdown::new(&[
        "Run",
        "Clients",
        "Server CPU",
        "Memory before",
        "peak",
        "after",
        "Generator CPU",
        "its timers late (p99)",
    ]);
    let mut any = false;
    for (name, result) in runs {
        let (Some(server), Some(generator)) = (result.server, result.generator) else {
            continue;
        };
        any = true;
        table.row([
            name.to_owned(),
            result.peak().to_string(),
            format!("{:.0}%", server.cpu * 100.0),
            mebibytes(server.memory_before_bytes),
            mebibytes(server.memory_peak_bytes),
            mebibytes(server.memory_after_bytes),
            format!("{:.0}%", generator.cpu * 100.0),
            format!("{:.1} ms", generator.lag_p99_us as f64 / 1e3),
        ]);
    }
    match any {
        true => table.0,
        false => "Not run.\n".to_owned(),
    }
}

/// The most that was held of each resource, over all results.
pub(super) fn limits(results: &Results) -> String {
    type Of = fn(&crate::document::ResultDocument) -> Option<f64>;
    fn highest_rate(result: &crate::document::ResultDocument, names: &[&str]) -> Option<f64> {
        let samples = result.series.samples.iter();
        let rates =
            samples.flat_map(|sample| names.iter().filter_map(|n| sample.per_second.get(*n)));
        rates.copied().reduce(f64::max)
    }
    let rows: [(&str, Of, &str); 6] = [
        (
            "WebSocket connections at once",
            |result| {
                let scripted = result.metrics.get("http_reqs").is_some();
                (!scripted)
                    .then(|| result.peak() as f64)
                    .filter(|peak| *peak > 0.0)
            },
            "",
        ),
        (
            "Clients with HTTP requests at once",
            |result| result.statistic("vus_max", Statistic::Value),
            "",
        ),
        (
            "HTTP requests a second",
            |result| highest_rate(result, &["http_reqs"]),
            "/s",
        ),
        (
            "Messages delivered a second",
            |result| {
                let names = [
                    "ws_messages_received",
                    "messages_received",
                    "events_received",
                ];
                highest_rate(result, &names)
            },
            "/s",
        ),
        (
            "Server memory",
            |result| {
                result
                    .server
                    .map(|server| server.memory_peak_bytes as f64 / f64::from(1 << 20))
            },
            " MiB",
        ),
        (
            "Server processors",
            |result| {
                result
                    .series
                    .samples
                    .iter()
                    .filter_map(|sample| sample.server_cpu)
                    .reduce(f64::max)
            },
            "",
        ),
    ];
    let mut table = Markdown::new(&["Resource", "Most that was held", "In"]);
    for (name, of, unit) in rows {
        let most = results
            .named(|_| true)
            .into_iter()
            .filter_map(|(run, result)| Some((of(result)?, run.to_owned())))
            .max_by(|left, right| left.0.total_cmp(&right.0));
        table.row([
            name.to_owned(),
            shown(most.as_ref().map(|most| most.0), unit),
            most.map_or_else(|| "-".to_owned(), |most| most.1),
        ]);
    }
    table.0
}

pub(super) fn history(results: &Results) -> String {
    let mut table = Markdown::new(&[
        "Date",
        "Environment",
        "Mode",
        "Connections",
        "p95 Conn Time",
        "p95 Broadcast",
        "Pass/Fail",
    ]);
    if results.history.is_empty() {
        return "No result has been kept or compared yet.\n".to_owned();
    }
    for row in &results.history {
        table.0.push_str(row);
        table.0.push('\n');
    }
    table.0
}
