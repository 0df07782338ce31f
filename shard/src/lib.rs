//! The heart of Dormouse: shards, their connections, and how both sleep.
//!
//! A *worker* is one thread with one actix arbiter; a *shard* is one [`ConnectionManager`] actor
//! of a user, and lives with its sockets on exactly one worker. After its handshake a socket is
//! handed to that worker as a descriptor, so that between a broadcast and `write(2)` there is no
//! lock, no other thread and no copy. A shard without events writes its attachments to the store
//! and leaves memory; its sockets stay open at the price of their table slots.
//!
//! This crate knows no HTTP and no tokens: handshakes are answered with bytes it is given, and
//! first messages are verified by a [`arrival::Gate`].
//!
//! Start with [`workers::Workers`]; `worker` has the loop, `sockets` the bytes, `manager` the
//! rules.

pub mod application;
pub mod arrival;
pub mod bus;
pub mod command;
pub mod counters;
pub mod event;
pub mod event_log;
pub mod frame;
pub mod hub;
pub mod intake;
pub mod lobby;
pub mod manager;
pub mod message;
pub mod mount;
pub mod name;
pub mod outbox;
pub mod overrides;
pub mod placement;
pub mod poller;
pub mod polling;
pub mod publication;
pub mod record;
pub mod report;
pub mod settings;
pub mod shards;
pub mod sockets;
pub mod store;
pub mod subscriber;
pub mod subscribers;
pub mod subscriptions;
pub mod table;
pub mod tier;
pub mod turn;
pub mod wake_queue;
mod worker;
pub mod workers;

pub use manager::ConnectionManager;
pub use workers::{Seat, Setup, Workers};
