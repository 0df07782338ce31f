//! The server's resident memory over a part of the run, and the line through it.

use std::time::{Duration, Instant};

use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::procfs;
use crate::stats::regression;

const MB: f64 = 1_048_576.0;
/// MB an hour over which a line is a leak, if it explains enough.
const SLOPE: f64 = 5.0;
/// Share of the variance that it has to explain for that.
const R_SQUARED: f64 = 0.7;
/// Looks at the memory, about.
const LOOKS: u32 = 240;
/// Shortest time between two of them.
const SHORTEST: Duration = Duration::from_millis(100);
/// The part of the samples at the beginning, one in so many, in which caches and tables fill up.
const WARMING_UP: usize = 5;
/// Fewest samples that tell anything.
const FEWEST: usize = 10;

/// The line through a part of the run.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Line {
    /// MB an hour.
    pub(super) slope: f64,
    /// Share of the variance that it explains.
    pub(super) r_squared: f64,
}

impl Line {
    /// Whether both limits are passed.
    pub(super) fn is_leak(self) -> bool {
        self.slope >= SLOPE && self.r_squared >= R_SQUARED
    }
}

/// Seconds and bytes.
type Samples = Vec<(f64, f64)>;

/// What is seen of the memory.
pub(super) struct Memory {
    samples: Samples,
    watching: Option<(JoinHandle<Samples>, oneshot::Sender<()>)>,
}

impl Memory {
    /// Looks at a process from now on, for about so long.
    pub(super) fn watch(id: u32, lasting: Duration) -> Self {
        let pause = (lasting / LOOKS).max(SHORTEST);
        let (end, mut ended) = oneshot::channel();
        let task = tokio::spawn(async move {
            let began = Instant::now();
            let mut samples = Vec::new();
            loop {
                if let Ok(memory) = procfs::memory(id) {
                    samples.push((began.elapsed().as_secs_f64(), memory.resident as f64));
                }
                tokio::select! {
                    _ = &mut ended => return samples,
                    () = tokio::time::sleep(pause) => {}
                }
            }
        });
        Self {
            samples: Vec::new(),
            watching: Some((task, end)),
        }
    }

    /// Looks no more.
    pub(super) async fn end(&mut self) {
        if let Some((task, end)) = self.watching.take() {
            // Nobody listens only if the task has panicked: then there are no samples.
            let _ = end.send(());
            self.samples = task.await.unwrap_or_default();
        }
    }

    /// All samples in MB.
    pub(super) fn megabytes(&self) -> Vec<f64> {
        self.samples.iter().map(|sample| sample.1 / MB).collect()
    }

    /// The line through what came after the beginning; `None` if that is too little.
    pub(super) fn verdict(&self) -> Option<Line> {
        let settled = self.samples.get(self.samples.len() / WARMING_UP..)?;
        let line = regression(settled).filter(|_| settled.len() >= FEWEST)?;
        Some(Line {
            slope: line.slope * 3_600.0 / MB,
            r_squared: line.r_squared,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(of: impl Fn(f64) -> f64) -> Option<Line> {
        let samples = (0..100).map(f64::from);
        Memory {
            samples: samples
                .map(|minute| (minute * 60.0, of(minute) * MB))
                .collect(),
            watching: None,
        }
        .verdict()
    }

    #[test]
    fn only_a_steep_line_that_explains_what_is_seen_is_a_leak() {
        let leak = verdict(|minute| 50.0 + minute * 0.2).unwrap();
        assert!(
            leak.is_leak() && (leak.slope - 12.0).abs() < 1e-6,
            "{leak:?}"
        );
        let slow = verdict(|minute| 50.0 + minute * 0.05).unwrap();
        assert!(!slow.is_leak(), "3 MB an hour: {slow:?}");
        let noise = verdict(|minute| 50.0 + minute * 0.1 + (minute % 2.0) * 30.0).unwrap();
        assert!(!noise.is_leak(), "{noise:?}");
    }

    #[test]
    fn the_beginning_does_not_count_and_too_little_tells_nothing() {
        let warming = verdict(|minute| 50.0 + minute.min(19.0)).unwrap();
        assert!(
            !warming.is_leak() && warming.slope.abs() < 1e-6,
            "{warming:?}"
        );
        let few = Memory {
            samples: vec![(0.0, 1.0); 9],
            watching: None,
        };
        assert_eq!(few.verdict(), None);
    }
}
