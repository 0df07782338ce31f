//! Fan-out: what one broadcast costs for each connection that it reaches.
//!
//! Owns the account of deliveries: every broadcast must reach every connection of its account
//! exactly once, told apart by the sequence number in the payload.

use std::time::Instant;

use super::dialect::{BROADCAST, Dialect, Heard};
use super::generator::{Ears, Generator, Reply};
use super::meter::{Cost, Meter};
use super::trouble::Trouble;
use crate::stats::Trend;

/// Broadcasts before the measured ones.
const WARM_UP: u64 = 3;
/// HTTP connections for one broadcast to each of many accounts.
const LANES: usize = 8;
const ENDPOINT: &str = "POST /v1/websocket/broadcast";

/// Sends `broadcasts`, keeping `in_flight` under way, and measures what they cost. All
/// connections are open; each account gets its broadcast in turn.
///
/// # Errors
/// [`Trouble`]: the broadcasts did not all arrive exactly once, or not in time.
pub(super) fn measure(
    generator: &mut Generator,
    broadcasts: u64,
    in_flight: usize,
) -> Result<Cost, Trouble> {
    generator.open_lanes(in_flight)?;
    deliver(generator, WARM_UP.min(broadcasts), in_flight, 0)?;
    let meter = Meter::start(generator)?;
    let delivered = deliver(generator, broadcasts, in_flight, WARM_UP)?;
    let (units, latency) = (delivered.count, delivered.latency);
    let cost = meter.stop(generator, units, Some(latency))?;
    generator.close_lanes();
    Ok(cost)
}

/// Sends one broadcast to each account that has a connection, and waits until all have arrived.
///
/// # Errors
/// As [`measure`].
pub(super) fn once_to_each_account(generator: &mut Generator) -> Result<(), Trouble> {
    let accounts = generator.accounts().min(generator.opened());
    let lanes = LANES.min(accounts);
    generator.open_lanes(lanes)?;
    deliver(generator, accounts as u64, lanes, 0)?;
    generator.close_lanes();
    Ok(())
}

/// Sends one broadcast to the first account, over an HTTP connection that is open already, and
/// returns how long each delivery took.
///
/// # Errors
/// As [`measure`].
pub(super) fn once(generator: &mut Generator) -> Result<Trend, Trouble> {
    generator.open_lanes(1)?;
    let delivered = deliver(generator, 1, 1, 0)?;
    generator.close_lanes();
    Ok(delivered.latency)
}

/// What came of a series of broadcasts.
struct Delivered {
    count: u64,
    latency: Trend,
}

/// Sends `broadcasts` with sequence numbers from `first` on.
fn deliver(
    generator: &mut Generator,
    broadcasts: u64,
    in_flight: usize,
    first: u64,
) -> Result<Delivered, Trouble> {
    let subject = std::rc::Rc::clone(generator.subject());
    let accounts = generator.accounts();
    let mut account = Account::new(generator.opened(), accounts, in_flight);
    let deadline = generator.deadline();
    let end = first + broadcasts;
    let mut next = first;
    while next < end || !account.flights.is_empty() {
        while next < end && account.flights.len() < in_flight {
            let turn = (next % accounts as u64) as usize;
            let Some(token) = subject.tokens.get(turn) else {
                break;
            };
            let request = subject.dialect.broadcast(token, next);
            let Some(lane) = account.start(next, turn) else {
                break;
            };
            generator.request(lane, &request)?;
            next += 1;
        }
        let wait = deadline.saturating_duration_since(Instant::now());
        if wait.is_zero() {
            return Err(generator.timed_out(account.missing()));
        }
        generator.turn(wait, &mut account)?;
        account.check(&subject.dialect)?;
    }
    Ok(Delivered {
        count: account.count,
        latency: account.latency,
    })
}

/// Broadcasts under way and the deliveries so far.
struct Account {
    connections: usize,
    accounts: usize,
    flights: Vec<Flight>,
    free_lanes: Vec<usize>,
    count: u64,
    latency: Trend,
    /// Deliveries again, to others, or of nothing that is under way.
    surplus: u64,
    /// Frames that are no broadcast.
    strange: u64,
    answers: Vec<(usize, u16, Vec<u8>)>,
}

