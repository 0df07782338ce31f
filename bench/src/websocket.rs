//! The WebSocket scenario: many connections of one account, pings, filtered broadcasts,
//! statistics and reconnections, all accounted for.
//!
//! A [`crate::mode::Mode`] says how many, how long and with which limits; [`run`] does it and
//! returns an [`Outcome`]; [`play`] leaves the judgement to the caller, who may first add up what
//! several generator processes collected. The parts: `conductor` owns the timeline, `run` what all
//! tasks share, `client` one connection, `observers` the HTTP side, `ledger` and `round_trips` the
//! accounts, `raw` what was collected, `outcome` what came of it.

mod api;
mod audience;
mod client;
mod conductor;
mod ledger;
mod metrics;
mod observers;
mod outcome;
mod raw;
mod roster;
mod round_trips;
mod run;

pub use conductor::play;
pub use ledger::Row;
pub use metrics::Metrics;
pub use outcome::{Outcome, Reconciliation};
pub use raw::Raw;

use crate::failure::Failure;
use crate::mode::Mode;
use crate::stop::Stop;
use crate::target::Target;
use crate::token::Token;
use crate::watch::{Live, ServerWatch};

/// Runs a mode against a server, unwatched and in silence, and judges it.
///
/// # Errors
/// There is nothing to measure: the server cannot be reached, refuses the token, lacks an
/// endpoint, or the account is in use.
pub async fn run(
    mode: &Mode,
    target: Target,
    token: Token,
    stop: Stop,
) -> Result<Outcome, Failure> {
    let url = target.shown().to_owned();
    let raw = play(
        mode,
        target,
        token,
        stop,
        ServerWatch::none(),
        Live::silent(),
    )
    .await?;
    Ok(Outcome::of(mode, &url, raw))
}
