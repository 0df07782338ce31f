//! What collects while a run goes: trends, counters, gauges and rates.

use std::time::Duration;

use hdrhistogram::Histogram;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::Summary;

/// Longest time a [`Trend`] tells apart; longer ones are counted as this.
const LONGEST: Duration = Duration::from_secs(3600);

/// A distribution of durations: an HDR histogram in microseconds with three significant digits
/// (exact up to 2 ms, within 0.1 % beyond).
#[derive(Clone, Debug)]
pub struct Trend {
    micros: Histogram<u64>,
}

impl Trend {
    /// An empty distribution.
    #[expect(
        clippy::expect_used,
        reason = "the bounds are constants that the crate accepts"
    )]
    pub fn new() -> Self {
        let longest = LONGEST.as_micros() as u64;
        Self {
            micros: Histogram::new_with_bounds(1, longest, 3).expect("constant bounds"),
        }
    }

    /// Adds one observation, rounded down to the microsecond.
    pub fn record(&mut self, duration: Duration) {
        self.micros
            .saturating_record(duration.min(LONGEST).as_micros() as u64);
    }

    /// Adds every observation of another distribution.
    pub fn merge(&mut self, other: &Self) {
        // Cannot fail: both have the same bounds.
        let _ = self.micros.add(&other.micros);
    }

    /// The observations since `earlier`, an older copy of this same distribution.
    pub fn since(&self, earlier: &Self) -> Self {
        let mut window = self.clone();
        // Fails only where `earlier` is no older copy; then the whole is the better answer.
        let _ = window.micros.subtract(&earlier.micros);
        window
    }

    /// How many observations there are.
    pub fn count(&self) -> u64 {
        self.micros.len()
    }

    /// The distribution as columns for a picture: upper bound in microseconds and count, bounds
    /// growing by a quarter, from the column of the smallest value to that of the largest.
    pub fn columns(&self) -> Vec<(u64, u64)> {
        let mut columns: Vec<(u64, u64)> = Vec::new();
        if self.micros.is_empty() {
            return columns;
        }
        let mut bound = (self.micros.min().max(8) as f64, 0_u64);
        for step in self.micros.iter_recorded() {
            while step.value_iterated_to() as f64 > bound.0 {
                if bound.1 > 0 || !columns.is_empty() {
                    columns.push((bound.0 as u64, bound.1));
                }
                bound = (bound.0 * 1.25, 0);
            }
            bound.1 += step.count_since_last_iteration();
        }
        columns.push((bound.0 as u64, bound.1));
        columns
    }

    /// The value in microseconds below which this share (0 to 1) of the observations lies; `None`
    /// while there are none.
    pub fn quantile(&self, share: f64) -> Option<u64> {
        (!self.micros.is_empty()).then(|| self.micros.value_at_quantile(share))
    }

    /// Count, extremes, mean and percentiles.
    pub fn summary(&self) -> Summary {
        let some = !self.micros.is_empty();
        Summary::Trend {
            count: self.micros.len(),
            min_us: some.then(|| self.micros.min()),
            mean_us: some.then(|| self.micros.mean()),
            p50_us: self.quantile(0.50),
            p95_us: self.quantile(0.95),
            p99_us: self.quantile(0.99),
            max_us: some.then(|| self.micros.max()),
        }
    }
}

impl Default for Trend {
    fn default() -> Self {
        Self::new()
    }
}

/// Written as pairs of value in microseconds and count: exact, and small where little was measured.
impl Serialize for Trend {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let steps = self.micros.iter_recorded();
        serializer.collect_seq(steps.map(|step| (step.value_iterated_to(), step.count_at_value())))
    }
}

impl<'de> Deserialize<'de> for Trend {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut trend = Self::new();
        for (micros, count) in Vec::<(u64, u64)>::deserialize(deserializer)? {
            trend.micros.saturating_record_n(micros, count);
        }
        Ok(trend)
    }
}

/// A number that only grows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counter(u64);

