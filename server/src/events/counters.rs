//! What is counted of events, for the metrics.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use dormouse_protocol::events::CallStatus;
use dormouse_shard::counters::Histogram;

/// Counters that all threads share. None is touched for a recipient of an event.
#[derive(Debug, Default)]
pub struct EventCounters {
    published: AtomicU64,
    dead_letters: AtomicU64,
    calls: [AtomicU64; 5],
    /// Calls that are not over, as far as they are stored. Below zero for as long as those of
    /// before the start have not been counted.
    active: AtomicI64,
    publish_time: Mutex<Histogram>,
}

impl EventCounters {
    /// The words of the label `status` of `calls_total`.
    pub const STATUSES: [&'static str; 5] = [
        CallStatus::Initiated.as_str(),
        CallStatus::Ringing.as_str(),
        CallStatus::Answered.as_str(),
        CallStatus::Completed.as_str(),
        CallStatus::Failed.as_str(),
    ];

    /// Counts a submission that is stored, with the events of it that are published.
    pub fn published(&self, events: u64, took: Duration) {
        self.published.fetch_add(events, Ordering::Relaxed);
        self.publish_time
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .observe(took, 1);
    }

    /// Counts a call that has come to a status.
    pub fn call_became(&self, status: CallStatus) {
        let place = CallStatus::ALL.iter().position(|known| *known == status);
        if let Some(counter) = place.and_then(|place| self.calls.get(place)) {
            counter.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Changes the number of calls that are not over.
    pub fn change_active(&self, by: i64) {
        self.active.fetch_add(by, Ordering::Relaxed);
    }

    /// Events published.
    pub fn all_published(&self) -> u64 {
        self.published.load(Ordering::Relaxed)
    }

    /// Counts entries that became dead letters.
    pub fn died(&self, entries: u64) {
        self.dead_letters.fetch_add(entries, Ordering::Relaxed);
    }

    /// Entries that became dead letters.
    pub fn all_dead(&self) -> u64 {
        self.dead_letters.load(Ordering::Relaxed)
    }

    /// Calls by the status that they came to, in the order of [`Self::STATUSES`].
    pub fn calls(&self) -> [u64; 5] {
        self.calls
            .each_ref()
            .map(|counter| counter.load(Ordering::Relaxed))
    }

    /// Calls that are not over.
    pub fn active(&self) -> u64 {
        u64::try_from(self.active.load(Ordering::Relaxed)).unwrap_or(0)
    }

    /// From accepting a submission to its end on disk and on the way to subscribers.
    pub fn publish_time(&self) -> Histogram {
        self.publish_time
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}
