//! Whether shards sleep, as the admin overview tells it, and waiting until they do.

use std::rc::Rc;
use std::time::{Duration, Instant};

use super::dialect::{OVERVIEW, Shards};
use super::generator::{Ears, Generator, Reply};
use super::trouble::Trouble;
use crate::token::Token;

/// Between two looks at the shards.
const LOOK: Duration = Duration::from_millis(250);

/// Waits until all shards sleep, which the measurement needs.
///
/// # Errors
/// [`Trouble`]: they do not in time.
pub(super) fn all_asleep(
    generator: &mut Generator,
    admin: &Token,
    timeout: Duration,
) -> Result<Shards, Trouble> {
    match wait_for_sleep(generator, admin, timeout)? {
        (shards, Some(_)) => Ok(shards),
        (shards, None) => Err(Trouble::Account(format!(
            "only {} of {} shards fell asleep within {}; give them longer with --sleep-timeout",
            shards.asleep,
            shards.total,
            humantime::format_duration(timeout)
        ))),
    }
}

/// Waits until all shards sleep. Returns the shards as last seen and, if they slept, after how
/// long.
pub(super) fn wait_for_sleep(
    generator: &mut Generator,
    admin: &Token,
    timeout: Duration,
) -> Result<(Shards, Option<Duration>), Trouble> {
    let began = Instant::now();
    loop {
        let seen = shards(generator, admin)?;
        if seen.total > 0 && seen.asleep == seen.total {
            return Ok((seen, Some(began.elapsed())));
        }
        if began.elapsed() > timeout {
            return Ok((seen, None));
        }
        generator.rest(LOOK)?;
    }
}

/// Asks the admin overview how many shards there are and how many sleep.
pub(super) fn shards(generator: &mut Generator, admin: &Token) -> Result<Shards, Trouble> {
    let subject = Rc::clone(generator.subject());
    let mut answer = Answer::default();
    let deadline = generator.deadline();
    // Freshly connected each time: servers close those that lie idle.
    generator.close_lanes();
    generator.open_lanes(1)?;
    generator.request(0, &subject.dialect.overview(admin))?;
    while answer.0.is_none() {
        let wait = deadline.saturating_duration_since(Instant::now());
        if wait.is_zero() {
            return Err(generator.timed_out(format!("no answer to GET {OVERVIEW}")));
        }
        generator.turn(wait, &mut answer)?;
    }
    generator.close_lanes();
    let (status, body) = answer.0.unwrap_or_default();
    if status != 200 {
        return Err(Trouble::status("GET /admin/v1/overview", status, &body));
    }
    subject.dialect.shards(&body).ok_or_else(|| {
        Trouble::Account(format!(
            "GET {OVERVIEW} does not tell shards.total and shards.asleep"
        ))
    })
}

#[derive(Default)]
struct Answer(Option<(u16, Vec<u8>)>);

impl Ears for Answer {
    fn heard(&mut self, _: usize, _: &[u8], _: Instant) -> Reply {
        Reply::Nothing
    }

    fn answered(&mut self, _: usize, status: u16, body: &[u8], _: Instant) {
        self.0 = Some((status, body.to_vec()));
    }
}
