//! Connections: what they cost, and the WebSocket modes.

use std::fmt::Write as _;

use super::{Markdown, millis, percent, shown, status, verdict};
use crate::document::ResultDocument;
use crate::stats::Statistic;
use crate::table::format_number;

use crate::performance::Results;

pub(super) fn footprint(results: &Results) -> String {
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
    text
}

pub(super) fn extreme(results: &Results) -> String {
    let mut text = String::new();
    for name in ["extreme", "spike-extreme"] {
        let Some(result) = results.newest(name) else {
            let _ = writeln!(text, "### Test Run: {name}\n\nNot run.\n");
            continue;
        };
        let duration = result.duration_seconds / 60.0;
        let _ = writeln!(
            text,
            "### Test Run: {name}, {}\n\n- Test Mode: {name}\n- Duration: {} minutes\n- Verdict: {}\n\
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

pub(super) fn capacity(results: &Results) -> String {
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
