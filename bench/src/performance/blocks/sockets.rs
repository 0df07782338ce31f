//! The WebSocket modes, hundreds of connections of one user, and capacity.

use std::fmt::Write as _;

use super::{Markdown, millis, percent, status, verdict};
use crate::document::ResultDocument;
use crate::stats::Statistic;
use crate::table::{format_number, mark};

use crate::performance::Results;

pub(super) fn websocket(results: &Results) -> String {
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
                let _ = write!(
                    text,
                    ", memory at the peak changed by {:+.1}%",
                    growth * 100.0 + 0.0
                );
            }
            text.push_str(".\n\n");
        }
    }
    let _ = writeln!(
        text,
        "### Success Criteria (HAP-263)\n\n{}",
        criteria(results)
    );
    text
}

/// The criteria of HAP-263 by mode. Their names tell the number of connections, which differs.
fn criteria(results: &Results) -> String {
    let modes = ["smoke", "scale", "sustained", "stress", "reconnect"];
    let rows = [
        ("All connections at once", "concurrent connections"),
        ("Broadcast p95 < 500ms", "Broadcast < 500ms"),
        ("Connection success > 95%", "Connection success > 95%"),
        (
            "Filtered broadcasts route correctly",
            "Filtered broadcasts route correctly",
        ),
        ("No connection drops", "No connection drops"),
        ("Memory usage remains stable", "Memory usage"),
    ];
    let heads: Vec<&str> = std::iter::once("Criterion").chain(modes).collect();
    let mut table = Markdown::new(&heads);
    for (label, part) in rows {
        let cells = modes.map(|mode| {
            let Some(result) = results.newest(mode) else {
                return "not run".to_owned();
            };
            let mut criteria = result.judgements.criteria.iter();
            criteria
                .find(|criterion| criterion.name.contains(part))
                .map_or_else(|| "-".to_owned(), |found| mark(found.passed).to_string())
        });
        table.row(std::iter::once(label.to_owned()).chain(cells));
    }
    table.0
}

/// Where a run over time first does worse than at its beginning: the number of connections, and
/// what was seen there.
fn degradation(result: &ResultDocument) -> Vec<String> {
    /// As `capacity` has it.
    const WORSE: u64 = 3;
    /// Below this, p95 of few messages is noise.
    const LEAST_US: u64 = 5_000;
    let mut points = Vec::new();
    for (metric, name) in [
        ("ws_message_latency", "message latency"),
        ("ws_broadcast_delivery_time", "broadcast delivery"),
    ] {
        let samples = result.series.samples.iter();
        let seen: Vec<(u64, u64)> = samples
            .filter_map(|sample| Some((sample.connections, sample.latencies.get(metric)?.p95_us)))
            .collect();
        let Some(first) = seen.first() else {
            continue;
        };
        let worse = |found: &&(u64, u64)| found.1 >= (first.1 * WORSE).max(LEAST_US);
        if let Some(found) = seen.iter().find(worse) {
            points.push(format!(
                "At {} connections: {name} p95 is {:.1} ms, {:.1} ms at {}",
                found.0,
                found.1 as f64 / 1e3,
                first.1 as f64 / 1e3,
                first.0
            ));
        }
    }
    let rejected = result.statistic("do_connections_rejected", Statistic::Count);
    if let Some(rejected) = rejected.filter(|rejected| *rejected > 0.0) {
        points.push(format!(
            "{} connections were rejected",
            format_number(rejected)
        ));
    }
    if points.is_empty() {
        points.push(format!("none up to {} connections", result.peak()));
    }
    points
}

pub(super) fn extreme(results: &Results) -> String {
    let mut text = String::new();
    for name in ["extreme", "spike-extreme"] {
        let Some(result) = results.newest(name) else {
            let _ = writeln!(
                text,
                "### Test Run: {name}\n\n- Target: not run\n- Peak Connections: not run\n\
                 - Rejection Rate: not run\n- p95 Latency: not run\n\
                 - DO Response Time (p95): not run\n- Degradation Points: not run\n"
            );
            continue;
        };
        let duration = result.duration_seconds / 60.0;
        let _ = writeln!(
            text,
            "### Test Run: {name}, {}\n\n- Target: this machine, over loopback\n\
             - Test Mode: {name}\n- Duration: {} minutes\n- Verdict: {}\n\
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
        text.push_str("Degradation Points\n\n");
        for point in degradation(result) {
            let _ = writeln!(text, "- {point}");
        }
        text.push('\n');
    }
    text
}

/// The tiers of the capacity planning guide: what is promised, and what the capacity run saw at
/// that many connections.
fn tiers(results: &Results) -> String {
    let result = results.newest("capacity-connections-enterprise");
    let steps = result.and_then(|result| result.tables.iter().find(|table| table.title == "Steps"));
    let place = |name: &str| steps?.columns.iter().position(|column| column == name);
    // Columns of the steps: the level comes first, then that of the latency's p95.
    let at = |level: u64| {
        steps?
            .rows
            .iter()
            .find(|row| row.first() == Some(&level.to_string()))
    };
    let cell = |level: u64, column: Option<usize>| {
        let found = at(level)
            .zip(column)
            .and_then(|(row, column)| row.get(column).cloned());
        found.unwrap_or_else(|| match result {
            Some(_) => "-".to_owned(),
            None => "not run".to_owned(),
        })
    };
    let mut table = Markdown::new(&[
        "Tier",
        "Connection Limit",
        "Latency SLO",
        "p95 Latency",
        "p95 Broadcast",
        "Rejected",
    ]);
    for (tier, limit, promise) in [
        ("Free", 20, "p95 < 500ms"),
        ("Pro", 100, "p95 < 200ms"),
        ("Enterprise", 500, "p95 < 100ms"),
    ] {
        table.row([
            tier.to_owned(),
            limit.to_string(),
            promise.to_owned(),
            cell(limit, place("p95")),
            cell(limit, place("broadcast p95")),
            cell(limit, place("rejected")),
        ]);
    }
    table.0
}

pub(super) fn capacity(results: &Results) -> String {
    let found = results.named(|stem| stem.starts_with("capacity-"));
    let mut text = format!("{}\n", tiers(results));
    if found.is_empty() {
        text.push_str("Not run.\n");
    }
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
