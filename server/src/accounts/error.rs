//! What can stand in the way of an account.

use crate::database::{DatabaseError, WriteError};

/// Why a request about an account is refused. Nothing of it is stored then.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AccountError {
    /// An operator has yet to approve it.
    #[error(
        "this account waits for approval; ask the operator of this server to approve {account}"
    )]
    Pending {
        /// The account id.
        account: String,
    },
    /// An operator has blocked it, or deletes it.
    #[error("this account is blocked; ask the operator of this server")]
    Blocked,
    /// The server takes no new accounts.
    #[error("this server takes no new accounts; sign in with a key that it knows")]
    SignupClosed,
    /// So many wait for approval that no more may.
    #[error("too many accounts wait for approval; try again when the operator has looked at them")]
    WaitingListFull,
    /// The server takes new accounts with an invitation only.
    #[error("a new account needs an invitation; send its code in the header X-Invite-Code")]
    InviteRequired,
    /// The code is unknown, used, revoked or expired.
    #[error("the invitation is unknown, used, revoked or expired; ask for a new one")]
    InviteInvalid,
    /// No such pairing request, or it is over. The text is that of the contract.
    #[error("Request not found")]
    RequestNotFound,
    /// There is no such thing.
    #[error("there is no {0}")]
    NotFound(&'static str),
    /// The account is being deleted.
    #[error("the account is being deleted; it cannot be approved any more")]
    BeingDeleted,
    /// The database.
    #[error(transparent)]
    Database(DatabaseError),
}

impl AccountError {
    /// The stable word for programs, where there is one.
    #[must_use]
    pub const fn code(&self) -> Option<&'static str> {
        Some(match self {
            Self::Pending { .. } => "ACCOUNT_PENDING",
            Self::Blocked => "ACCOUNT_BLOCKED",
            Self::SignupClosed => "SIGNUP_CLOSED",
            Self::WaitingListFull => "WAITING_LIST_FULL",
            Self::InviteRequired => "INVITE_REQUIRED",
            Self::InviteInvalid => "INVITE_INVALID",
            Self::RequestNotFound | Self::NotFound(_) | Self::BeingDeleted | Self::Database(_) => {
                return None;
            }
        })
    }
}

impl From<DatabaseError> for AccountError {
    fn from(err: DatabaseError) -> Self {
        Self::Database(err)
    }
}

impl From<sqlx::Error> for AccountError {
    fn from(err: sqlx::Error) -> Self {
        Self::Database(err.into())
    }
}

impl WriteError for AccountError {
    fn database(&self) -> Option<&DatabaseError> {
        match self {
            Self::Database(err) => Some(err),
            _ => None,
        }
    }
}
