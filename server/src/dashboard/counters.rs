//! What the dashboard counts (Socket.IO contract, section 13).

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use dormouse_shard::counters::Histogram;

/// Events that are exported from the start, so that rates have a beginning.
const FREQUENT: [&str; 8] = [
    "init",
    "agent:status",
    "task:progress",
    "task:completed",
    "task:failed",
    "message:new",
    "activity:log",
    "heartbeat",
];

/// Counters that all threads share.
#[derive(Debug, Default)]
pub struct DashboardCounters {
    connections: AtomicU64,
    disconnections: AtomicU64,
    received: AtomicU64,
    errors: AtomicU64,
    emitted: Mutex<BTreeMap<String, u64>>,
    open: Mutex<Histogram>,
    latency: Mutex<Histogram>,
    initial: Mutex<Histogram>,
}

fn observe(histogram: &Mutex<Histogram>, time: Duration) {
    let mut histogram = histogram.lock().unwrap_or_else(PoisonError::into_inner);
    histogram.observe(time, 1);
}

fn copy(histogram: &Mutex<Histogram>) -> Histogram {
    let histogram = histogram.lock().unwrap_or_else(PoisonError::into_inner);
    histogram.clone()
}

impl DashboardCounters {
    /// A connection came.
    pub fn connected(&self) {
        self.connections.fetch_add(1, Ordering::Relaxed);
    }

    /// A connection went that was open for this time.
    pub fn left(&self, open: Duration) {
        self.disconnections.fetch_add(1, Ordering::Relaxed);
        observe(&self.open, open);
    }

    /// A client sent an event.
    pub fn received(&self) {
        self.received.fetch_add(1, Ordering::Relaxed);
    }

    /// An event was not done.
    pub fn failed(&self) {
        self.errors.fetch_add(1, Ordering::Relaxed);
    }

    /// An event is told; the names are a closed set.
    pub fn emitted(&self, event: &str) {
        let mut emitted = self.emitted.lock().unwrap_or_else(PoisonError::into_inner);
        match emitted.get_mut(event) {
            Some(count) => *count += 1,
            None => {
                emitted.insert(event.to_owned(), 1);
            }
        }
    }

    /// What an event led to is on its way, this time after it came.
    pub fn told(&self, took: Duration) {
        observe(&self.latency, took);
    }

    /// What a newcomer is told first was made in this time.
    pub fn welcomed(&self, took: Duration) {
        observe(&self.initial, took);
    }

    /// Connections so far.
    pub fn connections(&self) -> u64 {
        self.connections.load(Ordering::Relaxed)
    }

    /// Connections that are over.
    pub fn disconnections(&self) -> u64 {
        self.disconnections.load(Ordering::Relaxed)
    }

    /// Events of clients.
    pub fn all_received(&self) -> u64 {
        self.received.load(Ordering::Relaxed)
    }

    /// Events that were not done.
    pub fn errors(&self) -> u64 {
        self.errors.load(Ordering::Relaxed)
    }

    /// Events told, by name; each once, however many connections get it.
    pub fn all_emitted(&self) -> BTreeMap<String, u64> {
        let emitted = self.emitted.lock().unwrap_or_else(PoisonError::into_inner);
        let mut all: BTreeMap<_, _> = FREQUENT.map(|event| (event.to_owned(), 0)).into();
        all.extend(emitted.iter().map(|(event, count)| (event.clone(), *count)));
        all
    }

    /// How long connections were open.
    pub fn open_times(&self) -> Histogram {
        copy(&self.open)
    }

    /// How long events took.
    pub fn latency(&self) -> Histogram {
        copy(&self.latency)
    }

    /// How long it took to make what newcomers are told.
    pub fn initial_state(&self) -> Histogram {
        copy(&self.initial)
    }
}
