//! Trials: a server that this program starts itself, and hurts on purpose.
//!
//! Owns what hostile clients, failures and endurance runs share: the server's process, clients made
//! by hand, what the server counts, well-behaved clients that measure what others feel, and the
//! report. The server is the built binary, seen from outside like any other.

mod api;
mod checks;
mod page;
mod process;
mod raw;
mod witnesses;

pub use api::{Answer, Api};
pub use checks::Checks;
pub use page::{Page, admin};
pub use process::{Launch, TrialServer};
pub use raw::{REQUESTS_FROM, Raw, Seen};
pub use witnesses::{Seat, Witnesses};

use std::time::{Duration, Instant};

use crate::failure::Failure;

/// How long something that must happen is waited for.
pub const PATIENCE: Duration = Duration::from_secs(60);
/// Time between two looks at what announces no change.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// A trial that cannot go on, with the reason.
pub fn broken(what: &str, err: impl std::fmt::Display) -> Failure {
    Failure::Incomplete(format!("{what}: {err}"))
}

/// Looks until there is something to see, or the patience is over: then `None`.
pub async fn eventually<T>(
    patience: Duration,
    mut look: impl AsyncFnMut() -> Option<T>,
) -> Option<T> {
    let began = Instant::now();
    loop {
        if let Some(seen) = look().await {
            return Some(seen);
        }
        if began.elapsed() > patience {
            return None;
        }
        tokio::time::sleep(LOOK_AGAIN).await;
    }
}
