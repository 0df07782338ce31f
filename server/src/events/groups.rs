//! Groups of workers that read a tenant's log together, one group for each service (contract
//! events.md section 8).
//!
//! A group hands every entry of its channels to one worker at a time. Who has done its work
//! acknowledges the entry; one that is neither acknowledged nor given back within a minute goes to
//! whoever asks next, and after five failures it is a dead letter. All of this is rows of the
//! database, changed by its one writer: no two workers are given an entry at the same time, and
//! nothing that was handed out is lost by a restart, or because the log is capped.

pub mod reading;
pub mod settling;
pub mod store;

use dormouse_protocol::events::{Family, Pattern};

use crate::database::{DatabaseError, WriteError};

/// Groups of a tenant at most.
pub const MOST_GROUPS: usize = 100;
/// Entries of a group that may wait for an acknowledgement; until then nothing new is handed out.
pub const MOST_PENDING: usize = 10_000;
/// Dead letters that a group keeps, the newest.
pub const MOST_DEAD: usize = 10_000;
/// After this time without an acknowledgement an entry goes to another worker, ms.
pub const IDLE_MS: i64 = 60_000;
/// How often an entry is handed out before it is a dead letter.
pub const MOST_ATTEMPTS: i64 = 5;
/// Longest name of a group or a worker, bytes.
pub const MAX_NAME: usize = 64;

/// Why a request of a worker cannot be met.
#[derive(Clone, Debug, thiserror::Error)]
pub enum GroupError {
    /// Nobody has made it.
    #[error("there is no such group; make it with PUT /api/v1/events/groups/{{group}}")]
    Unknown,
    /// A tenant has [`MOST_GROUPS`].
    #[error("a tenant has at most {MOST_GROUPS} groups; delete one that is no longer read")]
    TooMany,
    /// It would begin behind the newest event.
    #[error("start is ahead of the log; use a cursor of this tenant's events, \"0\" or \"$\"")]
    Ahead,
    /// [`MOST_PENDING`] entries wait for an acknowledgement.
    #[error("{MOST_PENDING} entries are handed out and not acknowledged; acknowledge what is done")]
    Full,
    /// The database.
    #[error(transparent)]
    Database(#[from] DatabaseError),
}

impl From<sqlx::Error> for GroupError {
    fn from(err: sqlx::Error) -> Self {
        Self::Database(err.into())
    }
}

impl WriteError for GroupError {
    fn database(&self) -> Option<&DatabaseError> {
        match self {
            Self::Database(err) => Some(err),
            _ => None,
        }
    }
}

/// A group: whose, and which.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupKey {
    /// The tenant.
    pub tenant: String,
    /// The group's name.
    pub name: String,
}

/// Whether a text can name a group or a worker.
pub fn is_name(text: &str) -> bool {
    (1..=MAX_NAME).contains(&text.len())
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
}

/// The channels of a group that names none: every event.
pub fn all_channels() -> Vec<Pattern> {
    let all = Family::ALL.into_iter().map(Family::channel);
    all.filter_map(|text| Pattern::parse(text).ok()).collect()
}
