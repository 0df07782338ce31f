//! The footprint scenario (Linux): what connections and deliveries cost the server, beside the
//! least that they could cost.
//!
//! A [`Plan`] says what to measure; [`run`] does it and returns [`Findings`]. One thread and one
//! epoll (`generator`) play thousands of clients; `fan_out`, `echo`, `connecting`, `memory`, `idle`,
//! `wake` and `growth` are the measurements; `floor_server` is the least, in a child process, measured by the same
//! generator in rounds that alternate with the server's.

mod comparison;
mod connecting;
mod connection;
mod dialect;
mod echo;
mod fan_out;
mod findings;
mod floor;
pub mod floor_server;
pub(crate) mod frame;
mod generator;
mod growth;
pub(crate) mod http1;
mod idle;
mod lane;
mod memory;
mod meter;
mod plan;
mod sleep;
mod socket;
mod subject;
mod trouble;
mod wake;

use std::rc::Rc;

pub use comparison::{Comparison, Figures};
pub use dialect::Speech;
pub use findings::Findings;
pub use growth::GrowthStep;
pub use idle::IdleFigures;
pub use memory::MemoryFigures;
pub use plan::{Plan, Section};
pub use wake::{RushFigures, WakeFigures};

use connecting::IN_FLIGHT;
use floor::Floor;
use generator::Generator;
use meter::Cost;
use plan::SleepPlan;
use subject::Subject;
use trouble::Trouble;

use crate::failure::Failure;
use crate::{fd_limit, procfs};

/// Measures what the plan says. `progress` is given each line as it comes to be known.
///
/// # Errors
/// There is nothing to measure, a step took too long, or messages did not add up.
pub fn run(plan: &Plan, progress: &mut dyn FnMut(&str)) -> Result<Findings, Failure> {
    let tokens = plan.tokens.read()?;
    fd_limit::make_room(plan.most_connections())?;
    let server = Subject::new("server", &plan.target, plan.pid, tokens)?;
    let server = Rc::new(server.speaking(plan.speech));
    server.check_room(plan.most_connections())?;
    probe(&server, plan)?;
    let started_at = std::time::SystemTime::now();
    let mut findings = Findings::begin(plan, started_at);

    if plan.measures(Section::Memory) {
        let memory = memory::measure(&server, plan.step_timeout, &plan.memory())
            .map_err(|trouble| server.failure(trouble, "memory"))?;
        progress(&findings::memory_line(&memory));
        findings.memory = Some(memory);
    }
    if let Some(sleep) = plan.sleep() {
        sleeping(&server, plan, &sleep, &mut findings, progress)?;
    }
    let floor = match plan.floor {
        true if plan.compares() => Some(Floor::start(&plan.program, false)?),
        _ => None,
    };
    let mut subjects = vec![server];
    subjects.extend(floor.as_ref().map(|floor| Rc::clone(floor.subject())));
    for work in plan.works() {
        for comparison in work.compare(&subjects, plan)? {
            for figures in &comparison.subjects {
                progress(&figures.line(&comparison.name, comparison.unit));
            }
            findings.comparisons.push(comparison);
        }
    }
    findings.judge();
    Ok(findings)
}

/// The sections in which shards are put to sleep. Growth first: it needs a server whose memory no
/// other measurement has enlarged.
fn sleeping(
    server: &Rc<Subject>,
    plan: &Plan,
    sleep: &SleepPlan,
    findings: &mut Findings,
    progress: &mut dyn FnMut(&str),
) -> Result<(), Failure> {
    let patience = plan.step_timeout;
    if plan.measures(Section::Growth) {
        let steps = growth::measure(server, patience, sleep, &plan.growth, plan.pings, progress);
        findings.growth = steps.map_err(|trouble| server.failure(trouble, "growth"))?;
    }
    let floor = match plan.floor && (plan.measures(Section::Idle) || plan.measures(Section::Wake)) {
        true => Some(Floor::start(&plan.program, true)?),
        false => None,
    };
    let floor = floor.as_ref().map(Floor::subject);
    if plan.measures(Section::Idle) {
        let idle = idle::measure(server, patience, sleep, plan.connections, plan.idle);
        let mut idle = idle.map_err(|trouble| server.failure(trouble, "idle"))?;
        if let Some(floor) = floor {
            let least = idle::measure_floor(floor, patience, sleep, plan.connections, plan.idle);
            let least = least.map_err(|trouble| floor.failure(trouble, "idle"))?;
            idle.floor_cpu_percent = Some(least);
        }
        progress(&idle.line());
        findings.idle = Some(idle);
    }
    if plan.measures(Section::Wake) {
        let connections = plan.wake_connections;
        let figures = wake::measure(server, floor, patience, sleep, connections, plan.rounds);
        let figures = figures.map_err(|trouble| server.failure(trouble, "wake"))?;
        progress(&figures.line());
        findings.wake = Some(figures);
        match plan.wake_users.min(wake::sleepers(server.tokens.len())) {
            0 => progress("wake_users=not_measured (give many accounts with --tokens)"),
            users => {
                let rush = wake::rush(
                    server,
                    patience,
                    sleep,
                    users,
                    plan.wake_window,
                    plan.rounds,
                );
                let rush = rush.map_err(|trouble| server.failure(trouble, "wake of many users"))?;
                progress(&rush.line());
                findings.wake_users = Some(rush);
            }
        }
    }
    Ok(())
}

