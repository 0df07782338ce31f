//! Whether a run may be believed: a generator that fell behind has measured itself.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::stats::Trend;

/// The limits, as data.
const LIMITS: &str = include_str!("../../modes/validity.toml");

/// What this program used while it generated load.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GeneratorUse {
    /// Processor seconds.
    pub cpu_seconds: f64,
    /// Processors used on average: 1 is one of them fully.
    pub cpu: f64,
    /// Processors that it may use.
    pub processors: usize,
    /// 99th percentile of how late its own timers were.
    pub lag_p99_us: u64,
    /// The latest that a timer was.
    pub lag_max_us: u64,
}

impl GeneratorUse {
    pub(super) fn of(cpu: Duration, took: Duration, lag: &Trend) -> Self {
        Self {
            cpu_seconds: cpu.as_secs_f64(),
            cpu: cpu.as_secs_f64() / took.as_secs_f64().max(1e-6),
            processors: std::thread::available_parallelism().map_or(1, usize::from),
            lag_p99_us: lag.quantile(0.99).unwrap_or(0),
            lag_max_us: lag.quantile(1.0).unwrap_or(0),
        }
    }

    /// Adds a worker that ran at the same time on the same machine.
    pub fn merge(&mut self, other: &Self) {
        self.cpu_seconds += other.cpu_seconds;
        self.cpu += other.cpu;
        self.processors = self.processors.max(other.processors);
        self.lag_p99_us = self.lag_p99_us.max(other.lag_p99_us);
        self.lag_max_us = self.lag_max_us.max(other.lag_max_us);
    }
}

/// Whether the generator kept up, and if not, why.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Validity {
    /// Whether the figures are the server's.
    pub valid: bool,
    /// What went wrong, with the remedy.
    pub reasons: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Limits {
    #[serde(with = "humantime_serde")]
    lag_p99: Duration,
    cpu_share: f64,
    sent_share: f64,
}

impl Validity {
    /// That of a generator that kept up.
    pub fn kept_up() -> Self {
        Self {
            valid: true,
            reasons: Vec::new(),
        }
    }

    /// Judges a generator. `offered` is what it sent and what it was to send, where that is known.
    pub fn of(generator: &GeneratorUse, offered: Option<(u64, u64)>) -> Self {
        let mut reasons = Vec::new();
        // The file comes with the program and is read by a test.
        let Ok(limits) = toml::from_str::<Limits>(LIMITS) else {
            return Self::default();
        };
        let lag = Duration::from_micros(generator.lag_p99_us);
        if lag > limits.lag_p99 {
            reasons.push(format!(
                "its timers were up to {}ms late (99th percentile; at most {}ms): close other \
                 programs, use fewer connections or more --workers",
                lag.as_millis(),
                limits.lag_p99.as_millis()
            ));
        }
        let share = generator.cpu / generator.processors.max(1) as f64;
        if share > limits.cpu_share {
            reasons.push(format!(
                "it used {:.0}% of all processors (at most {:.0}%): use a larger machine or offer \
                 less",
                share * 100.0,
                limits.cpu_share * 100.0
            ));
        }
        if let Some((sent, due)) = offered
            && (sent as f64) < due as f64 * limits.sent_share
        {
            reasons.push(format!(
                "it sent {sent} of the {due} messages that were due: use a larger machine or a \
                 lower rate"
            ));
        }
        Self {
            valid: reasons.is_empty(),
            reasons,
        }
    }

    /// The line of a report; empty for a valid run.
    pub fn line(&self) -> String {
        match self.valid {
            true => String::new(),
            false => format!(
                "NOT VALID: the generator fell behind; {}\n",
                self.reasons.join("; ")
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn usage(lag_p99_us: u64, cpu: f64) -> GeneratorUse {
        GeneratorUse {
            cpu,
            processors: 2,
            lag_p99_us,
            ..GeneratorUse::default()
        }
    }

    #[test]
    fn a_generator_that_fell_behind_is_told_apart() {
        assert!(Validity::of(&usage(49_000, 1.5), None).valid);
        assert!(Validity::of(&usage(0, 0.0), Some((98, 100))).valid);
        let cases = [
            (usage(51_000, 0.1), None, "timers were up to 51ms late"),
            (usage(0, 1.9), None, "95% of all processors"),
            (usage(0, 0.0), Some((90, 100)), "sent 90 of the 100"),
        ];
        for (usage, offered, expected) in cases {
            let validity = Validity::of(&usage, offered);
            assert!(!validity.valid && validity.reasons.len() == 1);
            assert!(validity.line().contains(expected), "{}", validity.line());
        }
    }

    #[test]
    fn use_is_per_second_and_workers_add_up() {
        let mut lag = Trend::new();
        lag.record(Duration::from_millis(3));
        let mut usage = GeneratorUse::of(Duration::from_secs(3), Duration::from_secs(2), &lag);
        assert_eq!((usage.cpu, usage.cpu_seconds), (1.5, 3.0));
        assert!((3_000..=3_010).contains(&usage.lag_p99_us));
        usage.merge(&GeneratorUse {
            cpu: 0.5,
            cpu_seconds: 1.0,
            lag_p99_us: 9_000,
            ..GeneratorUse::default()
        });
        assert_eq!(
            (usage.cpu, usage.cpu_seconds, usage.lag_p99_us),
            (2.0, 4.0, 9_000)
        );
    }
}
