//! The capacity scenario: raises the load of an account step by step until a tier's promise
//! breaks, and halves the gap between the last step that held and the first that did not.
//!
//! Each step is a run of the WebSocket scenario with connections of its own. `plan` reads the
//! steps and promises, `findings` says what they mean.

mod findings;
mod plan;

use std::time::{Instant, SystemTime};

pub use plan::{Plan, Raise};

use crate::conditions::Conditions;
use crate::failure::Failure;
use crate::mode::Mode;
use crate::outcome::Outcome;
use crate::stop::Stop;
use crate::target::Target;
use crate::token::Token;
use crate::watch::{Live, ServerWatch};
use crate::websocket;
use crate::workers::Crew;

/// Who plays the steps.
#[derive(Clone, Debug)]
pub enum Players {
    /// This process, on one account.
    One(Token),
    /// Several processes with an account each, among which a step's connections are shared.
    Crew(Crew),
}

impl Players {
    async fn play(
        &self,
        mode: &Mode,
        target: &Target,
        stop: &Stop,
        server: &ServerWatch,
        live: Live,
    ) -> Result<websocket::Raw, Failure> {
        let (target, stop) = (target.clone(), stop.clone());
        match self {
            Self::One(token) => {
                websocket::play(mode, target, token.clone(), stop, server.clone(), live).await
            }
            Self::Crew(crew) => crew.play(mode, target.shown(), stop).await,
        }
    }
}

/// One step and what came of it.
#[derive(Clone, Debug)]
struct Step {
    /// Connections, or messages a second.
    level: usize,
    outcome: websocket::Outcome,
    /// The parts of the promise that broke.
    broken: Vec<String>,
}

impl Step {
    fn held(&self) -> bool {
        self.broken.is_empty()
    }
}

/// Raises the load until the promise breaks or the steps are over. `progress` is given a line for
/// each step.
///
/// # Errors
/// The first step has no result.
pub async fn run(
    plan: &Plan,
    target: &Target,
    players: &Players,
    server: &ServerWatch,
    stop: &Stop,
    progress: &mut dyn FnMut(&str),
) -> Result<Outcome, Failure> {
    let started_at = SystemTime::now();
    let began = Instant::now();
    let mut steps: Vec<Step> = Vec::new();
    let mut notes = Vec::new();
    let mut search = plan::Search::new(&plan.levels, plan.refinements);
    let mut conditions: Option<Conditions> = None;
    while let Some(level) = search.next() {
        if stop.is_requested() {
            break;
        }
        let mode = plan.step(level);
        let live = match players {
            Players::One(_) => Live::start(
                &format!("{level} {}", plan.raise.unit()),
                mode.stages.duration(),
            ),
            // The first of them shows how far it is.
            Players::Crew(_) => Live::silent(),
        };
        let raw = players.play(&mode, target, stop, server, live).await;
        let outcome = match raw {
            Ok(raw) => websocket::Outcome::of(&mode, target.shown(), raw),
            // Without any step there is nothing to tell.
            Err(failure) if steps.is_empty() => return Err(failure),
            Err(failure) => {
                notes.push(format!("at {level} {}: {failure}", plan.raise.unit()));
                search.answer(level, false);
                continue;
            }
        };
        let step = judge(plan, level, outcome);
        if stop.is_requested() {
            // An unfinished step proves nothing.
            break;
        }
        progress(&findings::line(plan, &step));
        search.answer(level, step.held());
        notes.extend(step.outcome.notes.iter().cloned());
        match &mut conditions {
            Some(all) => all.then(&step.outcome.conditions),
            None => conditions = Some(step.outcome.conditions.clone()),
        }
        steps.push(step);
    }
    let interrupted = stop.is_requested();
    let conditions = conditions
        .ok_or_else(|| Failure::Incomplete("stopped before the first step was over".to_owned()))?;
    steps.sort_by_key(|step| step.level);
    notes.dedup();
    let took = began.elapsed().as_secs_f64();
    let started_at = humantime::format_rfc3339_millis(started_at).to_string();
    Ok(findings::outcome(
        plan,
        target,
        &steps,
        conditions,
        notes,
        started_at,
        took,
        interrupted,
    ))
}

fn judge(plan: &Plan, level: usize, outcome: websocket::Outcome) -> Step {
    let mut broken: Vec<String> = plan
        .promise
        .iter()
        .map(|threshold| threshold.judge(&outcome.metrics))
        .filter(|judgement| !judgement.passed)
        .map(|judgement| format!("{}: {}", judgement.threshold, judgement.shown))
        .collect();
    if !outcome.reconciliation.holds() {
        broken.push("messages do not add up".to_owned());
    }
    Step {
        level,
        outcome,
        broken,
    }
}

/// A mode for one step, of which only size and traffic differ.
fn sized(mode: &Mode, raise: Raise, level: usize, connections: usize) -> Mode {
    let mut mode = mode.clone();
    match raise {
        Raise::Connections => mode.stages = mode.stages.with_peak(level),
        Raise::Messages => {
            mode.stages = mode.stages.with_peak(connections);
            let each = connections as f64 / level.max(1) as f64;
            mode.traffic.ping_interval = std::time::Duration::from_secs_f64(each);
        }
    }
    mode
}
