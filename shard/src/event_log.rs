//! The log that replays come from, as workers see it.
//!
//! The application keeps it. A place in a tenant's log is a number; places ascend by one with each
//! event that is published, and an event is in the log before any worker is told of it. Old
//! events leave the log at its beginning.

use std::sync::Arc;

/// An event of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoggedEvent {
    /// Its place.
    pub cursor: u64,
    /// Its name.
    pub name: Box<str>,
    /// The JSON of its payload.
    pub payload: Box<str>,
}

/// What a read found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogPage {
    /// The events, in order.
    pub events: Vec<LoggedEvent>,
    /// The place of the newest event there is, seen by the same read; 0 before the first.
    pub head: u64,
}

/// The log cannot be read now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the log cannot be read now")]
pub struct LogUnavailable;

/// Takes what a read found, on any thread.
pub type LogReader = Box<dyn FnOnce(Result<LogPage, LogUnavailable>) + Send>;

/// A log of events.
pub trait EventLog: Send + Sync + 'static {
    /// Reads at most `most` events of a tenant that come after a place, oldest first, and calls
    /// `done` at once or later. Must not block.
    fn read(&self, tenant: &Arc<str>, after: u64, most: usize, done: LogReader);
}
