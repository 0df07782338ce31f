//! A clock that stands still until it is moved.

use std::future::Future;
use std::time::{Duration, Instant};

/// How long a test may wait for something that never comes, in real time.
pub const PATIENCE: Duration = Duration::from_secs(20);
/// One step of the workers' own clock.
pub const TICK: Duration = Duration::from_millis(250);

/// Tokio's time, paused, for as long as this lives.
///
/// Left alone, a paused runtime jumps to the next timer whenever it is idle, which it also is
/// while a socket or the store's thread is about to wake it. A blocking task forbids that.
pub struct Clock {
    _held: std::sync::mpsc::Sender<()>,
}

impl Clock {
    /// Stops the clock of this thread's runtime.
    pub fn freeze() -> Self {
        tokio::time::pause();
        let (held, released) = std::sync::mpsc::channel::<()>();
        tokio::task::spawn_blocking(move || {
            // Ends when the clock is dropped.
            let _ = released.recv();
        });
        Self { _held: held }
    }

    /// Moves the clock, one tick of the workers at a time.
    pub async fn advance(&self, by: Duration) {
        let mut left = by;
        while !left.is_zero() {
            let step = left.min(TICK);
            tokio::time::advance(step).await;
            breathe(3).await;
            left -= step;
        }
    }
}

/// Lets everything else on this thread run for some rounds.
pub async fn breathe(rounds: usize) {
    for _ in 0..rounds {
        tokio::task::yield_now().await;
    }
}

/// Lets everything on this thread that can go on go on.
pub async fn settle() {
    breathe(100).await;
}

/// Waits until a question is answered with yes.
#[track_caller]
pub fn until(what: &str, mut is_so: impl AsyncFnMut() -> bool) -> impl Future<Output = ()> {
    let what = format!("{what} (asked at {})", std::panic::Location::caller());
    async move {
        let began = Instant::now();
        while !is_so().await {
            assert!(began.elapsed() < PATIENCE, "never happened: {what}");
            tokio::task::yield_now().await;
        }
    }
}
