//! Calls that go through their whole life by themselves, for demonstrations (contract events.md
//! section 4.2).
//!
//! The first event is stored before the request is answered. The others are published later by
//! this process; a restart in between leaves the call where it is.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use super::ledger::{Ledger, PublishError};
use super::submission::Submission;

/// Sequences that may be under way at the same time.
const MOST: usize = 10_000;

/// The sequences that are under way.
#[derive(Clone, Debug, Default)]
pub struct Sequences {
    running: Arc<AtomicUsize>,
}

/// The place of one of them.
struct Place(Arc<AtomicUsize>);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Sequences {
    /// Publishes the first submission now and the others after one, two and more times the delay.
    /// Must be called in an actix system.
    ///
    /// # Errors
    /// When the first cannot be published, or too many sequences are under way.
    pub async fn start(
        &self,
        ledger: &Ledger,
        first: Submission,
        later: Vec<Submission>,
        delay: Duration,
    ) -> Result<(), PublishError> {
        let place = Place(self.running.clone());
        if self.running.fetch_add(1, Ordering::Relaxed) >= MOST {
            return Err(PublishError::Busy);
        }
        ledger.publish(first).await?;
        let ledger = ledger.clone();
        actix_rt::spawn(async move {
            let _place = place;
            for submission in later {
                tokio::time::sleep(delay).await;
                let now = Submission::now(submission.tenant, submission.events);
                if let Err(err) = ledger.publish(now).await {
                    tracing::warn!(%err, "a sequence ends early");
                    return;
                }
            }
        });
        Ok(())
    }
}
