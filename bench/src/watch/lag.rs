//! How late this program's own timers are: what it adds to every time that it measures.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::task::JoinHandle;

use crate::stats::Trend;

/// Between two beats.
const BEAT: Duration = Duration::from_millis(20);

/// A timer on the same runtime as the clients, compared with the clock.
#[derive(Debug)]
pub(super) struct LagMeter {
    late: Arc<Mutex<Trend>>,
    task: JoinHandle<()>,
}

impl LagMeter {
    /// Begins to beat.
    pub(super) fn start() -> Self {
        let late = Arc::new(Mutex::new(Trend::new()));
        let noted = Arc::clone(&late);
        let task = tokio::spawn(async move {
            let mut due = Instant::now();
            loop {
                due += BEAT;
                tokio::time::sleep_until(due.into()).await;
                // Beats that were missed are all late: none is left out.
                let lag = due.elapsed();
                noted
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .record(lag);
            }
        });
        Self { late, task }
    }

    /// A copy of what has been measured.
    pub(super) fn so_far(&self) -> Trend {
        self.late
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Ends.
    pub(super) fn end(self) -> Trend {
        self.task.abort();
        self.so_far()
    }
}