impl Counter {
    /// Adds `count`.
    pub fn add(&mut self, count: u64) {
        self.0 += count;
    }

    /// Adds what another worker counted.
    pub fn merge(&mut self, other: &Self) {
        self.0 += other.0;
    }

    /// The sum so far.
    pub fn count(&self) -> u64 {
        self.0
    }

    /// The sum as it is reported.
    pub fn summary(&self) -> Summary {
        Summary::Counter { count: self.0 }
    }
}

/// A number that goes up and down: its last value and its extremes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Gauge {
    seen: Option<(f64, f64, f64)>,
}

impl Gauge {
    /// Takes a new value.
    pub fn set(&mut self, value: f64) {
        let (min, max) = self.seen.map_or((value, value), |(_, min, max)| (min, max));
        self.seen = Some((value, min.min(value), max.max(value)));
    }

    /// The last value.
    pub fn last(&self) -> Option<f64> {
        self.seen.map(|seen| seen.0)
    }

    /// Adds another worker's share of the same number. Workers run at the same time, so their
    /// peaks are taken to coincide.
    pub fn merge(&mut self, other: &Self) {
        self.seen = match (self.seen, other.seen) {
            (Some(ours), Some(theirs)) => {
                Some((ours.0 + theirs.0, ours.1 + theirs.1, ours.2 + theirs.2))
            }
            (ours, theirs) => ours.or(theirs),
        };
    }

    /// Last value and extremes.
    pub fn summary(&self) -> Summary {
        Summary::Gauge {
            last: self.seen.map(|seen| seen.0),
            min: self.seen.map(|seen| seen.1),
            max: self.seen.map(|seen| seen.2),
        }
    }
}

/// A [`Gauge`] of the whole server, which every worker reads alike: merging keeps the extremes
/// instead of adding.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Reading(Gauge);

impl Reading {
    /// Takes a new value.
    pub fn set(&mut self, value: f64) {
        self.0.set(value);
    }

    /// Takes the extremes of another worker's readings.
    pub fn merge(&mut self, other: &Self) {
        self.0.seen = match (self.0.seen, other.0.seen) {
            (Some(ours), Some(theirs)) => Some((
                ours.0.max(theirs.0),
                ours.1.min(theirs.1),
                ours.2.max(theirs.2),
            )),
            (ours, theirs) => ours.or(theirs),
        };
    }

    /// Last value and extremes.
    pub fn summary(&self) -> Summary {
        self.0.summary()
    }
}

/// One number that is worked out at the end of a run, in the unit that its name ends with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Figure(Option<f64>);

impl Figure {
    /// Sets it; `None` is not measured.
    pub fn set(&mut self, value: Option<f64>) {
        self.0 = value;
    }

    /// Keeps the larger: workers look at one server.
    pub fn merge(&mut self, other: &Self) {
        self.0 = match (self.0, other.0) {
            (Some(ours), Some(theirs)) => Some(ours.max(theirs)),
            (ours, theirs) => ours.or(theirs),
        };
    }

    /// The number.
    pub fn summary(&self) -> Summary {
        Summary::Value { value: self.0 }
    }
}

/// How often something was so, out of how many times it could have been.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rate {
    hits: u64,
    total: u64,
}

impl Rate {
    /// Counts many cases at once, `hits` of them hits.
    pub fn add_many(&mut self, hits: u64, total: u64) {
        self.hits += hits;
        self.total += total;
    }

    /// Adds the cases of another worker.
    pub fn merge(&mut self, other: &Self) {
        self.add_many(other.hits, other.total);
    }

    /// Counts one case.
    pub fn add(&mut self, hit: bool) {
        self.hits += u64::from(hit);
        self.total += 1;
    }

    /// Hits, total and their quotient.
    pub fn summary(&self) -> Summary {
        let share = || self.hits as f64 / self.total as f64;
        let rate = (self.total > 0).then(share);
        Summary::Rate {
            hits: self.hits,
            total: self.total,
            rate,
        }
    }
}

#[cfg(test)]
mod tests;
