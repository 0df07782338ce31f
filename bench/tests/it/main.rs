//! The program from outside: its scenarios against a server of the tests' own that keeps the
//! contract or breaks it on purpose, its exit codes and its files.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    missing_docs,
    reason = "a test that cannot go on says so by panicking"
)]

mod baseline;
mod capacity;
mod fake_events;
mod fake_server;
#[cfg(target_os = "linux")]
mod footprint;
mod load;
mod performance;
mod program;
mod pubsub;
mod script;
mod smoke;
