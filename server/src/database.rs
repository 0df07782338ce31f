//! Stored entities: one relational database, SQLite in the data folder or PostgreSQL by URL.
//!
//! Owns the connections, the migrations, the grouping of writes into durable transactions and the
//! judgement of what a failure of the database means to a caller. It knows no entity: those are
//! queries of the modules that use it, written once for both dialects (`$1` placeholders, `BIGINT`,
//! `TEXT` and bytes only).
//!
//! A thread of its own, `database`, runs everything: other threads hand it closures and await their
//! results. So a write never blocks a worker, and connections stay with the runtime that opened
//! them. What is written is acknowledged and published after its commit only, in commit order
//! (contract data-model.md sections 2 and 5).

pub mod connection;
pub mod counters;
pub mod dump;
pub mod error;
pub mod health;
pub mod ids;
pub mod location;
pub mod migrations;
pub mod publisher;
pub mod readers;
pub mod thread;
pub mod writer;

#[cfg(test)]
pub mod testing;
#[cfg(test)]
mod tests;

pub use error::{DatabaseError, OpenError};
pub use ids::new_id;
pub use location::{Dialect, Location};
pub use publisher::Publisher;
pub use thread::{Database, Options};
pub use writer::{BATCH_TIME, Tx, WriteError};

/// A connection that reads: what [`Database::read`] lends.
pub type Reader = sqlx::AnyConnection;
