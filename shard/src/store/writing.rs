//! The store's thread: groups writes, tells everybody how theirs ended, and asks by itself whether
//! a store that failed works again.
//!
//! Never waits for a disk itself: that is [`Disk`]'s, whose patience bounds every answer.

use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::disk::Disk;
use super::{Backend, Changes, Done, StoreError};

/// Most changes that share a flush.
const GROUP: usize = 8192;
/// After a failure, how long writes fail without trying again; and then, without any write to do,
/// how often it is tried whether the store works again.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// What is to be written.
pub(super) enum Change {
    /// Attachments of a shard.
    Attachments(Changes),
    /// The override of one user's tier.
    Tier(String, Option<String>),
}

/// A change, and who is told.
pub(super) struct Write {
    pub(super) change: Change,
    pub(super) done: Done,
}

/// What the thread owns.
pub(super) struct Writing {
    disk: Disk,
    fault: Arc<Mutex<Option<StoreError>>>,
    failed_at: Option<Instant>,
}

impl Writing {
    /// # Errors
    /// When a thread cannot be started.
    pub(super) fn new(
        backend: Arc<dyn Backend>,
        patience: Duration,
        fault: Arc<Mutex<Option<StoreError>>>,
    ) -> Result<Self, StoreError> {
        Ok(Self {
            disk: Disk::start(backend, patience)?,
            fault,
            failed_at: None,
        })
    }

    /// Writes what is queued until nobody can queue any more.
    pub(super) fn run(mut self, queue: &mpsc::Receiver<Write>) {
        // A write of another kind that ended a group.
        let mut next: Option<Write> = None;
        loop {
            // A server that is not ready gets no connections, which would write: so ask by ourselves.
            let first = match (next.take(), self.failed_at) {
                (Some(write), _) => Ok(write),
                (None, None) => queue.recv().map_err(|_| RecvTimeoutError::Disconnected),
                (None, Some(_)) => queue.recv_timeout(RETRY_AFTER),
            };
            match first {
                Ok(Write {
                    change: Change::Attachments(changes),
                    done,
                }) => next = self.attachments(changes, vec![done], queue),
                Ok(Write {
                    change: Change::Tier(user, tier),
                    done,
                }) => {
                    done(self.tier(user, tier));
                }
                Err(RecvTimeoutError::Timeout) => {
                    // The outcome shows in the fault.
                    let _ = self.attempt(|backend| backend.apply(Changes::new()));
                }
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    /// Writes attachments together with those that are queued behind them. Returns the write that
    /// is no part of the group.
    fn attachments(
        &mut self,
        mut changes: Changes,
        mut done: Vec<Done>,
        queue: &mpsc::Receiver<Write>,
    ) -> Option<Write> {
        let mut next = None;
        while changes.len() < GROUP && next.is_none() {
            match queue.try_recv() {
                Ok(Write {
                    change: Change::Attachments(more),
                    done: also,
                }) => {
                    changes.extend(more);
                    done.push(also);
                }
                Ok(other) => next = Some(other),
                Err(_) => break,
            }
        }
        let result = self.attempt(move |backend| backend.apply(changes));
        for done in done {
            done(result.clone());
        }
        next
    }

    /// Does it, or says that it is too early after a failure.
    fn attempt(
        &mut self,
        job: impl FnOnce(&dyn Backend) -> Result<(), StoreError> + Send + 'static,
    ) -> Result<(), StoreError> {
        let too_early = self
            .failed_at
            .is_some_and(|failed_at| failed_at.elapsed() < RETRY_AFTER);
        if too_early && let Some(err) = self.fault().clone() {
            return Err(err);
        }
        let result = self.disk.run(Box::new(job));
        match &result {
            Ok(()) => {
                if self.failed_at.take().is_some() {
                    tracing::info!("the attachment store works again");
                    *self.fault() = None;
                }
            }
            Err(err) => self.failed(err),
        }
        result
    }

    /// Writes a tier. An admin waits for it, so it is tried however early; and it says nothing of
    /// attachments, unless it does not end.
    fn tier(&mut self, user: String, tier: Option<String>) -> Result<(), StoreError> {
        let job = move |backend: &dyn Backend| backend.set_tier(&user, tier.as_deref());
        let result = self.disk.run(Box::new(job));
        if self.disk.is_held_up()
            && let Err(err) = &result
        {
            self.failed(err);
        }
        result
    }

    fn failed(&mut self, err: &StoreError) {
        if self.failed_at.is_none() {
            tracing::error!(%err, "cannot store attachments; shards stay awake");
        }
        self.failed_at = Some(Instant::now());
        *self.fault() = Some(err.clone());
    }

    fn fault(&self) -> std::sync::MutexGuard<'_, Option<StoreError>> {
        self.fault.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
