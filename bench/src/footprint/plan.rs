//! What is to be measured.

use std::path::PathBuf;
use std::time::Duration;

use super::Work;
use super::dialect::Speech;
use super::memory::MemoryPlan;
use crate::failure::Failure;
use crate::target::Target;
use crate::token::Token;
use crate::tokens::Tokens;

/// Fewest broadcasts of a round.
const FEWEST_BROADCASTS: u64 = 8;
/// Fewest broadcasts of a round, in units of those under way at the same time.
const FEWEST_WINDOWS: u64 = 4;
/// Most broadcasts of a round: with few connections the deliveries asked for would take too long.
const MOST_BROADCASTS: u64 = 2_000;

/// A kind of measurement.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Section {
    /// Resident memory of idle connections.
    Memory,
    /// Processor time and latency of deliveries.
    FanOut,
    /// Processor time and latency of pings.
    Echo,
    /// Processor time of handshakes and farewells.
    Connect,
    /// Processor time of connections that sleep.
    Idle,
    /// Latency of what wakes shards, one and thousands at once.
    Wake,
    /// Memory and processor time of a connection as their number grows.
    Growth,
}

/// How shards are made to sleep and left alone.
#[derive(Clone, Debug)]
pub(super) struct SleepPlan {
    pub(super) admin: Token,
    pub(super) timeout: Duration,
    pub(super) settle: Duration,
}

/// What is to be measured.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The server's address.
    pub target: Target,
    /// The server's process.
    pub pid: u32,
    /// The accounts; connections use them in turn. Only memory is measured with more than one.
    pub tokens: Tokens,
    /// Token for the admin overview, without which sleep cannot be seen.
    pub admin: Option<Token>,
    /// Idle connections whose memory is measured.
    pub connections: usize,
    /// How long shards may take to fall asleep.
    pub sleep_timeout: Duration,
    /// How long the server is left alone before its memory is read.
    pub settle: Duration,
    /// What to measure.
    pub sections: Vec<Section>,
    /// Rounds of each comparison.
    pub rounds: usize,
    /// Whether the floor is measured too.
    pub floor: bool,
    /// The program that has the `floor-server` subcommand.
    pub program: PathBuf,
    /// Connections of the fan-out measurements.
    pub fan_out: Vec<usize>,
    /// Broadcasts under way at the same time; each is measured with each number of connections.
    pub in_flight: Vec<usize>,
    /// Deliveries of one round of fan-out, about.
    pub deliveries: u64,
    /// Connections of the echo measurements.
    pub echo: Vec<usize>,
    /// Pings of one round of echo.
    pub pings: u64,
    /// Connections of one round of connecting.
    pub connects: usize,
    /// How long sleeping connections are left alone.
    pub idle: Duration,
    /// Connections of the shard that is woken.
    pub wake_connections: usize,
    /// Users who are woken at once.
    pub wake_users: usize,
    /// How long users who are awake are measured before the others are woken, and meanwhile.
    pub wake_window: Duration,
    /// Connections at each step of growth.
    pub growth: Vec<usize>,
    /// How connections of the server speak; those of the floor are plain.
    pub speech: Speech,
    /// Longest time for a single step: opening, a series of broadcasts, closing.
    pub step_timeout: Duration,
}

impl Plan {
    /// Whether a section is to be measured.
    pub(super) fn measures(&self, section: Section) -> bool {
        self.sections.contains(&section)
    }

    /// What sleeping sections need; `None` without an admin token.
    pub(super) fn sleep(&self) -> Option<SleepPlan> {
        Some(SleepPlan {
            admin: self.admin.clone()?,
            timeout: self.sleep_timeout,
            settle: self.settle,
        })
    }

    /// Whether anything is compared with the floor.
    pub(super) fn compares(&self) -> bool {
        !self.works().is_empty()
    }

    /// The most connections that are open at the same time.
    pub(super) fn most_connections(&self) -> usize {
        let memory = self.measures(Section::Memory).then_some(self.connections);
        let works = self.works().into_iter().map(|work| match work {
            Work::FanOut { connections, .. }
            | Work::Echo { connections, .. }
            | Work::Connect { connections } => connections,
        });
        let idle = self.measures(Section::Idle).then_some(self.connections);
        let wake = [self.wake_connections, self.wake_users];
        let wake = self.measures(Section::Wake).then_some(wake);
        let growth = self.growth.iter().copied().max();
        let growth = growth.filter(|_| self.measures(Section::Growth));
        let sleeping = idle
            .into_iter()
            .chain(wake.into_iter().flatten())
            .chain(growth);
        let all = memory.into_iter().chain(works).chain(sleeping);
        all.max().unwrap_or(0)
    }

    pub(super) fn memory(&self) -> MemoryPlan {
        MemoryPlan {
            connections: self.connections,
            admin: self.admin.clone(),
            sleep_timeout: self.sleep_timeout,
            settle: self.settle,
        }
    }

    /// What is compared, in this order.
    pub(super) fn works(&self) -> Vec<Work> {
        let mut works = Vec::new();
        if self.measures(Section::FanOut) {
            for &in_flight in &self.in_flight {
                works.extend(self.fan_out.iter().map(|&connections| {
                    let broadcasts = self.deliveries / connections.max(1) as u64;
                    let fewest = (FEWEST_WINDOWS * in_flight as u64).max(FEWEST_BROADCASTS);
                    let most = MOST_BROADCASTS.max(fewest);
                    Work::FanOut {
                        connections,
                        in_flight,
                        broadcasts: broadcasts.clamp(fewest, most),
                    }
                }));
            }
        }
        if self.measures(Section::Echo) {
            let pings = self.pings;
            works.extend(
                self.echo
                    .iter()
                    .map(|&connections| Work::Echo { connections, pings }),
            );
        }
        if self.measures(Section::Connect) {
            works.push(Work::Connect {
                connections: self.connects,
            });
        }
        works
    }

    /// Refuses numbers that make no sense.
    ///
    /// # Errors
    /// [`Failure::Usage`], naming the flag.
    pub fn check(&self) -> Result<(), Failure> {
        let all = [
            ("--connections", vec![self.connections]),
            ("--rounds", vec![self.rounds]),
            ("--fan-out", self.fan_out.clone()),
            ("--in-flight", self.in_flight.clone()),
            ("--echo", self.echo.clone()),
            ("--connects", vec![self.connects]),
            ("--wake-connections", vec![self.wake_connections]),
            ("--wake-users", vec![self.wake_users]),
            ("--growth", self.growth.clone()),
        ];
        let sleeping = [Section::Idle, Section::Wake, Section::Growth];
        let sleeping = sleeping.into_iter().any(|section| self.measures(section));
        match all.into_iter().find(|(_, numbers)| numbers.contains(&0)) {
            Some((flag, _)) => Err(Failure::Usage(format!("{flag} must be at least 1"))),
            None if self.step_timeout.is_zero() => Err(Failure::Usage(
                "--step-timeout must be longer than zero".to_owned(),
            )),
            None if self.idle.is_zero() || self.wake_window.is_zero() => Err(Failure::Usage(
                "--idle and --wake-window must be longer than zero".to_owned(),
            )),
            None if !self.growth.is_sorted_by(|less, more| less < more) => Err(Failure::Usage(
                "--growth must be numbers that rise, such as 1000,5000,15000".to_owned(),
            )),
            None if sleeping && self.admin.is_none() => Err(Failure::Usage(
                "idle, wake and growth need to see whether shards sleep; give the admin's token \
                 with --admin-token"
                    .to_owned(),
            )),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests;
