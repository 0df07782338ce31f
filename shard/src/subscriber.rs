//! Subscribers on their way in: a socket, and a key that may have to be verified first.

use std::sync::Arc;

use bytes::Bytes;
use dormouse_protocol::CloseCode;

use crate::event_log::EventLog;
use crate::table::Slot;

/// What a good key opens.
#[derive(Clone)]
pub struct Access {
    /// The tenant whose events may be subscribed to.
    pub tenant: Arc<str>,
    /// The id of the key, by which its connections are closed when it is revoked.
    pub key: Arc<str>,
    /// The log that replays come from.
    pub log: Arc<dyn EventLog>,
}

impl std::fmt::Debug for Access {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Access")
            .field("tenant", &self.tenant)
            .field("key", &self.key)
            .finish_non_exhaustive()
    }
}

/// Why a subscriber is not taken in; it is told by a close frame (contract events.md section 7).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AccessRefused {
    /// No, a bad or a revoked key.
    Unauthorized,
    /// The node has as many subscribers as it may have.
    Full,
    /// The key cannot be verified now.
    Unavailable,
}

impl AccessRefused {
    /// The code and the text of the close frame.
    pub const fn close(self) -> (CloseCode, &'static str) {
        match self {
            Self::Unauthorized => (CloseCode::POLICY, "Unauthorized"),
            Self::Full => (CloseCode::SLOW_CONSUMER, "Node over its connection limit"),
            Self::Unavailable => (CloseCode::INTERNAL, "cannot verify the key now; reconnect"),
        }
    }
}

/// Takes the outcome of a verification, on any thread.
pub type Verdict = Box<dyn FnOnce(Result<Access, AccessRefused>) + Send>;

/// A socket that wants to subscribe.
pub struct NewSubscriber {
    /// The socket and what came with it.
    pub slot: Slot,
    /// The `101` response.
    pub accept: Bytes,
    /// Verifies the key and tells the outcome, at once or later. Must not block.
    pub verify: Box<dyn FnOnce(Verdict) + Send>,
    /// Gives its place among the subscribers back when dropped.
    pub permit: Box<dyn std::any::Any + Send>,
}

impl std::fmt::Debug for NewSubscriber {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NewSubscriber")
            .field("connection", &self.slot.id())
            .finish_non_exhaustive()
    }
}
