//! What can go wrong with the database, as callers have to know it.

use sqlx::postgres::PgDatabaseError;

/// Why the database cannot be opened.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// It is not there, not permitted, or no such database.
    #[error("cannot use {location}: {cause}; check database.url, data_dir and their permissions")]
    Unusable {
        /// Where, without password.
        location: String,
        /// What the database says.
        cause: String,
    },
    /// A later version of the server has changed it.
    #[error(
        "{location} was made by a newer version of Dormouse (migration {version} is unknown here); \
         run that version, or restore a copy from before it"
    )]
    Newer {
        /// Where, without password.
        location: String,
        /// The migration.
        version: i64,
    },
    /// A migration fails.
    #[error(
        "cannot bring {location} up to date: {cause}; nothing was changed by the step that failed"
    )]
    Migration {
        /// Where, without password.
        location: String,
        /// What the database says.
        cause: String,
    },
}

/// Why a read or a write has failed. Nothing of a failed write is stored.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DatabaseError {
    /// It is locked, full, read-only or gone: 503, and worth another try.
    #[error("the database is not available: {0}")]
    Unavailable(String),
    /// Too much is waiting to be written: 503, and worth another try.
    #[error("too many writes are waiting; try again")]
    Busy,
    /// A fault of the server's own.
    #[error("the database refused a statement: {0}")]
    Internal(String),
}

impl DatabaseError {
    /// The error of a thread that has ended.
    pub(super) fn closed() -> Self {
        Self::Unavailable("it is closed".to_owned())
    }

    /// Whether another try may succeed.
    #[must_use]
    pub fn is_unavailable(&self) -> bool {
        matches!(self, Self::Unavailable(_) | Self::Busy)
    }
}

impl From<sqlx::Error> for DatabaseError {
    fn from(err: sqlx::Error) -> Self {
        use sqlx::Error;
        let is_unavailable = match &err {
            Error::Io(_)
            | Error::Tls(_)
            | Error::Protocol(_)
            | Error::PoolTimedOut
            | Error::PoolClosed
            | Error::WorkerCrashed
            | Error::BeginFailed => true,
            Error::Database(err) => {
                let code = err.code().unwrap_or_default();
                if err.try_downcast_ref::<PgDatabaseError>().is_some() {
                    is_unavailable_in_postgres(&code)
                } else {
                    is_unavailable_in_sqlite(&code)
                }
            }
            _ => false,
        };
        if is_unavailable {
            Self::Unavailable(err.to_string())
        } else {
            Self::Internal(err.to_string())
        }
    }
}

/// Classes of SQLSTATE that say nothing of the statement itself (PostgreSQL manual, appendix A).
fn is_unavailable_in_postgres(code: &str) -> bool {
    // Connections, authorisation, no such database, rolled back for others' sake, resources,
    // locks, an operator, the system; and a server that is read-only.
    const CLASSES: [&str; 9] = ["08", "28", "3D", "40", "53", "55", "57", "58", "F0"];
    code == "25006" || CLASSES.iter().any(|class| code.starts_with(class))
}

/// Primary result codes that say nothing of the statement itself (sqlite.org/rescode.html).
fn is_unavailable_in_sqlite(code: &str) -> bool {
    const PERM: u32 = 3;
    const BUSY: u32 = 5;
    const LOCKED: u32 = 6;
    const NOMEM: u32 = 7;
    const READONLY: u32 = 8;
    const IOERR: u32 = 10;
    const CORRUPT: u32 = 11;
    const FULL: u32 = 13;
    const CANTOPEN: u32 = 14;
    const NOTADB: u32 = 26;
    let primary = code.parse::<u32>().map_or(0, |code| code & 0xff);
    [
        PERM, BUSY, LOCKED, NOMEM, READONLY, IOERR, CORRUPT, FULL, CANTOPEN, NOTADB,
    ]
    .contains(&primary)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_told_apart() {
        for code in ["5", "517", "8", "1032", "13", "14", "266"] {
            assert!(is_unavailable_in_sqlite(code), "{code}");
        }
        for code in ["1", "19", "2067", "20", ""] {
            assert!(!is_unavailable_in_sqlite(code), "{code}");
        }
        for code in ["08006", "57P01", "25006", "53100", "55P03", "40001"] {
            assert!(is_unavailable_in_postgres(code), "{code}");
        }
        for code in ["23505", "42P01", "22021", "25P02", ""] {
            assert!(!is_unavailable_in_postgres(code), "{code}");
        }
    }
}
