//! Two results side by side. Pure.

use crate::document::ResultDocument;
use crate::stats::{Statistic, Summary};
use crate::table::{Table, format_micros, format_number, mark};

/// Fewest observations of a time whose 99th percentile is compared: below, it is the maximum.
const FEWEST: f64 = 100.0;
/// A share may grow by this much whatever it was: one case in a thousand.
const SHARE_SLACK: f64 = 0.001;

/// Which way a number gets worse.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// Lower is better.
    Lower,
    /// Higher is better.
    Higher,
}

/// One number of both results.
#[derive(Clone, Debug, PartialEq)]
pub struct Change {
    /// Metric and statistic.
    pub name: String,
    /// In the baseline.
    pub before: f64,
    /// Now.
    pub now: f64,
    /// What it may be at worst.
    pub limit: f64,
    /// Whether it is worse than that.
    pub regressed: bool,
    time: bool,
}

/// Everything that both results measured.
#[derive(Clone, Debug, PartialEq)]
pub struct Comparison {
    /// In the order of the new result.
    pub changes: Vec<Change>,
}

impl Comparison {
    /// Whether anything got worse than its limit.
    pub fn regressed(&self) -> bool {
        self.changes.iter().any(|change| change.regressed)
    }

    /// The table.
    pub fn table(&self) -> String {
        let mut table = Table::new(["  metric", "baseline", "now", "at worst"]);
        for change in &self.changes {
            let shown = |value: f64| match change.time {
                true => format_micros(value),
                false => format_number(value),
            };
            table.row([
                format!("{} {}", mark(!change.regressed), change.name),
                shown(change.before),
                shown(change.now),
                shown(change.limit),
            ]);
        }
        table.render()
    }
}

/// Holds a result against its baseline: times, faults and sizes may grow, and throughputs shrink,
/// by the factor `buffer`. Counts that only tell how much was done are left out.
pub fn compare(before: &ResultDocument, now: &ResultDocument, buffer: f64) -> Comparison {
    let mut changes = Vec::new();
    for (name, summary) in now.metrics.iter() {
        for (statistic, direction) in compared(name, summary) {
            let values = (
                before.statistic(name, statistic),
                now.statistic(name, statistic),
            );
            let (Some(before_value), Some(now_value)) = values else {
                continue;
            };
            let few = |document: &ResultDocument| {
                document
                    .statistic(name, Statistic::Count)
                    .is_some_and(|count| count < FEWEST)
            };
            if statistic == Statistic::P99 && (few(before) || few(now)) {
                continue;
            }
            let slack = match statistic {
                Statistic::Rate => SHARE_SLACK,
                _ => 0.0,
            };
            let limit = match direction {
                Direction::Lower => before_value * buffer + slack,
                // The share that failed is what may grow.
                Direction::Higher if statistic == Statistic::Rate => {
                    1.0 - ((1.0 - before_value) * buffer + slack)
                }
                Direction::Higher => before_value / buffer,
            };
            changes.push(Change {
                name: format!("{name} {}", statistic.name()),
                before: before_value,
                now: now_value,
                limit,
                regressed: match direction {
                    Direction::Lower => now_value > limit,
                    Direction::Higher => now_value < limit,
                },
                time: matches!(summary, Summary::Trend { .. }),
            });
        }
    }
    Comparison { changes }
}

