//! What is said about a metric after a run, and how thresholds and result files name it.

use std::fmt;

use serde::de::{MapAccess, Visitor};
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// One metric, reduced to the numbers that are reported. Times are microseconds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum Summary {
    /// A distribution of durations; everything but `count` is `None` while it is empty.
    #[allow(missing_docs)]
    Trend {
        count: u64,
        min_us: Option<u64>,
        mean_us: Option<f64>,
        p50_us: Option<u64>,
        p95_us: Option<u64>,
        p99_us: Option<u64>,
        max_us: Option<u64>,
    },
    /// A number that only grew.
    #[allow(missing_docs)]
    Counter { count: u64 },
    /// A number that went up and down; `None` if it was never set.
    #[allow(missing_docs)]
    Gauge {
        last: Option<f64>,
        min: Option<f64>,
        max: Option<f64>,
    },
    /// A share between 0 and 1; `None` if there was no case.
    #[allow(missing_docs)]
    Rate {
        hits: u64,
        total: u64,
        rate: Option<f64>,
    },
    /// One measured number, in the unit that its name ends with; `None` if it was not measured.
    #[allow(missing_docs)]
    Value { value: Option<f64> },
}

/// The part of a [`Summary`] that a threshold looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Statistic {
    P50,
    P95,
    P99,
    Min,
    Mean,
    Max,
    Count,
    Rate,
    Last,
    Value,
}

impl Statistic {
    const NAMES: [(&'static str, Self); 10] = [
        ("p50", Self::P50),
        ("p95", Self::P95),
        ("p99", Self::P99),
        ("min", Self::Min),
        ("mean", Self::Mean),
        ("max", Self::Max),
        ("count", Self::Count),
        ("rate", Self::Rate),
        ("last", Self::Last),
        ("value", Self::Value),
    ];

    /// Reads a name as it stands in a threshold.
    pub fn parse(name: &str) -> Option<Self> {
        Self::NAMES
            .iter()
            .find(|known| known.0 == name)
            .map(|known| known.1)
    }

    /// The name in a threshold.
    pub fn name(self) -> &'static str {
        Self::NAMES
            .iter()
            .find(|known| known.1 == self)
            .map_or("", |known| known.0)
    }
}

/// A statistic that this kind of metric does not have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a {kind} has no \"{asked}\"; use {offered}")]
pub struct StatisticError {
    kind: &'static str,
    asked: &'static str,
    offered: &'static str,
}

impl Summary {
    /// Reads one statistic: times in microseconds, rates as a share; `Ok(None)` if nothing was
    /// measured.
    ///
    /// # Errors
    /// The kind of metric has no such statistic.
    pub fn statistic(&self, statistic: Statistic) -> Result<Option<f64>, StatisticError> {
        let as_float = |number: Option<u64>| number.map(|number| number as f64);
        let none = |kind, offered| StatisticError {
            kind,
            asked: statistic.name(),
            offered,
        };
        Ok(match (*self, statistic) {
            (Self::Trend { count, .. } | Self::Counter { count }, Statistic::Count) => {
                Some(count as f64)
            }
            (Self::Trend { p50_us, .. }, Statistic::P50) => as_float(p50_us),
            (Self::Trend { p95_us, .. }, Statistic::P95) => as_float(p95_us),
            (Self::Trend { p99_us, .. }, Statistic::P99) => as_float(p99_us),
            (Self::Trend { min_us, .. }, Statistic::Min) => as_float(min_us),
            (Self::Trend { max_us, .. }, Statistic::Max) => as_float(max_us),
            (Self::Trend { mean_us, .. }, Statistic::Mean) => mean_us,
            (Self::Gauge { last, .. }, Statistic::Last) => last,
            (Self::Gauge { min, .. }, Statistic::Min) => min,
            (Self::Gauge { max, .. }, Statistic::Max) => max,
            (Self::Rate { rate, .. }, Statistic::Rate) => rate,
            (Self::Value { value }, Statistic::Value) => value,
            (Self::Trend { .. }, _) => {
                return Err(none("trend", "p50, p95, p99, min, mean, max or count"));
            }
            (Self::Counter { .. }, _) => return Err(none("counter", "count")),
            (Self::Gauge { .. }, _) => return Err(none("gauge", "last, min or max")),
            (Self::Rate { .. }, _) => return Err(none("rate", "rate")),
            (Self::Value { .. }, _) => return Err(none("value", "value")),
        })
    }

