//! What the connections of a load run share: what became of each event on its way in, the tasks
//! that the server made of them, the numbers.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use super::transport::fingerprint;
use crate::receipts::Published;
use crate::stats::{Counter, Rate, Trend};

/// How many different complaints are kept for the report.
const MOST_NOTES: usize = 8;

/// What is collected.
#[derive(Debug, Default)]
pub(super) struct Metrics {
    pub(super) open: u64,
    pub(super) connection_time: Trend,
    pub(super) connection_success_rate: Rate,
    pub(super) disconnection_rate: Rate,
    pub(super) event_latency: Trend,
    pub(super) ack_latency: Trend,
    pub(super) events_sent: Counter,
    pub(super) events_received: Counter,
    pub(super) notes: Vec<String>,
}

/// A task that the server made of an event.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Task {
    /// When its event was due, once it is known to be ours.
    pub(super) due: Option<Instant>,
    /// When any connection first heard of it.
    pub(super) first_seen: Option<Instant>,
}

#[derive(Debug, Default)]
struct Tasks {
    by_id: HashMap<String, Task>,
    /// Events of tasks by fingerprint: the place in the list behind.
    events: HashMap<u64, usize>,
    /// The task of each event.
    owners: Vec<String>,
}

/// What the connections share.
#[derive(Debug)]
pub(super) struct Board {
    published: Mutex<Vec<Published>>,
    outstanding: AtomicU64,
    accepted: AtomicU64,
    stopped: AtomicBool,
    tasks: Mutex<Tasks>,
    metrics: Mutex<Metrics>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Board {
    /// The board of a run with so many events.
    pub(super) fn new(events: usize) -> Self {
        Self {
            published: Mutex::new(vec![Published::Unanswered; events]),
            outstanding: AtomicU64::new(0),
            accepted: AtomicU64::new(0),
            stopped: AtomicBool::new(false),
            tasks: Mutex::default(),
            metrics: Mutex::default(),
        }
    }

    pub(super) fn metrics(&self) -> MutexGuard<'_, Metrics> {
        lock(&self.metrics)
    }

    /// Keeps a complaint, once.
    pub(super) fn note(&self, text: String) {
        let notes = &mut self.metrics().notes;
        if notes.len() < MOST_NOTES && !notes.contains(&text) {
            notes.push(text);
        }
    }

    /// No event is to be sent any more.
    pub(super) fn stop_sending(&self) {
        self.stopped.store(true, Ordering::Relaxed);
    }

    /// Whether that is so.
    pub(super) fn has_stopped(&self) -> bool {
        self.stopped.load(Ordering::Relaxed)
    }

    /// An event goes out.
    pub(super) fn sent(&self) {
        self.outstanding.fetch_add(1, Ordering::Relaxed);
        self.metrics().events_sent.add(1);
    }

    /// The server has answered an event, or its connection has ended.
    pub(super) fn answered(&self, number: usize, published: Published) {
        self.outstanding.fetch_sub(1, Ordering::Relaxed);
        if matches!(published, Published::Accepted(..)) {
            self.accepted.fetch_add(1, Ordering::Relaxed);
        }
        if let Some(event) = lock(&self.published).get_mut(number) {
            *event = published;
        }
    }

    /// Whether every event that was sent has been answered.
    pub(super) fn is_settled(&self) -> bool {
        self.outstanding.load(Ordering::Relaxed) == 0
    }

    /// How many events the server took.
    pub(super) fn accepted(&self) -> u64 {
        self.accepted.load(Ordering::Relaxed)
    }

    /// What became of each event.
    pub(super) fn published(&self) -> Vec<Published> {
        lock(&self.published).clone()
    }

    /// A task is ours; its event was due at this moment.
    pub(super) fn own_task(&self, task: String, due: Instant) {
        lock(&self.tasks).by_id.entry(task).or_default().due = Some(due);
    }

    /// An event of a task was heard: its place among all such events.
    pub(super) fn task_event(&self, task: &str, kind: u64, now: Instant) -> usize {
        let mut tasks = lock(&self.tasks);
        let tasks = &mut *tasks;
        match tasks.by_id.get_mut(task) {
            Some(known) => {
                known.first_seen.get_or_insert(now);
            }
            None => {
                let entry = tasks.by_id.entry(task.to_owned()).or_default();
                entry.first_seen = Some(now);
            }
        }
        let key = fingerprint(&[task]) ^ kind.rotate_left(17);
        let next = tasks.owners.len();
        let place = *tasks.events.entry(key).or_insert(next);
        if place == next {
            tasks.owners.push(task.to_owned());
        }
        place
    }

    /// How many events of tasks were heard of, each counted once.
    pub(super) fn task_events(&self) -> u64 {
        lock(&self.tasks).owners.len() as u64
    }

    /// Every task, and the task of each event.
    pub(super) fn tasks(&self) -> (HashMap<String, Task>, Vec<String>) {
        let tasks = lock(&self.tasks);
        (tasks.by_id.clone(), tasks.owners.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_of_tasks_have_places_of_their_own() {
        let board = Board::new(0);
        let now = Instant::now();
        assert_eq!(board.task_event("a", 1, now), 0);
        assert_eq!(board.task_event("a", 2, now), 1);
        assert_eq!(board.task_event("b", 1, now), 2);
        assert_eq!(board.task_event("a", 1, now), 0);
        board.own_task("a".to_owned(), now);
        let (tasks, owners) = board.tasks();
        assert_eq!(owners, ["a", "a", "b"]);
        assert!(tasks["a"].due.is_some() && tasks["b"].due.is_none());
    }

    #[test]
    fn the_board_is_settled_once_every_event_is_answered() {
        let board = Board::new(2);
        let now = Instant::now();
        board.sent();
        board.sent();
        assert!(!board.is_settled());
        board.answered(0, Published::Accepted(now, now));
        board.answered(1, Published::Refused);
        assert!(board.is_settled());
        assert_eq!(
            (board.accepted(), board.published()[1]),
            (1, Published::Refused)
        );
    }
}
