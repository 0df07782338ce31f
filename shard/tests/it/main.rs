//! Workers as the server uses them: real sockets, real actors, a store, and a clock that stands
//! still until a test moves it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

mod admission;
mod arbiters;
mod closing;
mod echo;
mod hub;
mod lobby;
mod model;
mod publications;
mod races;
mod reading;
mod revocation;
mod sleeping;
mod slow_reader;
mod stopping;
mod store_faults;
mod subscriber_replay;
mod subscribers;
mod timers;
mod waking;
mod welcome;
