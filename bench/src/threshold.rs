//! Thresholds: the limits that a run is held to, written as data.
//!
//! Owns their one-line notation (`ws_message_latency p95 < 100ms`) and their judgement of a
//! [`Snapshot`]. Modes and goals are made of them. A metric that was not measured never passes.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::stats::{Snapshot, Statistic, StatisticError, Summary};
use crate::table::{format_micros, format_number};

/// A limit for one statistic of one metric: `<metric> <statistic> <comparison> <limit>`, where the
/// limit carries `us`, `ms` or `s` for times, `%` for rates and nothing for the rest.
#[derive(Clone, Debug, PartialEq)]
pub struct Threshold {
    text: String,
    metric: String,
    statistic: Statistic,
    comparison: Comparison,
    /// In microseconds, as a share, or as it is.
    limit: f64,
    unit: Unit,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Comparison {
    Less,
    AtMost,
    Greater,
    AtLeast,
    Equal,
}

impl Comparison {
    const NAMES: [(&'static str, Self); 5] = [
        ("<", Self::Less),
        ("<=", Self::AtMost),
        (">", Self::Greater),
        (">=", Self::AtLeast),
        ("==", Self::Equal),
    ];

    fn holds(self, observed: f64, limit: f64) -> bool {
        match self {
            Self::Less => observed < limit,
            Self::AtMost => observed <= limit,
            Self::Greater => observed > limit,
            Self::AtLeast => observed >= limit,
            Self::Equal => observed == limit,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Unit {
    Time,
    Share,
    Plain,
}

impl Unit {
    /// What a statistic is counted in.
    fn of(summary: &Summary, statistic: Statistic) -> Self {
        match summary {
            Summary::Trend { .. } if statistic != Statistic::Count => Self::Time,
            Summary::Rate { .. } => Self::Share,
            _ => Self::Plain,
        }
    }
}

/// Why a threshold is refused when its mode is read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ThresholdError {
    /// Not four words.
    #[error("write it as \"<metric> <statistic> <comparison> <limit>\"")]
    Shape,
    /// Not a statistic's name.
    #[error(
        "unknown statistic \"{0}\"; use p50, p95, p99, min, mean, max, count, rate, last or value"
    )]
    Statistic(String),
    /// Not a comparison.
    #[error("unknown comparison \"{0}\"; use <, <=, >, >= or ==")]
    Comparison(String),
    /// Not a finite number, or an unknown unit.
    #[error("cannot read the limit \"{0}\"; write a number followed by us, ms, s, % or nothing")]
    Limit(String),
    /// No such metric.
    #[error("this scenario has no metric \"{0}\"")]
    Metric(String),
    /// The metric is of another kind.
    #[error(transparent)]
    Kind(#[from] StatisticError),
    /// The limit is in another unit than the statistic.
    #[error("a limit of \"{metric} {statistic}\" is written {written}")]
    Unit {
        /// The metric.
        metric: String,
        /// Its statistic.
        statistic: &'static str,
        /// How the limit is to be written.
        written: &'static str,
    },
}

impl Threshold {
    /// Reads the notation.
    ///
    /// # Errors
    /// [`ThresholdError`], whose text says how to write it.
    pub fn parse(text: &str) -> Result<Self, ThresholdError> {
        let words: Vec<&str> = text.split_whitespace().collect();
        let [metric, statistic, comparison, limit] = words[..] else {
            return Err(ThresholdError::Shape);
        };
        let known = Comparison::NAMES.iter().find(|known| known.0 == comparison);
        let (limit, unit) =
            parse_limit(limit).ok_or_else(|| ThresholdError::Limit(limit.to_owned()))?;
        Ok(Self {
            text: words.join(" "),
            metric: metric.to_owned(),
            statistic: Statistic::parse(statistic)
                .ok_or_else(|| ThresholdError::Statistic(statistic.to_owned()))?,
            comparison: known
                .ok_or_else(|| ThresholdError::Comparison(comparison.to_owned()))?
                .1,
            limit,
            unit,
        })
    }

    /// Checks that a scenario with these metrics can be held to it: a misspelt threshold must be
    /// refused before the run, not pass or fail after it.
    ///
    /// # Errors
    /// Unknown metric, a statistic that its kind does not have, or a limit in the wrong unit.
    pub fn check_metric(&self, metrics: &Snapshot) -> Result<(), ThresholdError> {
        let summary = metrics
            .get(&self.metric)
            .ok_or_else(|| ThresholdError::Metric(self.metric.clone()))?;
        summary.statistic(self.statistic)?;
        let written = match Unit::of(summary, self.statistic) {
            expected if expected == self.unit => return Ok(()),
            Unit::Time => "with us, ms or s",
            Unit::Share => "with %",
            Unit::Plain => "without a unit",
        };
        let (metric, statistic) = (self.metric.clone(), self.statistic.name());
        Err(ThresholdError::Unit {
            metric,
            statistic,
            written,
        })
    }

    /// Judges a run. What was not measured has not passed.
    pub fn judge(&self, metrics: &Snapshot) -> Judgement {
        let observed = metrics
            .get(&self.metric)
            .and_then(|summary| summary.statistic(self.statistic).ok().flatten());
        Judgement {
            threshold: self.text.clone(),
            observed,
            shown: observed.map_or_else(|| "not measured".to_owned(), |value| self.show(value)),
            passed: observed.is_some_and(|value| self.comparison.holds(value, self.limit)),
        }
    }

    fn show(&self, observed: f64) -> String {
        match self.unit {
            Unit::Time => format_micros(observed),
            Unit::Share => format!("{}%", format_number(observed * 100.0)),
            Unit::Plain => format_number(observed),
        }
    }
}

impl fmt::Display for Threshold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// What a threshold says of a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Judgement {
    /// The threshold in its notation.
    pub threshold: String,
    /// The statistic: microseconds, a share, or a plain number; `None` if it was not measured.
    pub observed: Option<f64>,
    /// The same for people.
    #[serde(default)]
    pub shown: String,
    /// Whether the limit was kept.
    pub passed: bool,
}

/// A limit in canonical units.
fn parse_limit(text: &str) -> Option<(f64, Unit)> {
    let units = [
        ("us", 1.0, Unit::Time),
        ("ms", 1e3, Unit::Time),
        ("s", 1e6, Unit::Time),
        ("%", 0.01, Unit::Share),
        ("", 1.0, Unit::Plain),
    ];
    let (number, factor, unit) = units.into_iter().find_map(|(suffix, factor, unit)| {
        text.strip_suffix(suffix)
            .map(|number| (number, factor, unit))
    })?;
    let digits = |byte: u8| byte.is_ascii_digit() || byte == b'.';
    if !number.bytes().all(digits) {
        return None;
    }
    number
        .parse::<f64>()
        .ok()
        .filter(|limit| limit.is_finite())
        .map(|limit| (limit * factor, unit))
}

#[cfg(test)]
mod tests;