    /// Whether its statistics are times in microseconds.
    pub fn is_time(&self) -> bool {
        matches!(self, Self::Trend { .. })
    }
}

/// All metrics of a run by name, in the order of the report.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Snapshot {
    metrics: Vec<(String, Summary)>,
}

impl Snapshot {
    /// Adds a metric.
    pub fn push(&mut self, name: impl Into<String>, summary: Summary) {
        self.metrics.push((name.into(), summary));
    }

    /// The metric of that name.
    pub fn get(&self, name: &str) -> Option<&Summary> {
        self.metrics
            .iter()
            .find(|metric| metric.0 == name)
            .map(|metric| &metric.1)
    }

    /// Every metric with its name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Summary)> {
        self.metrics
            .iter()
            .map(|(name, summary)| (name.as_str(), summary))
    }
}

impl Serialize for Snapshot {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.metrics.len()))?;
        for (name, summary) in &self.metrics {
            map.serialize_entry(name, summary)?;
        }
        map.end()
    }
}

/// Read back in the order of the file.
impl<'de> Deserialize<'de> for Snapshot {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct InOrder;
        impl<'de> Visitor<'de> for InOrder {
            type Value = Snapshot;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("metrics by name")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Snapshot, A::Error> {
                let mut snapshot = Snapshot::default();
                while let Some((name, summary)) = map.next_entry::<String, Summary>()? {
                    snapshot.push(name, summary);
                }
                Ok(snapshot)
            }
        }
        deserializer.deserialize_map(InOrder)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_answers_its_own_statistics_and_refuses_the_others() {
        let trend = Summary::Trend {
            count: 4,
            min_us: Some(1),
            mean_us: Some(2.5),
            p50_us: Some(2),
            p95_us: Some(5),
            p99_us: Some(6),
            max_us: Some(7),
        };
        let gauge = Summary::Gauge {
            last: Some(1.0),
            min: Some(0.5),
            max: Some(3.0),
        };
        let rate = Summary::Rate {
            hits: 1,
            total: 2,
            rate: Some(0.5),
        };
        let counter = Summary::Counter { count: 9 };
        let value = Summary::Value { value: Some(8.0) };
        let cases: [(&Summary, &[(Statistic, f64)]); 5] = [
            (
                &trend,
                &[
                    (Statistic::P50, 2.0),
                    (Statistic::P95, 5.0),
                    (Statistic::P99, 6.0),
                    (Statistic::Min, 1.0),
                    (Statistic::Mean, 2.5),
                    (Statistic::Max, 7.0),
                    (Statistic::Count, 4.0),
                ],
            ),
            (
                &gauge,
                &[
                    (Statistic::Last, 1.0),
                    (Statistic::Min, 0.5),
                    (Statistic::Max, 3.0),
                ],
            ),
            (&rate, &[(Statistic::Rate, 0.5)]),
            (&counter, &[(Statistic::Count, 9.0)]),
            (&value, &[(Statistic::Value, 8.0)]),
        ];
        for (summary, answers) in cases {
            for (_, statistic) in Statistic::NAMES {
                let expected = answers.iter().find(|answer| answer.0 == statistic);
                match expected {
                    Some(expected) => {
                        assert_eq!(summary.statistic(statistic), Ok(Some(expected.1)));
                    }
                    None => assert!(summary.statistic(statistic).is_err(), "{summary:?}"),
                }
            }
        }
    }

    #[test]
    fn statistic_names_round_trip() {
        for (name, statistic) in Statistic::NAMES {
            assert_eq!(Statistic::parse(name), Some(statistic));
            assert_eq!(statistic.name(), name);
        }
        assert_eq!(Statistic::parse("p98"), None);
    }

    #[test]
    fn a_snapshot_is_written_as_an_object_in_its_order() {
        let mut snapshot = Snapshot::default();
        snapshot.push("zebra", Summary::Counter { count: 1 });
        snapshot.push(
            "ant",
            Summary::Rate {
                hits: 0,
                total: 0,
                rate: None,
            },
        );
        assert_eq!(
            serde_json::to_string(&snapshot).unwrap(),
            r#"{"zebra":{"kind":"counter","count":1},"ant":{"kind":"rate","hits":0,"total":0,"rate":null}}"#
        );
        let read: Snapshot =
            serde_json::from_str(&serde_json::to_string(&snapshot).unwrap()).unwrap();
        assert_eq!(read, snapshot);
        assert_eq!(snapshot.get("zebra"), Some(&Summary::Counter { count: 1 }));
        assert_eq!(snapshot.get("bee"), None);
    }
}
