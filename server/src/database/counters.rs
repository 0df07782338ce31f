//! What is counted of the database, for the metrics.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use dormouse_shard::counters::Histogram;

/// How an operation ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// As it should.
    Done,
    /// Refused by itself, such as a version that does not match; nothing was written.
    Refused,
    /// By a failure of the database.
    Failed,
}

impl Ended {
    /// The words in metrics, in the order of the variants.
    pub const LABELS: [&'static str; 3] = ["done", "refused", "failed"];
}

/// Counters that the threads share.
#[derive(Debug, Default)]
pub struct DatabaseCounters {
    writes: [AtomicU64; 3],
    reads: [AtomicU64; 3],
    commits: AtomicU64,
    is_down: AtomicBool,
    write_time: Mutex<Histogram>,
}

impl DatabaseCounters {
    pub(super) fn wrote(&self, ended: Ended, took: Duration) {
        count(&self.writes, ended);
        self.write_time
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .observe(took, 1);
    }

    pub(super) fn read(&self, ended: Ended) {
        count(&self.reads, ended);
    }

    pub(super) fn committed(&self) {
        self.commits.fetch_add(1, Ordering::Relaxed);
    }

    /// Notes whether the database fails; `true` when that is news.
    pub(super) fn set_down(&self, is_down: bool) -> bool {
        self.is_down.swap(is_down, Ordering::Relaxed) != is_down
    }

    /// Writes by how they ended, in the order of [`Ended::LABELS`].
    pub fn writes(&self) -> [u64; 3] {
        self.writes
            .each_ref()
            .map(|count| count.load(Ordering::Relaxed))
    }

    /// Reads by how they ended; they are never refused.
    pub fn reads(&self) -> [u64; 3] {
        self.reads
            .each_ref()
            .map(|count| count.load(Ordering::Relaxed))
    }

    /// Transactions that were committed; each holds one write or more.
    pub fn commits(&self) -> u64 {
        self.commits.load(Ordering::Relaxed)
    }

    /// Whether the last write or probe got through.
    pub fn is_up(&self) -> bool {
        !self.is_down.load(Ordering::Relaxed)
    }

    /// Time from asking for a write to its end, waiting included.
    pub fn write_time(&self) -> Histogram {
        self.write_time
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

fn count(counts: &[AtomicU64; 3], ended: Ended) {
    let [done, refused, failed] = counts;
    let count = match ended {
        Ended::Done => done,
        Ended::Refused => refused,
        Ended::Failed => failed,
    };
    count.fetch_add(1, Ordering::Relaxed);
}
