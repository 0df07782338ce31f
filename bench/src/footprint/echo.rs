//! Echo: what an application ping and its pong cost.
//!
//! Every connection has one ping under way; its pong brings the next.

use std::time::Instant;

use super::connecting::IN_FLIGHT;
use super::dialect::{Dialect, Heard};
use super::generator::{Ears, Generator, Reply};
use super::meter::{Cost, Meter};
use super::trouble::Trouble;
use crate::stats::Trend;

/// Sends at least `pings` over all open connections and measures what they cost.
///
/// # Errors
/// [`Trouble`]: pongs are missing or too many.
pub(super) fn measure(generator: &mut Generator, pings: u64) -> Result<Cost, Trouble> {
    let connections = generator.opened() as u64;
    exchange(generator, connections)?;
    let meter = Meter::start(generator)?;
    let (count, latency) = exchange(generator, pings.max(connections))?;
    meter.stop(generator, count, Some(latency))
}

/// Opens `count` more connections, and exchanges one ping and one pong on every one that is open.
///
/// # Errors
/// As [`measure`], and of the first connection that fails.
pub(super) fn open_and_ping(generator: &mut Generator, count: usize) -> Result<(), Trouble> {
    generator.open(count, IN_FLIGHT)?;
    exchange(generator, generator.opened() as u64).map(drop)
}

fn exchange(generator: &mut Generator, pings: u64) -> Result<(u64, Trend), Trouble> {
    let deadline = generator.deadline();
    let connections = generator.opened();
    let mut rallies = Rallies::new(connections, pings);
    for connection in 0..connections {
        rallies.begin(connection, Instant::now());
        generator.ping(connection)?;
    }
    while rallies.answered < pings {
        let wait = deadline.saturating_duration_since(Instant::now());
        if wait.is_zero() {
            let missing = pings - rallies.answered;
            return Err(generator.timed_out(format!("{missing} of {pings} pongs are missing")));
        }
        generator.turn(wait, &mut rallies)?;
        rallies.check()?;
    }
    Ok((rallies.answered, rallies.latency))
}

/// Pings under way, one on each connection at most.
struct Rallies {
    /// Since when each connection waits for its pong.
    sent: Vec<Option<Instant>>,
    /// Pings that are still to be sent.
    left: u64,
    answered: u64,
    latency: Trend,
    strange: u64,
}

impl Rallies {
    fn new(connections: usize, pings: u64) -> Self {
        let (sent, latency) = (vec![None; connections], Trend::new());
        Self {
            sent,
            left: pings,
            answered: 0,
            latency,
            strange: 0,
        }
    }

    fn begin(&mut self, connection: usize, now: Instant) {
        if let Some(sent) = self.sent.get_mut(connection) {
            *sent = Some(now);
            self.left = self.left.saturating_sub(1);
        }
    }

    fn check(&self) -> Result<(), Trouble> {
        match self.strange {
            0 => Ok(()),
            count => Err(Trouble::Account(format!("{count} frames answer no ping"))),
        }
    }
}

impl Ears for Rallies {
    fn heard(&mut self, connection: usize, text: &[u8], now: Instant) -> Reply {
        let sent = self.sent.get_mut(connection).and_then(Option::take);
        let (Heard::Pong, Some(sent)) = (Dialect::hear(text), sent) else {
            self.strange += 1;
            return Reply::Nothing;
        };
        self.answered += 1;
        self.latency.record(now.saturating_duration_since(sent));
        if self.left == 0 {
            return Reply::Nothing;
        }
        self.begin(connection, now);
        Reply::Ping
    }

    fn answered(&mut self, _: usize, _: u16, _: &[u8], _: Instant) {
        self.strange += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PONG: &[u8] = br#"{"event":"pong","data":{"timestamp":1}}"#;

    #[test]
    fn each_pong_brings_the_next_ping_until_all_are_sent() {
        let now = Instant::now();
        let mut rallies = Rallies::new(2, 3);
        rallies.begin(0, now);
        rallies.begin(1, now);
        assert_eq!(rallies.heard(0, PONG, now), Reply::Ping);
        assert_eq!(rallies.heard(1, PONG, now), Reply::Nothing);
        assert_eq!(rallies.heard(0, PONG, now), Reply::Nothing);
        assert_eq!((rallies.answered, rallies.latency.count()), (3, 3));
        assert!(rallies.check().is_ok());
    }

    #[test]
    fn a_pong_without_a_ping_and_another_frame_end_the_measurement() {
        let now = Instant::now();
        let mut rallies = Rallies::new(2, 1);
        rallies.begin(0, now);
        rallies.heard(1, PONG, now);
        assert!(rallies.check().is_err());
        let mut rallies = Rallies::new(1, 1);
        rallies.begin(0, now);
        rallies.heard(0, br#"{"event":"error"}"#, now);
        assert!(rallies.check().is_err());
    }
}
