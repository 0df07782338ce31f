//! The sync API: sessions, messages, machines, artifacts and what belongs to them, kept in step
//! between all of a user's devices.
//!
//! Owns the rules of the entities (contract data-model.md) and the one layer of handlers behind
//! every transport: socket events (contract realtime.md, sections 5.2 to 5.12) come in through
//! [`application`], HTTP calls the same operations. A handler gets a transaction and who asks, and
//! leads to an acknowledgement and frames; those leave after the commit, in the order of the
//! account's sequence, by the database's publisher. Nothing here knows how a frame travels.
//!
//! What clients encrypt (metadata, states, messages, artifacts, keys) is stored and returned as it
//! came, never parsed and never logged.

pub mod access_keys;
pub mod acks;
pub mod application;
pub mod artifacts;
pub mod binary;
pub mod bodies;
pub mod catch_up;
pub mod change;
pub mod delta;
pub mod error;
pub mod events;
pub mod feed;
pub mod heartbeats;
pub mod hub_publisher;
pub mod idle;
pub mod kv;
pub mod limits;
pub mod machines;
pub mod maintenance;
pub mod messages;
pub mod profile;
pub mod push_tokens;
pub mod relays;
pub mod service_tokens;
pub mod session_files;
pub mod sessions;
pub mod tombstones;
pub mod usage;
pub mod versioned;

#[cfg(test)]
mod tests;

pub use application::SyncApplication;
pub use change::Change;
pub use error::SyncError;
pub use hub_publisher::HubPublisher;