/// The statistics of a metric that can get worse, and which way.
fn compared(name: &str, summary: &Summary) -> Vec<(Statistic, Direction)> {
    use Direction::{Higher, Lower};
    let has = |words: &[&str]| words.iter().any(|word| name.contains(word));
    let faults = [
        "error",
        "lost",
        "loss",
        "duplicated",
        "misrouted",
        "miscounted",
        "dropped",
        "faulty",
        "failed",
        "mismatched",
        "rejected",
        "rejection",
        "wrong",
        "refused",
        "disconnection",
    ];
    match summary {
        Summary::Trend { .. } => vec![(Statistic::P95, Lower), (Statistic::P99, Lower)],
        Summary::Counter { .. } if has(&faults) => vec![(Statistic::Count, Lower)],
        Summary::Rate { .. } if has(&faults) => vec![(Statistic::Rate, Lower)],
        Summary::Rate { .. } if has(&["success", "delivery", "checks"]) => {
            vec![(Statistic::Rate, Higher)]
        }
        Summary::Gauge { .. } if has(&["memory"]) => vec![(Statistic::Max, Lower)],
        Summary::Value { .. } if has(&["per_second", "throughput", "knee", "request_rate"]) => {
            vec![(Statistic::Value, Higher)]
        }
        Summary::Value { .. } if has(&["_us", "_ms", "_bytes", "_ratio"]) => {
            vec![(Statistic::Value, Lower)]
        }
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::Snapshot;

    fn document(metrics: &[(&str, Summary)]) -> ResultDocument {
        let text = r#"{"schema":1,"tool":"t","version":"0","scenario":"x","machine":{"os":"linux",
            "kernel":null,"arch":"x","processor":null,"cpus":2,"memoryBytes":null},
            "url":"http://h","startedAt":"2026-01-02T03:04:05.000Z","metrics":{}}"#;
        let mut document: ResultDocument = serde_json::from_str(text).unwrap();
        let mut snapshot = Snapshot::default();
        for (name, summary) in metrics {
            snapshot.push(*name, *summary);
        }
        document.metrics = snapshot;
        document
    }

    fn trend(count: u64, p95: u64, p99: u64) -> Summary {
        Summary::Trend {
            count,
            min_us: Some(1),
            mean_us: Some(1.0),
            p50_us: Some(1),
            p95_us: Some(p95),
            p99_us: Some(p99),
            max_us: Some(p99),
        }
    }

    fn regressed(before: &[(&str, Summary)], now: &[(&str, Summary)]) -> Vec<String> {
        let comparison = compare(&document(before), &document(now), 1.2);
        let worse = comparison.changes.iter().filter(|change| change.regressed);
        worse.map(|change| change.name.clone()).collect()
    }

    #[test]
    fn the_documents_own_example() {
        // Connection time p95: 800 ms measured, 960 ms allowed.
        let before = [("ws_connection_time", trend(500, 800_000, 900_000))];
        let same = [("ws_connection_time", trend(500, 960_000, 900_000))];
        let worse = [("ws_connection_time", trend(500, 960_001, 900_000))];
        assert!(regressed(&before, &same).is_empty());
        assert_eq!(regressed(&before, &worse), ["ws_connection_time p95"]);
    }

    #[test]
    fn each_kind_gets_worse_its_own_way() {
        let rate = |rate| Summary::Rate {
            hits: 0,
            total: 0,
            rate: Some(rate),
        };
        let value = |value| Summary::Value { value: Some(value) };
        let count = |count| Summary::Counter { count };
        let before = [
            ("ws_broadcast_lost", count(0)),
            ("ws_messages_sent", count(100)),
            ("ws_broadcast_success", rate(1.0)),
            ("http_req_failed", rate(0.0)),
            ("calls_throughput", value(600.0)),
            ("memory_asleep_bytes", value(100.0)),
            ("few", trend(50, 10, 10)),
        ];
        let now = [
            ("ws_broadcast_lost", count(1)),
            ("ws_messages_sent", count(10)),
            ("ws_broadcast_success", rate(0.998)),
            ("http_req_failed", rate(0.002)),
            ("calls_throughput", value(499.0)),
            ("memory_asleep_bytes", value(121.0)),
            ("few", trend(50, 12, 900)),
        ];
        let worse = regressed(&before, &now);
        assert_eq!(
            worse,
            [
                "ws_broadcast_lost count",
                "ws_broadcast_success rate",
                "http_req_failed rate",
                "calls_throughput value",
                "memory_asleep_bytes value",
            ]
        );
        assert!(regressed(&before, &before).is_empty());
        let table = compare(&document(&before), &document(&now), 1.2).table();
        assert!(table.contains("✗ calls_throughput value"), "{table}");
        assert!(table.contains("✓ few p95"), "{table}");
    }
}
