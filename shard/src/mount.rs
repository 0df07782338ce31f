//! Where Socket.IO is served: timers, limits, and who may connect (Socket.IO contract, section 1).

use std::time::Duration;

use dormouse_protocol::{AuthState, Labels, Rooms};

use crate::arrival::Claim;

/// Most mounts of a server; a slot has two bits for them.
pub const MAX_MOUNTS: usize = 3;

/// A mount, by its position.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MountId(u8);

impl MountId {
    /// The mount at this position.
    pub const fn of_index(index: u8) -> Self {
        Self(index)
    }

    /// The position.
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

/// How a connection speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wire {
    /// JSON envelopes in WebSocket messages (realtime contract).
    Plain,
    /// Socket.IO, on this mount.
    SocketIo(MountId),
}

impl Wire {
    /// Whether it is Socket.IO.
    pub const fn is_socket_io(self) -> bool {
        matches!(self, Self::SocketIo(_))
    }
}

/// One place where Socket.IO is served.
pub struct Mount {
    /// Time between an answered heartbeat and the next.
    pub ping_interval: Duration,
    /// Time to answer one.
    pub ping_timeout: Duration,
    /// Time from the first request to an accepted CONNECT.
    pub connect_deadline: Duration,
    /// Time that a change from polling to WebSocket may take.
    pub upgrade_deadline: Duration,
    /// Largest message taken, attachments included, and largest body of a `POST`; bytes.
    pub message_bytes: usize,
    /// Largest payload that clients are told to send, bytes.
    pub advertised_bytes: u64,
    /// Who may connect.
    pub gate: Box<dyn ConnectGate>,
}

impl std::fmt::Debug for Mount {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Mount").finish_non_exhaustive()
    }
}

/// All mounts of a server.
#[derive(Debug, Default)]
pub struct Mounts(Vec<Mount>);

impl Mounts {
    /// Adds a mount; `None` when there are [`MAX_MOUNTS`].
    pub fn add(&mut self, mount: Mount) -> Option<MountId> {
        let index = u8::try_from(self.0.len()).ok()?;
        if self.0.len() == MAX_MOUNTS {
            return None;
        }
        self.0.push(mount);
        Some(MountId(index))
    }

    /// A mount.
    pub fn get(&self, id: MountId) -> Option<&Mount> {
        self.0.get(id.index())
    }

    /// All of them, by position.
    pub fn iter(&self) -> impl Iterator<Item = &Mount> {
        self.0.iter()
    }
}

/// A connection that a gate lets in.
#[derive(Clone, Debug)]
pub struct Entrant {
    /// Whose it is.
    pub claim: Claim,
    /// Client type and ids.
    pub labels: Labels,
    /// The rooms that it is in from the first.
    pub rooms: Rooms,
    /// How it came to be trusted.
    pub auth_state: AuthState,
    /// Whether its app says that it is in the foreground.
    pub is_foreground: bool,
}

/// Why a CONNECT leads to nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ConnectRefusal {
    /// CONNECT_ERROR with this text. Clients do not try again by themselves: only for what another
    /// try would not change.
    Refused(String),
    /// Nobody can say now: the transport is closed, and clients come back.
    Unavailable,
}

/// Judges CONNECT packets. Shared by all workers.
pub trait ConnectGate: Send + Sync + 'static {
    /// Judges the JSON object `auth` of a CONNECT and the query of its handshake; calls `done` at
    /// once or later, on any thread. Must not block.
    fn connect(
        &self,
        auth: Option<&str>,
        query: &str,
        done: Box<dyn FnOnce(Result<Entrant, ConnectRefusal>) + Send>,
    );
}
