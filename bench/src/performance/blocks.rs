//! The tables of the performance document, in the layout of the load-test documents.

use std::fmt::Write as _;

use super::Results;
use crate::document::ResultDocument;
use crate::stats::Statistic;
use crate::table::format_number;

/// How a block is made.
type Make = fn(&Results) -> String;

/// The blocks by name.
pub(super) const NAMES: [(&str, Make); 10] = [
    ("footprint", footprint),
    ("ws", websocket),
    ("extreme", extreme),
    ("capacity", capacity),
    ("http", http),
    ("events", events),
    ("load", load),
    ("leak", leak),
    ("resources", resources),
    ("history", history),
];

/// The block of that name.
pub(super) fn block(name: &str, results: &Results) -> Option<String> {
    let known = NAMES.iter().find(|known| known.0 == name);
    known.map(|known| known.1(results))
}

/// A Markdown table.
struct Markdown(String);

impl Markdown {
    fn new(heads: &[&str]) -> Self {
        let mut table = Self(String::new());
        table.row(heads.iter().map(|head| (*head).to_owned()));
        let rule = heads.iter().map(|_| "---".to_owned());
        table.row(rule);
        table
    }

    fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.0.push('|');
        for cell in cells {
            // Writing to a string cannot fail.
            let _ = write!(self.0, " {} |", cell.replace('|', "\\|"));
        }
        self.0.push('\n');
    }
}

fn dash() -> String {
    "not run".to_owned()
}

fn shown(value: Option<f64>, unit: &str) -> String {
    value.map_or_else(dash, |value| format!("{}{unit}", format_number(value)))
}

fn millis(result: Option<&ResultDocument>, metric: &str, statistic: Statistic) -> String {
    let value = result.and_then(|result| result.millis(metric, statistic));
    value.map_or_else(dash, |value| match value {
        value if value < 10.0 => format!("{value:.2} ms"),
        value => format!("{value:.1} ms"),
    })
}

fn percent(result: Option<&ResultDocument>, metric: &str) -> String {
    let rate = result.and_then(|result| result.statistic(metric, Statistic::Rate));
    shown(rate.map(|rate| rate * 100.0), "%")
}

fn verdict(result: &ResultDocument) -> String {
    let passed = match result.passed {
        Some(true) => "✓ passed",
        Some(false) => "✗ failed",
        None => "measured",
    };
    match result.valid() {
        true => passed.to_owned(),
        false => format!("{passed}; the generator fell behind"),
    }
}

/// Whether every threshold and criterion that looks at a metric held.
fn status(result: Option<&ResultDocument>, metric: &str) -> String {
    let Some(result) = result else {
        return "-".to_owned();
    };
    let about = |threshold: &str| threshold.split_whitespace().next() == Some(metric);
    let criteria = result
        .judgements
        .criteria
        .iter()
        .flat_map(|criterion| &criterion.parts);
    let judged: Vec<bool> = result
        .judgements
        .thresholds
        .iter()
        .chain(criteria)
        .filter(|judgement| about(&judgement.threshold))
        .map(|judgement| judgement.passed)
        .collect();
    match (judged.is_empty(), judged.iter().all(|passed| *passed)) {
        (true, _) => "-".to_owned(),
        (false, true) => "✓".to_owned(),
        (false, false) => "✗".to_owned(),
    }
}

fn footprint(results: &Results) -> String {
    let (one, two) = (
        results.newest("footprint"),
        results.newest("footprint-2-workers"),
    );
    let value = |result: Option<&ResultDocument>, metric: &str| {
        result.and_then(|result| result.statistic(metric, Statistic::Value))
    };
    let rows = [
        (
            "resident bytes of a sleeping connection",
            "memory_asleep_bytes",
            "",
            "",
        ),
        (
            "resident bytes of an awake connection",
            "memory_awake_bytes",
            "",
            "",
        ),
        (
            "kernel's slab for a socket, bytes",
            "memory_kernel_slab_bytes",
            "",
            "",
        ),
        (
            "CPU per delivery, 10 connections",
            "fan_out_10",
            "cpu",
            " µs",
        ),
        (
            "CPU per delivery, 1,000 connections",
            "fan_out_1000",
            "cpu",
            " µs",
        ),
        (
            "CPU per delivery, 10,000 connections",
            "fan_out_10000",
            "cpu",
            " µs",
        ),
        (
            "… 1,000 connections, 8 broadcasts in flight",
            "fan_out_1000_in_flight_8",
            "cpu",
            " µs",
        ),
        (
            "… 10,000 connections, 8 in flight",
            "fan_out_10000_in_flight_8",
            "cpu",
            " µs",
        ),
        (
            "p99 of a delivery, 1,000 connections",
            "fan_out_1000",
            "p99",
            " ms",
        ),
        ("CPU per ping, 10 connections", "echo_10", "cpu", " µs"),
        ("CPU per ping, 1,000 connections", "echo_1000", "cpu", " µs"),
        ("CPU per connect", "connect", "cpu", " µs"),
        ("CPU per disconnect", "disconnect", "cpu", " µs"),
    ];
    let mut table = Markdown::new(&["", "Dormouse", "÷ floor", "÷ floor, 2 workers"]);
    for (name, metric, part, unit) in rows {
        let cells = match part {
            "" => {
                let bytes = |result| value(result, metric).map(f64::round);
                [
                    shown(bytes(one), ""),
                    "-".to_owned(),
                    shown(bytes(two), " (bytes)"),
                ]
            }
            part => {
                let of = |result| {
                    let micros = value(result, &format!("{metric}_{part}_us"));
                    micros.map(|micros| if unit == " ms" { micros / 1e3 } else { micros })
                };
                let ratio = |result| value(result, &format!("{metric}_{part}_ratio"));
                [
                    shown(of(one), unit),
                    shown(ratio(one), ""),
                    shown(ratio(two), ""),
                ]
            }
        };
        table.row(std::iter::once(name.to_owned()).chain(cells));
    }
    table.0
}

