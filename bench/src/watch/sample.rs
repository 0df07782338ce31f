//! The run over time, as it stands in a result file.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::stats::Trend;

/// Samples at even distances.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Series {
    /// Seconds between two samples.
    pub interval_seconds: f64,
    /// In order of time.
    pub samples: Vec<Sample>,
}

/// What happened since the sample before.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Sample {
    /// Since the run began.
    pub seconds: f64,
    /// Open connections, or busy clients, at this moment.
    pub connections: u64,
    /// By metric; metrics without a new observation are left out.
    #[serde(default)]
    pub latencies: BTreeMap<String, Percentiles>,
    /// Growth of counters by metric.
    #[serde(default)]
    pub per_second: BTreeMap<String, f64>,
    /// Resident memory of the server.
    pub server_memory_bytes: Option<u64>,
    /// Processors that the server used: 1 is one of them fully.
    pub server_cpu: Option<f64>,
    /// Processors that this program used.
    pub generator_cpu: f64,
    /// 99th percentile of how late this program's own timers were.
    pub generator_lag_us: u64,
}

/// Percentiles of the observations of one sample, in microseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct Percentiles {
    pub p50_us: u64,
    pub p95_us: u64,
    pub p99_us: u64,
}

impl Percentiles {
    /// `None` of nothing.
    pub(super) fn of(trend: &Trend) -> Option<Self> {
        Some(Self {
            p50_us: trend.quantile(0.50)?,
            p95_us: trend.quantile(0.95)?,
            p99_us: trend.quantile(0.99)?,
        })
    }
}

impl Series {
    /// A series without samples.
    pub(super) fn new(interval: Duration) -> Self {
        Self {
            interval_seconds: interval.as_secs_f64(),
            samples: Vec::new(),
        }
    }

    /// Lays another worker's series over this one, sample by sample. Connections, rates and this
    /// program's processors add up; of latencies and lag the worse is kept; the server is one.
    pub fn merge(&mut self, other: &Self) {
        for (ours, theirs) in self.samples.iter_mut().zip(&other.samples) {
            ours.connections += theirs.connections;
            ours.generator_cpu += theirs.generator_cpu;
            ours.generator_lag_us = ours.generator_lag_us.max(theirs.generator_lag_us);
            ours.server_cpu = ours.server_cpu.or(theirs.server_cpu);
            ours.server_memory_bytes = ours.server_memory_bytes.or(theirs.server_memory_bytes);
            for (name, rate) in &theirs.per_second {
                *ours.per_second.entry(name.clone()).or_default() += rate;
            }
            for (name, theirs) in &theirs.latencies {
                let ours = ours.latencies.entry(name.clone()).or_insert(*theirs);
                ours.p50_us = ours.p50_us.max(theirs.p50_us);
                ours.p95_us = ours.p95_us.max(theirs.p95_us);
                ours.p99_us = ours.p99_us.max(theirs.p99_us);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn workers_are_laid_over_each_other() {
        let sample = |connections, p99_us| Sample {
            connections,
            latencies: [(
                "t".to_owned(),
                Percentiles {
                    p50_us: 1,
                    p95_us: 2,
                    p99_us,
                },
            )]
            .into(),
            per_second: [("c".to_owned(), 10.0)].into(),
            generator_cpu: 0.5,
            ..Sample::default()
        };
        let mut series = Series {
            interval_seconds: 1.0,
            samples: vec![sample(3, 9), sample(4, 9)],
        };
        let other = Series {
            interval_seconds: 1.0,
            samples: vec![sample(5, 20)],
        };
        series.merge(&other);
        assert_eq!(series.samples[0].connections, 8);
        assert_eq!(series.samples[0].latencies["t"].p99_us, 20);
        assert_eq!(series.samples[0].per_second["c"], 20.0);
        assert_eq!(series.samples[0].generator_cpu, 1.0);
        assert_eq!(series.samples[1].connections, 4);
        let text = serde_json::to_string(&series).unwrap();
        assert_eq!(serde_json::from_str::<Series>(&text).unwrap(), series);
    }
}
