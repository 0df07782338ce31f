//! What is watched while a run goes: the server's processor and memory, this program's own, and
//! the numbers of the run over time.
//!
//! Every scenario starts a [`Watch`] with its run and finishes it at the end. Watching must cost
//! next to nothing: one look for each sample, some 120 samples a run.

mod lag;
mod live;
mod sample;
mod server;
mod validity;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::stats::Trend;

pub use live::Live;
pub use sample::{Percentiles, Sample, Series};
pub use server::{ServerUse, ServerWatch};
pub use validity::{GeneratorUse, Validity};

use lag::LagMeter;
use server::ServerReading;

/// How many samples a run has, about.
const SAMPLES: u32 = 120;
/// Shortest time between two samples.
const SHORTEST: Duration = Duration::from_millis(250);
/// Longest time between two samples.
const LONGEST: Duration = Duration::from_secs(60);

/// What a run tells of itself at a moment. Everything counts from the run's beginning.
#[derive(Clone, Debug, Default)]
pub struct Observation {
    /// Open connections, or clients that are busy.
    pub connections: u64,
    /// Distributions by metric name.
    pub trends: Vec<(&'static str, Trend)>,
    /// Counters by metric name, shown as rates.
    pub counts: Vec<(&'static str, u64)>,
}

/// A watch that is kept.
#[derive(Debug)]
pub struct Watch {
    task: JoinHandle<Watched>,
    finish: oneshot::Sender<()>,
}

/// What was seen.
#[derive(Clone, Debug)]
pub struct Watched {
    /// The run over time.
    pub series: Series,
    /// The server; `None` where it could not be seen.
    pub server: Option<ServerUse>,
    /// This program.
    pub generator: GeneratorUse,
}

/// Time between two samples of a run of this length.
pub fn sample_interval(duration: Duration) -> Duration {
    (duration / SAMPLES).clamp(SHORTEST, LONGEST)
}

impl Watch {
    /// Begins to watch: takes a sample every `interval` and shows it on `live`.
    pub fn start(
        interval: Duration,
        mut server: ServerWatch,
        mut live: Live,
        observe: impl Fn() -> Observation + Send + 'static,
    ) -> Self {
        let (finish, mut finished) = oneshot::channel();
        let task = tokio::spawn(async move {
            let began = Instant::now();
            let lag = LagMeter::start();
            let first_cpu = own_cpu();
            let first_server = server.read().await;
            let mut before = Look {
                at: began,
                cpu: first_cpu,
                server: first_server,
                observation: Observation::default(),
                lag: Trend::new(),
            };
            let mut series = Series::new(interval);
            let mut due = began;
            let mut peak_memory = first_server.map_or(0, |reading| reading.memory);
            let mut last_server = first_server;
            loop {
                due += interval;
                let ended = tokio::select! {
                    _ = &mut finished => true,
                    () = tokio::time::sleep_until(due.into()) => false,
                };
                let now = Look {
                    at: Instant::now(),
                    cpu: own_cpu(),
                    server: server.read().await,
                    observation: observe(),
                    lag: lag.so_far(),
                };
                if let Some(reading) = now.server {
                    peak_memory = peak_memory.max(reading.memory);
                    last_server = Some(reading);
                }
                let sample = now.since(&before, began);
                live.show(&sample);
                // A last crumb would only show noise.
                if !ended || now.at.duration_since(before.at) > interval / 3 {
                    series.samples.push(sample);
                    before = now;
                }
                if ended {
                    break;
                }
            }
            live.end();
            let took = began.elapsed();
            Watched {
                series,
                server: ServerUse::between(first_server, last_server, peak_memory, took),
                generator: GeneratorUse::of(own_cpu().saturating_sub(first_cpu), took, &lag.end()),
            }
        });
        Self { task, finish }
    }

    /// Takes the last sample and ends.
    pub async fn finish(self) -> Watched {
        // Nobody listens only if the task has panicked, which the line below shows.
        let _ = self.finish.send(());
        self.task.await.unwrap_or_else(|_| Watched {
            series: Series::new(Duration::ZERO),
            server: None,
            generator: GeneratorUse::default(),
        })
    }
}

/// One look at everything.
struct Look {
    at: Instant,
    cpu: Duration,
    server: Option<ServerReading>,
    observation: Observation,
    lag: Trend,
}

impl Look {
    fn since(&self, before: &Self, began: Instant) -> Sample {
        let seconds = self.at.duration_since(before.at).as_secs_f64().max(1e-6);
        let share =
            |now: Duration, then: Duration| now.saturating_sub(then).as_secs_f64() / seconds;
        let trends = self.observation.trends.iter().map(|(name, trend)| {
            let earlier = before.observation.trends.iter().find(|old| old.0 == *name);
            let window = earlier.map_or_else(|| trend.clone(), |(_, old)| trend.since(old));
            ((*name).to_owned(), Percentiles::of(&window))
        });
        let rates = self.observation.counts.iter().map(|(name, count)| {
            let earlier = before.observation.counts.iter().find(|old| old.0 == *name);
            let grown = count.saturating_sub(earlier.map_or(0, |old| old.1));
            ((*name).to_owned(), grown as f64 / seconds)
        });
        Sample {
            seconds: self.at.duration_since(began).as_secs_f64(),
            connections: self.observation.connections,
            latencies: trends
                .filter_map(|(name, percentiles)| Some((name, percentiles?)))
                .collect::<BTreeMap<_, _>>(),
            per_second: rates.collect(),
            server_memory_bytes: self.server.map(|reading| reading.memory),
            server_cpu: match (self.server, before.server) {
                (Some(now), Some(then)) => Some(share(now.cpu, then.cpu)),
                _ => None,
            },
            generator_cpu: share(self.cpu, before.cpu),
            generator_lag_us: self.lag.since(&before.lag).quantile(0.99).unwrap_or(0),
        }
    }
}

/// Processor time of this program.
fn own_cpu() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(
        time.tv_sec.unsigned_abs(),
        time.tv_nsec.unsigned_abs() as u32,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_run_has_a_handful_of_samples() {
        let cases = [
            (1, 250),
            (30, 250),
            (60, 500),
            (600, 5_000),
            (28_800, 60_000),
        ];
        for (seconds, millis) in cases {
            let interval = sample_interval(Duration::from_secs(seconds));
            assert_eq!(interval, Duration::from_millis(millis), "{seconds}");
        }
    }

    fn look(at: Instant, cpu: u64, count: u64, latencies: &[u64]) -> Look {
        let mut trend = Trend::new();
        for micros in latencies {
            trend.record(Duration::from_micros(*micros));
        }
        Look {
            at,
            cpu: Duration::from_millis(cpu),
            server: Some(ServerReading {
                cpu: Duration::from_millis(cpu * 2),
                memory: cpu,
            }),
            observation: Observation {
                connections: count,
                trends: vec![("t", trend.clone())],
                counts: vec![("c", count)],
            },
            lag: trend,
        }
    }

    #[test]
    fn a_sample_is_what_happened_since_the_one_before() {
        let began = Instant::now();
        let before = look(began + Duration::from_secs(1), 100, 10, &[5, 5, 5]);
        let now = look(began + Duration::from_secs(3), 700, 50, &[5, 5, 5, 70, 80]);
        let sample = now.since(&before, began);
        assert_eq!((sample.seconds, sample.connections), (3.0, 50));
        assert_eq!((sample.generator_cpu, sample.server_cpu), (0.3, Some(0.6)));
        assert_eq!(sample.server_memory_bytes, Some(700));
        assert_eq!(sample.per_second["c"], 20.0);
        assert_eq!(
            (sample.latencies["t"].p50_us, sample.latencies["t"].p99_us),
            (70, 80)
        );
        assert_eq!(sample.generator_lag_us, 80);
    }

    #[tokio::test]
    async fn a_run_that_ends_at_once_still_tells_of_itself() {
        let watch = Watch::start(
            Duration::from_secs(60),
            ServerWatch::none(),
            Live::silent(),
            Observation::default,
        );
        let watched = watch.finish().await;
        assert!(watched.server.is_none());
        assert!(watched.generator.processors >= 1);
    }
}
