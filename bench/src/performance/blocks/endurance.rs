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
        "Connection time avg / p50 / p95 / p99",
        "Event latency avg / p50 / p95 / p99 / max",
        "Loss",
        "Disconnections",
        "Deliveries",
        "Server memory before / peak / after",
        "Verdict",
    ]);
    let of = |result, metric, statistics: &[Statistic]| {
        let parts: Vec<String> = statistics
            .iter()
            .map(|statistic| millis(result, metric, *statistic))
            .collect();
        parts.join(" / ")
    };
    let (few, all) = (
        [
            Statistic::Mean,
            Statistic::P50,
            Statistic::P95,
            Statistic::P99,
        ],
        [
            Statistic::Mean,
            Statistic::P50,
            Statistic::P95,
            Statistic::P99,
            Statistic::Max,
        ],
    );
    for (name, result) in runs {
        let result = Some(result);
        let received =
            result.and_then(|result| result.statistic("events_received", Statistic::Count));
        table.row([
            name.to_owned(),
            percent(result, "connection_success_rate"),
            of(result, "connection_time", &few),
            of(result, "event_latency", &all),
            percent(result, "event_loss_rate"),
            percent(result, "disconnection_rate"),
            shown(received, ""),
            result.and_then(|result| result.server).map_or_else(
                || "-".to_owned(),
                |server| {
                    let parts = [
                        server.memory_before_bytes,
                        server.memory_peak_bytes,
                        server.memory_after_bytes,
                    ];
                    parts.map(mebibytes).join(" / ")
                },
            ),
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
        "Average",
        "Max",
        "Min",
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
            shown(value("memory_average_mb"), " MB"),
            shown(value("memory_max_mb"), " MB"),
            shown(value("memory_min_mb"), " MB"),
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

fn mebibytes(bytes: u64) -> String {
    format!("{} MiB", format_number(bytes as f64 / f64::from(1 << 20)))
}

pub(super) fn resources(results: &Results) -> String {
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
