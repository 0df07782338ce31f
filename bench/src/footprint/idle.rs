//! Idle: what connections cost that do nothing but sleep and answer the server's protocol pings.

use std::rc::Rc;
use std::time::{Duration, Instant};

use serde::Serialize;

use super::connecting::IN_FLIGHT;
use super::dialect::Shards;
use super::echo;
use super::generator::{Ears, Generator, Reply};
use super::meter::{Cost, Meter};
use super::plan::SleepPlan;
use super::sleep::{all_asleep, shards};
use super::subject::Subject;
use super::trouble::Trouble;

/// What was measured.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct IdleFigures {
    /// Sleeping connections.
    pub connections: usize,
    /// Accounts that they belong to.
    pub accounts: usize,
    /// How long they were left alone.
    pub seconds: f64,
    /// Protocol pings of the server within that time, each answered.
    pub protocol_pings: u64,
    /// The server's use of one processor, in percent.
    pub cpu_percent: f64,
    /// The floor's with as many connections and the same pings; `None` if it was not measured.
    pub floor_cpu_percent: Option<f64>,
    /// Shards at the end: answering protocol pings wakes none.
    pub shards: Shards,
}

impl IdleFigures {
    /// One line of `key=value`.
    pub(super) fn line(&self) -> String {
        format!(
            "idle connections={} accounts={} seconds={:.0} protocol_pings={} cpu_percent={:.3} \
             floor_cpu_percent={:.3} asleep={} of={}",
            self.connections,
            self.accounts,
            self.seconds,
            self.protocol_pings,
            self.cpu_percent,
            self.floor_cpu_percent.unwrap_or(f64::NAN),
            self.shards.asleep,
            self.shards.total
        )
    }
}

/// Lets `connections` sleep for `window` and measures the server meanwhile.
///
/// # Errors
/// [`Trouble`]: they do not fall asleep, or a frame arrives that nobody has asked for.
pub(super) fn measure(
    subject: &Rc<Subject>,
    patience: Duration,
    plan: &SleepPlan,
    connections: usize,
    window: Duration,
) -> Result<IdleFigures, Trouble> {
    let mut generator = Generator::new(subject, patience)?;
    echo::open_and_ping(&mut generator, connections)?;
    all_asleep(&mut generator, &plan.admin, plan.timeout)?;
    generator.rest(plan.settle)?;
    let (cost, protocol_pings) = leave_alone(&mut generator, window)?;
    let shards = shards(&mut generator, &plan.admin)?;
    generator.close(IN_FLIGHT)?;
    Ok(IdleFigures {
        connections,
        accounts: subject.tokens.len().min(connections),
        seconds: cost.wall.as_secs_f64(),
        protocol_pings,
        cpu_percent: percent(&cost),
        floor_cpu_percent: None,
        shards,
    })
}

/// The processor's percentage that a floor with pings takes for as many connections.
///
/// # Errors
/// As [`measure`].
pub(super) fn measure_floor(
    floor: &Rc<Subject>,
    patience: Duration,
    plan: &SleepPlan,
    connections: usize,
    window: Duration,
) -> Result<f64, Trouble> {
    let mut generator = Generator::new(floor, patience)?;
    echo::open_and_ping(&mut generator, connections)?;
    generator.rest(plan.settle)?;
    let (cost, _) = leave_alone(&mut generator, window)?;
    generator.close(IN_FLIGHT)?;
    Ok(percent(&cost))
}

/// Does nothing but answer protocol pings; returns what that cost and how many there were.
fn leave_alone(generator: &mut Generator, window: Duration) -> Result<(Cost, u64), Trouble> {
    let mut sleepers = Sleepers::default();
    let meter = Meter::start(generator)?;
    generator.listen(window, &mut sleepers)?;
    let cost = meter.stop(generator, generator.opened() as u64, None)?;
    if sleepers.heard > 0 {
        return Err(Trouble::Account(format!(
            "{} messages came to connections that had asked for none",
            sleepers.heard
        )));
    }
    Ok((cost, sleepers.pinged))
}

fn percent(cost: &Cost) -> f64 {
    cost.cpu.as_secs_f64() / cost.wall.as_secs_f64() * 100.0
}

#[derive(Default)]
struct Sleepers {
    pinged: u64,
    heard: u64,
}

impl Ears for Sleepers {
    fn heard(&mut self, _: usize, _: &[u8], _: Instant) -> Reply {
        self.heard += 1;
        Reply::Nothing
    }

    fn answered(&mut self, _: usize, _: u16, _: &[u8], _: Instant) {}

    fn pinged(&mut self, _: usize) {
        self.pinged += 1;
    }
}