/// Opens one connection, and sees that the process is the one that listens there: the figures of
/// another would mean nothing.
fn probe(server: &Rc<Subject>, plan: &Plan) -> Result<(), Failure> {
    let seen = |trouble| server.failure(trouble, "the first connection");
    let mut generator = Generator::for_first_account(server, plan.step_timeout).map_err(seen)?;
    generator.open(1, 1).map_err(seen)?;
    generator.close(1).map_err(seen)?;
    // Another user's sockets cannot be seen; then the plan is trusted.
    match procfs::listens(server.pid, server.address.port()) {
        Ok(false) => Err(Failure::Usage(format!(
            "process {} does not listen at {}; give the server's process id with --pid",
            server.pid, server.url
        ))),
        Ok(true) | Err(_) => Ok(()),
    }
}

/// One kind of work, to be measured on every subject.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Work {
    FanOut {
        connections: usize,
        in_flight: usize,
        broadcasts: u64,
    },
    Echo {
        connections: usize,
        pings: u64,
    },
    Connect {
        connections: usize,
    },
}

impl Work {
    /// Measures the subjects in turn, round after round, each time beginning with the other one:
    /// what comes second finds another machine.
    fn compare(self, subjects: &[Rc<Subject>], plan: &Plan) -> Result<Vec<Comparison>, Failure> {
        // One list of rounds for each subject, in each a list of costs.
        let mut rounds: Vec<Vec<Vec<Cost>>> = vec![Vec::new(); subjects.len()];
        for round in 0..plan.rounds {
            let mut turns: Vec<_> = subjects.iter().zip(&mut rounds).collect();
            if round % 2 == 1 {
                turns.reverse();
            }
            for (subject, rounds) in turns {
                let costs = self.measure(subject, plan);
                rounds.push(costs.map_err(|trouble| subject.failure(trouble, &self.name()))?);
            }
        }
        let comparison = |part: usize, name: String, unit| Comparison {
            name,
            unit,
            subjects: subjects
                .iter()
                .zip(&rounds)
                .map(|(subject, rounds)| {
                    let costs = rounds.iter().filter_map(|costs| costs.get(part).cloned());
                    Figures::of(subject.name, &costs.collect::<Vec<_>>())
                })
                .collect(),
        };
        Ok(match self {
            Self::FanOut { .. } => vec![comparison(0, self.name(), "delivery")],
            Self::Echo { .. } => vec![comparison(0, self.name(), "round trip")],
            Self::Connect { .. } => vec![
                comparison(0, self.name(), "connection"),
                comparison(1, "disconnect".to_owned(), "connection"),
            ],
        })
    }

    /// The beginning of the names of its metrics.
    fn name(self) -> String {
        match self {
            Self::FanOut {
                connections,
                in_flight: 1,
                ..
            } => format!("fan_out_{connections}"),
            Self::FanOut {
                connections,
                in_flight,
                ..
            } => {
                format!("fan_out_{connections}_in_flight_{in_flight}")
            }
            Self::Echo { connections, .. } => format!("echo_{connections}"),
            Self::Connect { .. } => "connect".to_owned(),
        }
    }

    fn measure(self, subject: &Rc<Subject>, plan: &Plan) -> Result<Vec<Cost>, Trouble> {
        // All of them are the first account's.
        let mut generator = Generator::for_first_account(subject, plan.step_timeout)?;
        let costs = match self {
            Self::FanOut {
                connections,
                in_flight,
                broadcasts,
            } => {
                generator.open(connections, IN_FLIGHT)?;
                vec![fan_out::measure(&mut generator, broadcasts, in_flight)?]
            }
            Self::Echo { connections, pings } => {
                generator.open(connections, IN_FLIGHT)?;
                vec![echo::measure(&mut generator, pings)?]
            }
            Self::Connect { connections } => {
                return Ok(connecting::measure(&mut generator, connections)?.into());
            }
        };
        generator.close(IN_FLIGHT)?;
        Ok(costs)
    }
}
