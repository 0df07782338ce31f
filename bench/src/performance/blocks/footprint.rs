//! What connections cost: awake, asleep, woken, among few and many, here and elsewhere.

use super::{Markdown, dash, shown};
use crate::document::ResultDocument;
use crate::performance::Results;
use crate::stats::Statistic;
use crate::table::format_number;

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

fn value(result: Option<&ResultDocument>, metric: &str) -> Option<f64> {
    result.and_then(|result| result.statistic(metric, Statistic::Value))
}

/// The number in a metric's name between two parts of it.
fn number_within(metric: &str, before: &str, after: &str) -> Option<u64> {
    metric
        .strip_prefix(before)?
        .strip_suffix(after)?
        .parse()
        .ok()
}

/// The first number that a result's metrics have between two parts of their names.
fn size_of(result: Option<&ResultDocument>, before: &str, after: &str) -> Option<u64> {
    let mut names = result?.metrics.iter().map(|metric| metric.0);
    names.find_map(|name| number_within(name, before, after))
}

pub(super) fn sleeping(results: &Results) -> String {
    let mut table = Markdown::new(&["Figure", "Goal", "Measured", "Status"]);
    let result = results.newest("footprint-sleeping");
    let number = |count: Option<u64>, otherwise: &str| {
        count.map_or_else(|| otherwise.to_owned(), |count| format_number(count as f64))
    };
    let woken = size_of(result, "wake_", "_p99_us");
    let users = size_of(result, "wake_", "_users_seconds");
    let wake = |part: &str| value(result, &format!("wake_{}_{part}", woken.unwrap_or(0)));
    let rush = |part: &str| value(result, &format!("wake_{}_users_{part}", users.unwrap_or(0)));
    let millis = |micros: Option<f64>| micros.map(|micros| micros / 1e3);
    let (connections, users) = (number(woken, "500"), number(users, "10,000"));
    let rows = [
        (
            "CPU of sleeping connections with protocol pings every 30 s".to_owned(),
            Some(1.0),
            value(result, "idle_cpu_percent"),
            "% of a core",
        ),
        (
            "… of the floor, which pings as many".to_owned(),
            None,
            value(result, "idle_floor_cpu_percent"),
            "% of a core",
        ),
        (
            format!("a broadcast that wakes {connections} connections, p50"),
            None,
            millis(wake("p50_us")),
            " ms",
        ),
        (
            format!("a broadcast that wakes {connections} connections, p99"),
            Some(5.0),
            millis(wake("p99_us")),
            " ms",
        ),
        (
            "the next broadcast, which finds them awake, p99".to_owned(),
            None,
            millis(wake("awake_p99_us")),
            " ms",
        ),
        (
            "a broadcast of the floor to as many, after as long a rest, p99".to_owned(),
            None,
            millis(wake("floor_p99_us")),
            " ms",
        ),
        (
            format!("{users} users woken at once: until all have their answer"),
            Some(2.0),
            rush("seconds"),
            " s",
        ),
        (
            "users who were awake, before: p99 of a ping".to_owned(),
            None,
            millis(rush("others_before_p99_us")),
            " ms",
        ),
        (
            "users who were awake, meanwhile: p99 of a ping".to_owned(),
            Some(50.0),
            millis(rush("others_p99_us")),
            " ms",
        ),
    ];
    for (name, goal, measured, unit) in rows {
        let mark = goal
            .zip(measured)
            .map(|(goal, measured)| crate::table::mark(measured <= goal).to_string());
        table.row([
            name,
            goal.map_or_else(
                || "-".to_owned(),
                |goal| format!("≤ {}{unit}", format_number(goal)),
            ),
            shown(measured, unit),
            mark.unwrap_or_else(|| "-".to_owned()),
        ]);
    }
    table.0
}

pub(super) fn growth(results: &Results) -> String {
    let mut table = Markdown::new(&[
        "Connections",
        "Users",
        "Bytes awake",
        "Bytes asleep",
        "CPU per connect",
        "CPU per ping",
        "Run",
    ]);
    let runs = results.named(|stem| stem.starts_with("footprint-growth"));
    if runs.is_empty() {
        table.row(std::iter::repeat_with(dash).take(7));
        return table.0;
    }
    let mut rows = Vec::new();
    for (name, result) in runs {
        let names = result.metrics.iter().map(|metric| metric.0);
        for size in names.filter_map(|name| number_within(name, "growth_", "_asleep_bytes")) {
            let of = |part: &str| value(Some(result), &format!("growth_{size}_{part}"));
            let cells = [
                format_number(size as f64),
                shown(of("users"), ""),
                shown(of("awake_bytes").map(f64::round), ""),
                shown(of("asleep_bytes").map(f64::round), ""),
                shown(of("connect_cpu_us"), " µs"),
                shown(of("ping_cpu_us"), " µs"),
                name.to_owned(),
            ];
            let users = of("users").unwrap_or(0.0) as u64;
            rows.push((users.min(2), name.to_owned(), size, cells));
        }
    }
    rows.sort_by(|left, right| (left.0, &left.1, left.2).cmp(&(right.0, &right.1, right.2)));
    for row in rows {
        table.row(row.3);
    }
    table.0
}

/// Servers of others, measured by the same generator: `footprint-other-<name>`.
pub(super) fn others(results: &Results) -> String {
    let runs = results.named(|stem| stem.starts_with("footprint-other-"));
    if runs.is_empty() {
        return "Not run.\n".to_owned();
    }
    let mut table = Markdown::new(&[
        "Server",
        "Bytes per idle connection",
        "CPU per delivery, 1,000 connections",
        "÷ floor",
        "CPU per ping, 1,000 connections",
        "÷ floor",
        "CPU per connect",
    ]);
    for (name, result) in runs {
        let of = |metric| value(Some(result), metric);
        table.row([
            name.trim_start_matches("footprint-other-").to_owned(),
            shown(of("memory_awake_bytes").map(f64::round), ""),
            shown(of("fan_out_1000_cpu_us"), " µs"),
            shown(of("fan_out_1000_cpu_ratio"), ""),
            shown(of("echo_1000_cpu_us"), " µs"),
            shown(of("echo_1000_cpu_ratio"), ""),
            shown(of("connect_cpu_us"), " µs"),
        ]);
    }
    table.0
}
