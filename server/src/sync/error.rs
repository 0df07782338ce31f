//! Why an operation on entities is refused, whatever the transport.

use crate::database::{DatabaseError, WriteError};

/// A refusal. Nothing was changed, and no sequence number consumed.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SyncError {
    /// There is no such thing of this account; others' things are not told apart from none.
    #[error("{0} not found")]
    NotFound(&'static str),
    /// A field cannot be used; the text names it and says what is taken.
    #[error("{0}")]
    Invalid(String),
    /// The id is taken by something that is not the caller's, or that exists already.
    #[error("{0}")]
    Conflict(&'static str),
    /// The database.
    #[error(transparent)]
    Database(#[from] DatabaseError),
}

impl From<sqlx::Error> for SyncError {
    fn from(err: sqlx::Error) -> Self {
        Self::Database(err.into())
    }
}

impl WriteError for SyncError {
    fn database(&self) -> Option<&DatabaseError> {
        match self {
            Self::Database(err) => Some(err),
            _ => None,
        }
    }
}

impl SyncError {
    /// What clients are told: of failures inside the server, only that there was one.
    #[must_use]
    pub fn client_text(&self) -> String {
        match self {
            Self::Database(err) if err.is_unavailable() => {
                "the database is not available; try again".to_owned()
            }
            Self::Database(_) => "internal error".to_owned(),
            other => other.to_string(),
        }
    }
}
