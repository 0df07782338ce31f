//! What a worker counts: plain numbers that only its own thread writes.
//!
//! A scrape asks each worker for a copy, so that counting costs an addition and no atomics.

use std::collections::BTreeMap;
use std::time::Duration;

use dormouse_protocol::CloseCode;

/// Traffic of one worker's sockets.
#[derive(Clone, Debug, Default)]
pub struct IoCounters {
    /// Frames received, control frames included.
    pub frames_in: u64,
    /// Bytes received after the handshake.
    pub bytes_in: u64,
    /// Frames handed to sockets or their outboxes.
    pub frames_out: u64,
    /// Bytes the kernel took.
    pub bytes_out: u64,
    /// Write calls.
    pub writes: u64,
    /// Exact pings answered without a shard.
    pub pings: u64,
    /// Ephemerals dropped for slow readers.
    pub ephemerals_dropped: u64,
    /// Connections closed because they did not read.
    pub slow_consumers: u64,
    /// Connections closed for sending too fast.
    pub rate_closed: u64,
    /// Connections closed for silence.
    pub idle_closed: u64,
    /// Connections closed for breaking RFC 6455.
    pub protocol_faults: u64,
    /// Frames that slow subscribers had waiting when they were closed.
    pub events_dropped: u64,
    /// Ended connections by [`CloseCode::label`], or `abnormal` without a close frame.
    pub closes: BTreeMap<&'static str, u64>,
}

impl IoCounters {
    /// Adds another worker's counters.
    pub fn merge(&mut self, other: &Self) {
        // Without `..`, so that no new counter is forgotten.
        let Self {
            frames_in,
            bytes_in,
            frames_out,
            bytes_out,
            writes,
            pings,
            ephemerals_dropped,
            slow_consumers,
            rate_closed,
            idle_closed,
            protocol_faults,
            events_dropped,
            closes,
        } = other;
        self.frames_in += frames_in;
        self.bytes_in += bytes_in;
        self.frames_out += frames_out;
        self.bytes_out += bytes_out;
        self.writes += writes;
        self.pings += pings;
        self.ephemerals_dropped += ephemerals_dropped;
        self.slow_consumers += slow_consumers;
        self.rate_closed += rate_closed;
        self.idle_closed += idle_closed;
        self.protocol_faults += protocol_faults;
        self.events_dropped += events_dropped;
        for (code, count) in closes {
            *self.closes.entry(code).or_default() += count;
        }
    }

    pub(crate) fn count_close(&mut self, code: CloseCode) {
        *self.closes.entry(code.label()).or_default() += 1;
    }

    pub(crate) fn count_abnormal(&mut self) {
        *self.closes.entry("abnormal").or_default() += 1;
    }
}

/// A histogram with fixed bounds, in microseconds.
#[derive(Clone, Debug)]
pub struct Histogram {
    counts: [u64; Self::BOUNDS_US.len() + 1],
    sum_us: u64,
}

impl Histogram {
    /// Upper bounds of the buckets: 50 µs to 10 s, with the thresholds of the performance
    /// documents (100, 150, 200, 300, 500 ms, 1, 2, 5 s) among them.
    pub const BOUNDS_US: [u64; 19] = [
        50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 150_000, 200_000,
        300_000, 500_000, 1_000_000, 2_000_000, 5_000_000, 10_000_000,
    ];

    /// Counts `times` observations of one duration.
    pub fn observe(&mut self, duration: Duration, times: u64) {
        let micros = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        let bucket = Self::BOUNDS_US.partition_point(|bound| *bound < micros);
        self.counts[bucket] += times;
        self.sum_us = self.sum_us.saturating_add(micros.saturating_mul(times));
    }

    /// Adds another histogram.
    pub fn merge(&mut self, other: &Self) {
        for (count, more) in self.counts.iter_mut().zip(&other.counts) {
            *count += more;
        }
        self.sum_us = self.sum_us.saturating_add(other.sum_us);
    }

    /// What was observed since an earlier copy of the same histogram.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        let mut difference = self.clone();
        for (count, before) in difference.counts.iter_mut().zip(&earlier.counts) {
            *count = count.saturating_sub(*before);
        }
        difference.sum_us = self.sum_us.saturating_sub(earlier.sum_us);
        difference
    }

    /// The duration that a share (0 to 1) of the observations did not exceed, microseconds;
    /// `None` without observations. Within a bucket they are taken to be spread evenly, as
    /// Prometheus' `histogram_quantile` does; over all bounds it is the last bound.
    #[must_use]
    pub fn quantile_us(&self, share: f64) -> Option<u64> {
        let total = self.total();
        if total == 0 {
            return None;
        }
        let rank = share.clamp(0.0, 1.0) * total as f64;
        let mut below = 0;
        let mut from = 0;
        for (bound, count) in Self::BOUNDS_US.into_iter().zip(&self.counts) {
            if *count > 0 && (below + count) as f64 >= rank {
                let within = (rank - below as f64).max(0.0) / *count as f64;
                return Some(from + (within * (bound - from) as f64) as u64);
            }
            below += count;
            from = bound;
        }
        Some(from)
    }

    /// Counts per bucket; the last is for what is over all bounds.
    pub fn counts(&self) -> &[u64] {
        &self.counts
    }

    /// Sum of all observations, microseconds.
    pub fn sum_us(&self) -> u64 {
        self.sum_us
    }

    /// Number of observations.
    pub fn total(&self) -> u64 {
        self.counts.iter().sum()
    }
}

impl Default for Histogram {
    fn default() -> Self {
        Self {
            counts: [0; Self::BOUNDS_US.len() + 1],
            sum_us: 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn observations_fall_into_the_bucket_that_bounds_them() {
        let mut histogram = Histogram::default();
        histogram.observe(Duration::from_micros(50), 2);
        histogram.observe(Duration::from_micros(51), 1);
        histogram.observe(Duration::from_secs(60), 1);
        assert_eq!(histogram.counts()[..2], [2, 1]);
        assert_eq!(histogram.counts().last(), Some(&1));
        assert_eq!((histogram.total(), histogram.sum_us()), (4, 60_000_151));
    }

    #[test]
    fn quantiles_lie_within_their_bucket() {
        let mut histogram = Histogram::default();
        assert_eq!(histogram.quantile_us(0.5), None);
        histogram.observe(Duration::from_micros(700), 100);
        assert_eq!(histogram.quantile_us(0.5), Some(750), "500 to 1000 µs");
        assert_eq!(histogram.quantile_us(1.0), Some(1_000));
        let before = histogram.clone();
        histogram.observe(Duration::from_millis(150), 4);
        histogram.observe(Duration::from_secs(60), 1);
        let since = histogram.since(&before);
        assert_eq!(since.total(), 5);
        assert_eq!(since.quantile_us(0.4), Some(125_000), "100 to 150 ms");
        assert_eq!(since.quantile_us(0.99), Some(10_000_000), "the last bound");
        assert_eq!(before.since(&histogram).total(), 0, "never below zero");
    }
}
