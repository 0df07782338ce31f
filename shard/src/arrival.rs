//! Connections on their way to a shard, and why they may be refused.

use std::os::fd::OwnedFd;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use bytestring::ByteString;
use dormouse_protocol::{AuthState, ConnectionId, Labels, Rooms};
use tokio::time::Instant;

use crate::intake::Partial;
use crate::lobby::Guest;
use crate::mount::MountId;
use crate::table::{Owner, Slot};

/// SHA-256 by which a token is known here; never the token itself.
pub type TokenHash = [u8; 32];

/// The part of a token's hash that attachments keep: enough to find a user's connections that were
/// opened with it.
pub fn short_hash(hash: &TokenHash) -> [u8; 16] {
    hash.first_chunk().copied().unwrap_or_default()
}

/// Who a connection says it is, proven by a token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// The token's subject.
    pub user: Arc<str>,
    /// The token's `tier` claim.
    pub tier: Option<Box<str>>,
    /// The hash of the token, or of the one that the ticket was asked for with.
    pub token_hash: Option<TokenHash>,
}

/// Why a connection is not taken in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The user is at the cap of the tier.
    Limit {
        /// The tier's name.
        tier: Box<str>,
        /// Its cap.
        limit: u32,
        /// What the user has.
        connections: u32,
    },
    /// The server is stopping.
    Draining,
    /// Since it was verified, the token was revoked or the account blocked.
    Revoked,
}

/// Renders a refusal as the HTTP response that goes out instead of the `101`.
pub type RenderRefusal = Box<dyn FnOnce(&Refusal) -> Bytes + Send>;

/// How the client is told the outcome.
pub enum Greeting {
    /// The HTTP handshake is still to be answered.
    Upgrade {
        /// The `101` response.
        accept: Bytes,
        /// The other one.
        refuse: RenderRefusal,
    },
    /// The socket is open already; it authenticated by its first message.
    Late {
        /// Messages that came while the token was verified.
        waiting: Vec<ByteString>,
    },
    /// A Socket.IO transport is open already; its CONNECT is to be answered. A refusal brings the
    /// guest back to the lobby.
    Connect(Box<Guest>),
}

/// A connection that knows its user and looks for its shard.
pub struct Arrival {
    /// The socket and what came with it.
    pub slot: Slot,
    /// Its user.
    pub claim: Claim,
    /// Client type and ids.
    pub labels: Labels,
    /// The rooms that its gate has put it into.
    pub rooms: Rooms,
    /// How it authenticated.
    pub auth_state: AuthState,
    /// Whether its app says that it is in the foreground.
    pub is_foreground: bool,
    /// When the socket was accepted, Unix ms.
    pub connected_at: u64,
    /// When its handshake was read, for `ws_connection_time`.
    pub started: Instant,
    /// How to tell it.
    pub greeting: Greeting,
}

impl std::fmt::Debug for Arrival {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Arrival")
            .field("connection", &self.slot.id)
            .field("claim", &self.claim)
            .finish_non_exhaustive()
    }
}

/// A socket that was upgraded without a token and has to send one.
pub struct Newcomer {
    /// The socket and what came with it.
    pub slot: Slot,
    /// Client type and ids of the handshake, where its message names no others.
    pub labels: Labels,
    /// The `101` response.
    pub accept: Bytes,
    /// When the socket was accepted, Unix ms.
    pub connected_at: u64,
    /// The same on the clock of timers; the deadline counts from here.
    pub started: Instant,
    /// Gives its place among the unauthenticated back when dropped.
    pub permit: Box<dyn std::any::Any + Send>,
    /// Of a Socket.IO transport: its mount and the query of its handshake. `accept` ends with its
    /// first packet; while it polls, HTTP has sent that.
    pub socket_io: Option<(MountId, Box<str>)>,
}

impl std::fmt::Debug for Newcomer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Newcomer")
            .field("connection", &self.slot.id)
            .finish_non_exhaustive()
    }
}

/// A socket whose messages are sent back, for conformance tests.
pub struct NewEcho {
    /// The socket and what came with it.
    pub slot: Slot,
    /// The `101` response.
    pub accept: Bytes,
    /// Gives its place among the unauthenticated back when dropped.
    pub permit: Box<dyn std::any::Any + Send>,
}

impl std::fmt::Debug for NewEcho {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NewEcho")
            .field("connection", &self.slot.id)
            .finish_non_exhaustive()
    }
}

/// A slot for a socket that comes from a handshake, with the bytes that were read behind it.
pub fn fresh_slot(socket: OwnedFd, early: &[u8]) -> Slot {
    let mut slot = Slot::new(socket, ConnectionId::random(), Owner::Lobby);
    if !early.is_empty() {
        let frame = BytesMut::from(early);
        slot.partial = Some(Box::new(Partial {
            frame,
            ..Partial::default()
        }));
    }
    slot
}

/// Verifies tokens of first messages. Shared by all workers.
pub trait Gate: Send + Sync + 'static {
    /// Verifies a token and calls `done`, at once or later, on any thread. Must not block.
    fn verify(&self, token: &str, done: Box<dyn FnOnce(Option<Claim>) + Send>);

    /// Whether a verified claim still holds, asked when its connection is placed: its token may
    /// have been revoked on the way. Must answer from memory.
    fn still_admits(&self, claim: &Claim) -> bool {
        let _ = claim;
        true
    }
}