/// A broadcast under way.
struct Flight {
    sequence: u64,
    turn: usize,
    lane: usize,
    sent: Instant,
    answered: bool,
    expected: usize,
    missing: usize,
    /// One bit for each connection.
    seen: Vec<u64>,
}

impl Account {
    fn new(connections: usize, accounts: usize, lanes: usize) -> Self {
        Self {
            connections,
            accounts,
            flights: Vec::with_capacity(lanes),
            free_lanes: (0..lanes).rev().collect(),
            count: 0,
            latency: Trend::new(),
            surplus: 0,
            strange: 0,
            answers: Vec::new(),
        }
    }

    /// A broadcast to the account of that turn is sent now, on the lane returned.
    fn start(&mut self, sequence: u64, turn: usize) -> Option<usize> {
        let lane = self.free_lanes.pop()?;
        // Connections use the accounts in turn.
        let expected = (self.connections + self.accounts - 1 - turn) / self.accounts;
        self.flights.push(Flight {
            sequence,
            turn,
            lane,
            sent: Instant::now(),
            answered: false,
            expected,
            missing: expected,
            seen: vec![0; self.connections.div_ceil(64)],
        });
        Some(lane)
    }

    fn delivery(&mut self, sequence: u64, connection: usize, now: Instant) {
        let accounts = self.accounts;
        let flight = self
            .flights
            .iter_mut()
            .find(|flight| flight.sequence == sequence);
        let Some(flight) = flight.filter(|flight| connection % accounts == flight.turn) else {
            self.surplus += 1;
            return;
        };
        let bit = 1 << (connection % 64);
        match flight.seen.get_mut(connection / 64) {
            Some(word) if *word & bit == 0 => *word |= bit,
            _ => {
                self.surplus += 1;
                return;
            }
        }
        flight.missing = flight.missing.saturating_sub(1);
        self.count += 1;
        self.latency
            .record(now.saturating_duration_since(flight.sent));
    }

    /// Judges what came in this turn of the loop, and ends the flights that are complete.
    fn check(&mut self, dialect: &Dialect) -> Result<(), Trouble> {
        for (lane, status, body) in self.answers.drain(..) {
            let flight = self
                .flights
                .iter_mut()
                .find(|f| f.lane == lane && !f.answered);
            let Some(flight) = flight else {
                return Err(Trouble::Account(format!(
                    "an answer to no request ({status})"
                )));
            };
            if status != 200 {
                return Err(Trouble::status(ENDPOINT, status, &body));
            }
            let claimed = dialect.delivered(&body);
            if claimed != Some(flight.expected as u64) {
                return Err(Trouble::Account(format!(
                    "{BROADCAST} claims {claimed:?} deliveries where {} are right",
                    flight.expected
                )));
            }
            flight.answered = true;
        }
        let free_lanes = &mut self.free_lanes;
        self.flights.retain(|flight| {
            let complete = flight.answered && flight.missing == 0;
            if complete {
                free_lanes.push(flight.lane);
            }
            !complete
        });
        if self.surplus + self.strange > 0 {
            return Err(Trouble::Account(format!(
                "{} deliveries came twice or to the wrong connection, and {} frames were no \
                 broadcast",
                self.surplus, self.strange
            )));
        }
        Ok(())
    }

    fn missing(&self) -> String {
        let deliveries: usize = self.flights.iter().map(|flight| flight.missing).sum();
        let answers = self
            .flights
            .iter()
            .filter(|flight| !flight.answered)
            .count();
        format!(
            "{deliveries} deliveries of {} broadcasts are missing, and {answers} answers",
            self.flights.len()
        )
    }
}

impl Ears for Account {
    fn heard(&mut self, connection: usize, text: &[u8], now: Instant) -> Reply {
        match Dialect::hear(text) {
            Heard::Broadcast(sequence) => self.delivery(sequence, connection, now),
            Heard::Greeting | Heard::Pong | Heard::Beat | Heard::Other => self.strange += 1,
        }
        Reply::Nothing
    }

    fn answered(&mut self, lane: usize, status: u16, body: &[u8], _: Instant) {
        self.answers.push((lane, status, body.to_vec()));
    }
}

#[cfg(test)]
mod tests;
