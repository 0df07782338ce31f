//! Waiting for what must happen. A wait that ends without it fails the test.

use std::future::Future;
use std::panic::Location;
use std::time::Duration;

/// How long a test waits for something before it fails: long enough for a loaded machine, since
/// only failing tests wait for it.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// Time between two looks at something that announces no change, such as a folder under `/proc`.
const LOOK_AGAIN: Duration = Duration::from_millis(5);

/// The outcome of a future that must come to its end.
#[track_caller]
pub fn within<T>(
    what: impl Into<String>,
    future: impl Future<Output = T>,
) -> impl Future<Output = T> {
    let (asked_at, what) = (Location::caller(), what.into());
    async move {
        tokio::time::timeout(PATIENCE, future)
            .await
            .unwrap_or_else(|_| panic!("waited in vain at {asked_at}: {what}"))
    }
}

/// Looks until there is something to see.
#[track_caller]
pub fn eventually<T, F: Future<Output = Option<T>>>(
    what: impl Into<String>,
    mut look: impl FnMut() -> F,
) -> impl Future<Output = T> {
    within(what, async move {
        loop {
            if let Some(seen) = look().await {
                return seen;
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    })
}
