//! The account of broadcasts: for each, who must receive it, who did, and what the server said.
//!
//! `observers` announces and answers, `client` records receipts, `outcome` reads the rows. Entries
//! stay until the end of the run, so that a late duplicate is still seen. Pure: no clock, no I/O.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Instant;

use serde::{Deserialize, Deserializer, Serialize};
use tokio::sync::Notify;
use uuid::Uuid;

use super::audience::Audience;

/// All broadcasts of a run.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    entries: HashMap<Uuid, Entry>,
    /// Deliveries of broadcasts that this run did not send.
    foreign: u64,
}

#[derive(Debug)]
struct Entry {
    audience: &'static str,
    intended: Instant,
    expected: BTreeSet<usize>,
    /// How many of the expected ones have it.
    arrived: usize,
    received: BTreeMap<usize, u64>,
    answer: Answer,
    complete: Arc<Notify>,
}

/// What the server said to a broadcast.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// Nothing: not yet, or the connection broke. Whether it was sent is unknown.
    None,
    /// 200 with this `delivered`.
    Accepted(u64),
    /// Another status, or a body that is not the contract's.
    Refused,
}

/// What a receipt turned out to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Receipt {
    /// The one that was expected; the broadcast was due at this moment.
    Expected(Instant),
    /// Not the first at this connection.
    Duplicate,
    /// The filter does not reach this connection.
    Misrouted,
    /// Not a broadcast of this run.
    Foreign,
}

/// The account of one audience; the sum over its broadcasts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Row {
    /// Who it was for.
    pub audience: &'static str,
    /// Broadcasts sent.
    pub sent: u64,
    /// Broadcasts that the server refused.
    pub refused: u64,
    /// Broadcasts without an answer.
    pub unanswered: u64,
    /// Deliveries that accepted broadcasts must have led to.
    pub expected: u64,
    /// Deliveries of those that came, each counted once.
    pub received: u64,
    /// Deliveries that never came.
    pub lost: u64,
    /// Deliveries that came again.
    pub duplicated: u64,
    /// Deliveries to connections that they were not for.
    pub misrouted: u64,
    /// Broadcasts whose `delivered` is not the number expected.
    pub miscounted: u64,
}

/// A worker's row, read by the process that adds them up.
impl<'de> Deserialize<'de> for Row {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        struct Written {
            audience: String,
            sent: u64,
            refused: u64,
            unanswered: u64,
            expected: u64,
            received: u64,
            lost: u64,
            duplicated: u64,
            misrouted: u64,
            miscounted: u64,
        }
        let row = Written::deserialize(deserializer)?;
        let known = Audience::NAMES
            .into_iter()
            .find(|name| *name == row.audience);
        Ok(Self {
            audience: known.ok_or_else(|| serde::de::Error::custom("unknown audience"))?,
            sent: row.sent,
            refused: row.refused,
            unanswered: row.unanswered,
            expected: row.expected,
            received: row.received,
            lost: row.lost,
            duplicated: row.duplicated,
            misrouted: row.misrouted,
            miscounted: row.miscounted,
        })
    }
}

impl Row {
    /// Adds the row of another worker.
    pub(super) fn add(&mut self, other: &Self) {
        self.sent += other.sent;
        self.refused += other.refused;
        self.unanswered += other.unanswered;
        self.expected += other.expected;
        self.received += other.received;
        self.lost += other.lost;
        self.duplicated += other.duplicated;
        self.misrouted += other.misrouted;
        self.miscounted += other.miscounted;
    }

    /// Whether every broadcast was accepted and reached exactly the connections it was for.
    pub fn holds(&self) -> bool {
        let faults = self.refused + self.unanswered + self.lost + self.duplicated;
        faults + self.misrouted + self.miscounted == 0 && self.received == self.expected
    }
}

impl Ledger {
    /// A broadcast is about to be sent; deliveries may come from now on. The returned signal is
    /// raised once all expected ones have.
    pub(super) fn announce(
        &mut self,
        id: Uuid,
        audience: &Audience,
        expected: BTreeSet<usize>,
        intended: Instant,
    ) -> Arc<Notify> {
        let complete = Arc::new(Notify::new());
        if expected.is_empty() {
            complete.notify_one();
        }
        let entry = Entry {
            audience: audience.name(),
            intended,
            expected,
            arrived: 0,
            received: BTreeMap::new(),
            answer: Answer::None,
            complete: Arc::clone(&complete),
        };
        self.entries.insert(id, entry);
        complete
    }

    /// The server has answered a broadcast.
    pub(super) fn answer(&mut self, id: Uuid, answer: Answer) {
        if let Some(entry) = self.entries.get_mut(&id) {
            entry.answer = answer;
        }
    }

    /// A broadcast has arrived at a connection; `None` for one without a readable id.
    pub(super) fn receive(&mut self, id: Option<Uuid>, connection: usize) -> Receipt {
        let Some(entry) = id.and_then(|id| self.entries.get_mut(&id)) else {
            self.foreign += 1;
            return Receipt::Foreign;
        };
        let count = entry.received.entry(connection).or_default();
        *count += 1;
        match (*count, entry.expected.contains(&connection)) {
            (1, true) => {
                entry.arrived += 1;
                if entry.arrived == entry.expected.len() {
                    entry.complete.notify_one();
                }
                Receipt::Expected(entry.intended)
            }
            (1, false) => Receipt::Misrouted,
            _ => Receipt::Duplicate,
        }
    }

    /// Deliveries of broadcasts that this run did not send.
    pub(super) fn foreign(&self) -> u64 {
        self.foreign
    }

    /// The account so far, one row for each audience that had a broadcast.
    pub(super) fn rows(&self) -> Vec<Row> {
        let rows = Audience::NAMES.map(|audience| {
            let mut row = Row {
                audience,
                ..Row::default()
            };
            let entries = self
                .entries
                .values()
                .filter(|entry| entry.audience == audience);
            entries.for_each(|entry| entry.add_to(&mut row));
            row
        });
        rows.into_iter().filter(|row| row.sent > 0).collect()
    }
}

impl Entry {
    fn add_to(&self, row: &mut Row) {
        row.sent += 1;
        row.duplicated += self.received.values().map(|count| count - 1).sum::<u64>();
        let arrived = self.arrived as u64;
        let strangers = self.received.len() as u64 - arrived;
        match self.answer {
            Answer::Accepted(delivered) => {
                let expected = self.expected.len() as u64;
                row.expected += expected;
                row.received += arrived;
                row.lost += expected - arrived;
                row.misrouted += strangers;
                row.miscounted += u64::from(delivered != expected);
            }
            // What was refused must not be delivered to anyone.
            Answer::Refused => {
                row.refused += 1;
                row.misrouted += arrived + strangers;
            }
            Answer::None => {
                row.unanswered += 1;
                row.misrouted += strangers;
            }
        }
    }
}

#[cfg(test)]
mod tests;
