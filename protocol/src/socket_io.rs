//! Packets of Engine.IO v4 and Socket.IO v5 (Socket.IO contract, sections 2 and 3).
//!
//! Owns the translation between Socket.IO packets and the messages of the plain transport, so that
//! a hub's rules know one form only: what a client sends becomes an envelope, what the server
//! sends is turned into packets once for all Socket.IO recipients. The packets themselves are read
//! and written by the crates of `socketioxide`. No I/O, no clock, no WebSocket frames.

mod binary;
mod call_id;
mod inbound;
mod outbound;

pub use binary::BINARY_KEY;
pub use call_id::{call_id, call_number};
pub use inbound::{Pending, Received, SocketIoFault, binary, text};
pub use outbound::{
    Opening, Packets, acknowledgement, connect_error, connected, disconnected, from_message, open,
};

/// The namespace that every connection is a member of.
pub const ROOT: &str = "/";

/// Most attachments of one packet; more close the transport.
pub const MAX_ATTACHMENTS: usize = 10;

/// Names that are never events: clients treat them as a protocol error.
pub const RESERVED: [&str; 4] = ["connect", "connect_error", "disconnect", "disconnecting"];

#[cfg(test)]
mod tests;
