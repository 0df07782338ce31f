//! What collects while a run goes: trends, counters, gauges and rates.

use std::time::Duration;

use hdrhistogram::Histogram;

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

    /// How many observations there are.
    pub fn count(&self) -> u64 {
        self.micros.len()
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

/// A number that only grows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counter(u64);

impl Counter {
    /// Adds `count`.
    pub fn add(&mut self, count: u64) {
        self.0 += count;
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
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Gauge {
    seen: Option<(f64, f64, f64)>,
}

impl Gauge {
    /// Takes a new value.
    pub fn set(&mut self, value: f64) {
        let (min, max) = self.seen.map_or((value, value), |(_, min, max)| (min, max));
        self.seen = Some((value, min.min(value), max.max(value)));
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

/// How often something was so, out of how many times it could have been.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rate {
    hits: u64,
    total: u64,
}

impl Rate {
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
mod tests {
    use super::*;

    #[test]
    fn percentiles_of_one_to_a_thousand_microseconds_are_exact() {
        let mut trend = Trend::new();
        for micros in (1..=1000).rev() {
            trend.record(Duration::from_micros(micros));
        }
        assert_eq!(
            trend.summary(),
            Summary::Trend {
                count: 1000,
                min_us: Some(1),
                mean_us: Some(500.5),
                p50_us: Some(500),
                p95_us: Some(950),
                p99_us: Some(990),
                max_us: Some(1000),
            }
        );
    }

    #[test]
    fn long_times_keep_three_digits_and_the_longest_are_capped() {
        let mut trend = Trend::new();
        trend.record(Duration::from_millis(2500));
        let p50 = trend.quantile(0.5).unwrap();
        assert!((2_500_000..2_502_500).contains(&p50), "{p50}");
        trend.record(Duration::from_secs(100_000));
        let max = trend.quantile(1.0).unwrap();
        assert!((3_600_000_000..3_604_000_000).contains(&max), "{max}");
    }

    #[test]
    fn a_trend_without_observations_has_no_percentiles() {
        assert_eq!(Trend::new().quantile(0.99), None);
        assert!(matches!(
            Trend::new().summary(),
            Summary::Trend {
                count: 0,
                p50_us: None,
                max_us: None,
                mean_us: None,
                ..
            }
        ));
    }

    #[test]
    fn merging_is_the_same_as_recording_in_one() {
        let (mut left, mut right, mut both) = (Trend::new(), Trend::new(), Trend::new());
        for micros in 0..500 {
            left.record(Duration::from_micros(micros));
            right.record(Duration::from_micros(micros * 3));
            both.record(Duration::from_micros(micros));
            both.record(Duration::from_micros(micros * 3));
        }
        left.merge(&right);
        assert_eq!(left.summary(), both.summary());
    }

    #[test]
    fn gauges_keep_their_extremes_and_rates_their_quotient() {
        let mut gauge = Gauge::default();
        assert_eq!(
            gauge.summary(),
            Summary::Gauge {
                last: None,
                min: None,
                max: None
            }
        );
        for value in [3.0, 9.0, 4.0] {
            gauge.set(value);
        }
        assert_eq!(
            gauge.summary(),
            Summary::Gauge {
                last: Some(4.0),
                min: Some(3.0),
                max: Some(9.0)
            }
        );

        let mut rate = Rate::default();
        assert_eq!(
            rate.summary(),
            Summary::Rate {
                hits: 0,
                total: 0,
                rate: None
            }
        );
        for hit in [true, true, true, false] {
            rate.add(hit);
        }
        assert_eq!(
            rate.summary(),
            Summary::Rate {
                hits: 3,
                total: 4,
                rate: Some(0.75)
            }
        );

        let mut counter = Counter::default();
        counter.add(2);
        counter.add(3);
        assert_eq!(counter.summary(), Summary::Counter { count: 5 });
    }
}
