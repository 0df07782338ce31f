//! The thread that waits for the disk, and the patience of those who wait for it.
//!
//! sled waits for ever in a `flush` when a write of one of its own threads fails at an unlucky
//! moment: the failure is noted, and nobody is woken (`exit_reservation` in its `logger.rs`, 0.34).
//! Any later use of the database wakes it, so a write that takes long gets a nudge. Whatever else
//! may hold a write up, such as a network disk that is gone, is given up after a time.

use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError, TryRecvError};
use std::time::{Duration, Instant};

use super::{Backend, StoreError};

/// What is done on the thread.
pub(super) type Job = Box<dyn FnOnce(&dyn Backend) -> Result<(), StoreError> + Send>;

/// How long a write may take before it gets its first nudge, and the time to the next.
const NUDGE_AFTER: Duration = Duration::from_secs(1);
/// Most nudges under way: each may wait as long as what it is to wake.
const NUDGES: usize = 8;

/// The thread. Dropped, it ends after its write; one that does not end is left behind.
pub(super) struct Disk {
    backend: Arc<dyn Backend>,
    patience: Duration,
    jobs: Option<mpsc::Sender<Job>>,
    results: mpsc::Receiver<Result<(), StoreError>>,
    thread: Option<std::thread::JoinHandle<()>>,
    nudges: Vec<std::thread::JoinHandle<()>>,
    /// Since when a write has been under way that was given up.
    given_up: Option<Instant>,
}

impl Disk {
    /// # Errors
    /// When the thread cannot be started.
    pub(super) fn start(backend: Arc<dyn Backend>, patience: Duration) -> Result<Self, StoreError> {
        let (jobs, queue) = mpsc::channel::<Job>();
        let (sender, results) = mpsc::channel();
        let thread = {
            let backend = backend.clone();
            std::thread::Builder::new()
                .name("store-disk".into())
                .spawn(move || {
                    for job in queue {
                        if sender.send(job(&*backend)).is_err() {
                            return;
                        }
                    }
                })
                .map_err(|err| StoreError::new(format!("cannot start the store's thread: {err}")))?
        };
        Ok(Self {
            backend,
            patience,
            jobs: Some(jobs),
            results,
            thread: Some(thread),
            nudges: Vec::new(),
            given_up: None,
        })
    }

    /// Does a job and waits for its end, though not longer than the patience. While a job that was
    /// given up has not ended, no other is begun.
    ///
    /// # Errors
    /// The job's, or that it takes too long.
    pub(super) fn run(&mut self, job: Job) -> Result<(), StoreError> {
        if let Some(since) = self.given_up {
            match self.results.try_recv() {
                // How it ended is of no interest: whoever waited has been told that it failed.
                Ok(_) => self.given_up = None,
                Err(TryRecvError::Empty) => {
                    self.nudge();
                    return Err(self.too_long(since));
                }
                Err(TryRecvError::Disconnected) => return Err(ended()),
            }
        }
        let begun_at = Instant::now();
        let sent = self.jobs.as_ref().map(|jobs| jobs.send(job));
        if !matches!(sent, Some(Ok(()))) {
            return Err(ended());
        }
        loop {
            let left = self.patience.saturating_sub(begun_at.elapsed());
            match self.results.recv_timeout(left.min(NUDGE_AFTER)) {
                Ok(result) => return result,
                Err(RecvTimeoutError::Disconnected) => return Err(ended()),
                Err(RecvTimeoutError::Timeout) if begun_at.elapsed() < self.patience => {
                    self.nudge()
                }
                Err(RecvTimeoutError::Timeout) => {
                    self.given_up = Some(begun_at);
                    return Err(self.too_long(begun_at));
                }
            }
        }
    }

    /// Whether a write is under way that was given up.
    pub(super) fn is_held_up(&self) -> bool {
        self.given_up.is_some()
    }

    fn nudge(&mut self) {
        self.nudges.retain(|nudge| !nudge.is_finished());
        if self.nudges.len() >= NUDGES {
            return;
        }
        let backend = self.backend.clone();
        let nudge = std::thread::Builder::new()
            .name("store-nudge".into())
            .spawn(move || backend.nudge());
        // A system without a thread to spare may have one in a second.
        self.nudges.extend(nudge);
    }

    fn too_long(&self, since: Instant) -> StoreError {
        let seconds = since.elapsed().as_secs();
        StoreError::new(format!(
            "the store has not ended a write for {seconds} s; check free space and the disk, and \
             restart the server if it stays so"
        ))
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        self.jobs = None;
        // One that was given up may never end, and would keep the server from stopping.
        if self.given_up.is_none()
            && let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the store's thread panicked");
        }
    }
}

fn ended() -> StoreError {
    StoreError::new("the store's thread has ended; restart the server")
}