fn websocket(results: &Results) -> String {
    let mut text = String::new();
    let modes = [
        ("smoke", "Smoke Test Results (10 connections, 30 seconds)"),
        ("scale", "Scale Test Results (100+ connections)"),
        ("sustained", "Sustained Test Results (5 minutes)"),
        ("stress", "Stress Test Results (200 connections)"),
        (
            "reconnect",
            "Reconnection Test Results (every connection once)",
        ),
    ];
    for (name, title) in modes {
        let result = results.newest(name);
        let mut table = Markdown::new(&["Metric", "p50", "p95", "p99", "Status"]);
        for (label, metric) in [
            ("Connection Time", "ws_connection_time"),
            ("Message Latency", "ws_message_latency"),
            ("Broadcast Delivery", "ws_broadcast_delivery_time"),
            ("Reconnection Time", "ws_reconnection_time"),
            ("Stats/broadcast endpoint", "http_req_duration"),
        ] {
            let part = |statistic| millis(result, metric, statistic);
            table.row([
                label.to_owned(),
                part(Statistic::P50),
                part(Statistic::P95),
                part(Statistic::P99),
                status(result, metric),
            ]);
        }
        let _ = writeln!(text, "### {title}\n\n{}", table.0);
        if let Some(result) = result {
            let lost: u64 = result
                .all_accounts()
                .iter()
                .map(|account| account.lost)
                .sum();
            let expected: u64 = result
                .all_accounts()
                .iter()
                .map(|account| account.expected)
                .sum();
            let growth = result.statistic("server_memory_growth", Statistic::Value);
            let _ = write!(
                text,
                "{}, {}: {} connections, {} deliveries and pongs expected, {lost} lost",
                result.day(),
                verdict(result),
                result.peak(),
                format_number(expected as f64),
            );
            if let Some(growth) = growth {
                let _ = write!(text, ", memory grew by {:.1}% at the peak", growth * 100.0);
            }
            text.push_str(".\n\n");
        }
    }
    text
}

fn extreme(results: &Results) -> String {
    let mut text = String::new();
    for name in ["extreme", "spike-extreme"] {
        let Some(result) = results.newest(name) else {
            let _ = writeln!(text, "### Test Run: {name}\n\nNot run.\n");
            continue;
        };
        let duration = result.duration_seconds / 60.0;
        let _ = writeln!(
            text,
            "### Test Run: {}\n\n- Test Mode: {name}\n- Duration: {} minutes\n- Verdict: {}\n\
             - Peak Connections: {}\n- Rejection Rate: {}\n- p95 Latency: {}\n\
             - p95 Broadcast Delivery: {}\n- p95 Connection Time: {}\n\
             - DO Response Time (p95): {}\n",
            result.day(),
            format_number(duration),
            verdict(result),
            result.peak(),
            percent(Some(result), "do_connection_rejection_rate"),
            millis(Some(result), "ws_message_latency", Statistic::P95),
            millis(Some(result), "ws_broadcast_delivery_time", Statistic::P95),
            millis(Some(result), "ws_connection_time", Statistic::P95),
            millis(Some(result), "do_response_time", Statistic::P95),
        );
    }
    text
}

fn capacity(results: &Results) -> String {
    let found = results.named(|stem| stem.starts_with("capacity-"));
    if found.is_empty() {
        return "Not run.\n".to_owned();
    }
    let mut text = String::new();
    for (name, result) in found {
        let _ = writeln!(text, "### {name}, {}, {}\n", result.day(), verdict(result));
        for table in &result.tables {
            let blank = table.columns.iter().all(String::is_empty);
            let _ = writeln!(text, "**{}**\n", table.title);
            if blank || table.columns.len() == 2 {
                for row in &table.rows {
                    let row = row.join(": ").replace("[ ]: ", "");
                    let _ = writeln!(text, "- {row}");
                }
                text.push('\n');
            } else {
                let columns: Vec<&str> = table.columns.iter().map(String::as_str).collect();
                let mut markdown = Markdown::new(&columns);
                table
                    .rows
                    .iter()
                    .for_each(|row| markdown.row(row.iter().cloned()));
                let _ = writeln!(text, "{}", markdown.0);
            }
        }
    }
    text
}

fn http(results: &Results) -> String {
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

/// A row of the events tables: label, target, metric, statistic.
type Row = (&'static str, &'static str, &'static str, Statistic);

fn events(results: &Results) -> String {
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

fn load(results: &Results) -> String {
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

fn leak(results: &Results) -> String {
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

fn resources(results: &Results) -> String {
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

fn history(results: &Results) -> String {
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
