//! Under which conditions a run was made and what was seen of both sides meanwhile: the part of a
//! result file that all scenarios share.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde::{Deserialize, Serialize};

use crate::stats::Trend;
use crate::table::{format_micros, format_number};
use crate::watch::{GeneratorUse, Sample, Series, ServerUse, Validity, Watched};

/// Shortest time at the peak from which the growth of memory is told, in samples.
const FEWEST_SAMPLES: usize = 5;

/// The conditions of a run and what was watched.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Conditions {
    /// Factor on the length of every stage: 1 is a full run.
    pub time_scale: f64,
    /// Generator processes.
    pub workers: usize,
    /// Whether the figures are the server's.
    pub validity: Validity,
    /// The server; `None` where it could not be seen.
    pub server: Option<ServerUse>,
    /// The generator.
    pub generator: GeneratorUse,
    /// The run over time.
    pub series: Series,
    /// Distributions of the run's times by metric: columns of upper bound in microseconds and
    /// count.
    pub histograms: BTreeMap<String, Vec<(u64, u64)>>,
}

impl Conditions {
    /// The conditions of a run in this process. `offered` is what the generator sent and what it
    /// was to send.
    pub fn of(watched: Watched, time_scale: f64, offered: Option<(u64, u64)>) -> Self {
        Self {
            time_scale,
            workers: 1,
            validity: Validity::of(&watched.generator, offered),
            server: watched.server,
            generator: watched.generator,
            series: watched.series,
            histograms: BTreeMap::new(),
        }
    }

    /// Keeps the columns of a distribution.
    pub fn keep_histogram(&mut self, name: &str, trend: &Trend) {
        self.histograms.insert(name.to_owned(), trend.columns());
    }

    /// Adds a worker that ran at the same time.
    pub fn merge(&mut self, other: &Self) {
        self.workers += other.workers;
        self.generator.merge(&other.generator);
        self.series.merge(&other.series);
        self.server = self.server.or(other.server);
        self.validity = Validity::of(&self.generator, None);
    }

    /// Adds a run that was made after this one, in the same process against the same server.
    pub fn then(&mut self, next: &Self) {
        let (ours, theirs) = (&mut self.generator, &next.generator);
        let offset = self
            .series
            .samples
            .last()
            .map_or(0.0, |sample| sample.seconds);
        let lasted = |conditions: &Series| conditions.samples.last().map_or(0.0, |s| s.seconds);
        let seconds = (offset, lasted(&next.series));
        let weighted = |first: f64, second: f64| {
            (first * seconds.0 + second * seconds.1) / (seconds.0 + seconds.1).max(1e-6)
        };
        ours.cpu = weighted(ours.cpu, theirs.cpu);
        ours.cpu_seconds += theirs.cpu_seconds;
        ours.lag_p99_us = ours.lag_p99_us.max(theirs.lag_p99_us);
        ours.lag_max_us = ours.lag_max_us.max(theirs.lag_max_us);
        if let (Some(ours), Some(theirs)) = (&mut self.server, &next.server) {
            ours.cpu = weighted(ours.cpu, theirs.cpu);
            ours.cpu_seconds += theirs.cpu_seconds;
            ours.memory_peak_bytes = ours.memory_peak_bytes.max(theirs.memory_peak_bytes);
            ours.memory_after_bytes = theirs.memory_after_bytes;
        }
        let samples = next.series.samples.iter().cloned().map(|mut sample| {
            sample.seconds += offset;
            sample
        });
        self.series.samples.extend(samples);
        self.validity = Validity::of(&self.generator, None);
        self.histograms.clear();
    }

    /// Growth of the server's memory from the first to the last tenth of the samples at the peak,
    /// as a multiple of the first; `None` where it was not seen or the peak was too short.
    pub fn memory_growth(&self) -> Option<f64> {
        let samples = &self.series.samples;
        let peak = samples.iter().map(|sample| sample.connections).max()?;
        let at_peak = samples
            .iter()
            .filter(|sample| sample.connections * 100 >= peak * 95);
        let memory: Option<Vec<f64>> = at_peak
            .map(|sample: &Sample| sample.server_memory_bytes.map(|bytes| bytes as f64))
            .collect();
        let memory = memory.filter(|memory| memory.len() >= FEWEST_SAMPLES)?;
        let tenth = (memory.len() / 10).max(1);
        let mean = |part: &[f64]| part.iter().sum::<f64>() / part.len() as f64;
        let first = mean(memory.get(..tenth)?);
        let last = mean(memory.get(memory.len() - tenth..)?);
        (first > 0.0).then(|| last / first - 1.0)
    }

    /// What the machine did, in two lines.
    pub fn report(&self) -> String {
        let mut text = String::new();
        // Writing to a string cannot fail.
        if let Some(server) = self.server {
            let mebibytes = |bytes: u64| format_number(bytes as f64 / f64::from(1 << 20));
            let _ = writeln!(
                text,
                "server: {:.2} processors, {} MiB before, {} MiB peak, {} MiB after",
                server.cpu,
                mebibytes(server.memory_before_bytes),
                mebibytes(server.memory_peak_bytes),
                mebibytes(server.memory_after_bytes),
            );
        }
        let _ = writeln!(
            text,
            "generator: {:.2} of {} processors, timers late by p99 {} and at most {}",
            self.generator.cpu,
            self.generator.processors,
            format_micros(self.generator.lag_p99_us as f64),
            format_micros(self.generator.lag_max_us as f64),
        );
        if self.time_scale != 1.0 {
            let _ = writeln!(text, "length: {} of the full run", self.time_scale);
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn conditions(samples: &[(u64, u64)]) -> Conditions {
        let samples = samples.iter().map(|(connections, memory)| Sample {
            connections: *connections,
            server_memory_bytes: Some(*memory),
            ..Sample::default()
        });
        let watched = Watched {
            series: Series {
                interval_seconds: 1.0,
                samples: samples.collect(),
            },
            server: None,
            generator: GeneratorUse::default(),
        };
        Conditions::of(watched, 1.0, None)
    }

    #[test]
    fn memory_growth_is_told_of_the_time_at_the_peak() {
        let mut run = vec![(1, 1), (50, 60)];
        run.extend((0..20).map(|step| (100, 100 + step)));
        run.push((0, 1_000));
        // The first two hold 100 and 101, the last two 118 and 119.
        let growth = conditions(&run).memory_growth().unwrap();
        assert!((growth - (118.5 / 100.5 - 1.0)).abs() < 1e-12, "{growth}");
        assert_eq!(conditions(&[(5, 1); 4]).memory_growth(), None);
        assert_eq!(conditions(&[(5, 7); 5]).memory_growth(), Some(0.0));
        assert_eq!(conditions(&[]).memory_growth(), None);
    }

    #[test]
    fn workers_are_judged_together() {
        let mut whole = conditions(&[(5, 1)]);
        let mut late = conditions(&[(7, 1)]);
        late.generator.lag_p99_us = 90_000;
        whole.merge(&late);
        assert_eq!(
            (whole.workers, whole.series.samples[0].connections),
            (2, 12)
        );
        assert!(!whole.validity.valid);
        assert!(
            whole.report().contains("timers late by p99 90.00ms"),
            "{}",
            whole.report()
        );
    }
}
