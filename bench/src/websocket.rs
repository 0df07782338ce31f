//! The WebSocket scenario: many connections of one account, pings, filtered broadcasts,
//! statistics and reconnections, all accounted for.
//!
//! A [`crate::mode::Mode`] says how many, how long and with which limits; [`run`] does it and
//! returns an [`Outcome`]. The parts: `conductor` owns the timeline, `run` what all tasks share,
//! `client` one connection, `observers` the HTTP side, `ledger` and `round_trips` the accounts,
//! `outcome` what came of it.

mod api;
mod audience;
mod client;
mod conductor;
mod ledger;
mod metrics;
mod observers;
mod outcome;
mod roster;
mod round_trips;
mod run;
mod stop;

pub use conductor::run;
pub use ledger::Row;
pub use metrics::Metrics;
pub use outcome::{Outcome, Reconciliation};
pub use stop::Stop;
