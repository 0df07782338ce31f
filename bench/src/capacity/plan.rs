//! The steps of a capacity run, its promise, and the search for the knee.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Deserialize;

use super::sized;
use crate::failure::Failure;
use crate::mode::{Mode, Overrides};
use crate::threshold::Threshold;
use crate::websocket::Metrics;

const PLAN: &str = include_str!("../../modes/capacity.toml");
const STEP: &str = include_str!("../../modes/capacity-step.toml");

/// What is raised.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Raise {
    /// Connections, each with its pings and broadcasts.
    Connections,
    /// Pings a second on a fixed number of connections.
    Messages,
}

impl Raise {
    /// What a level counts.
    pub(super) fn unit(self) -> &'static str {
        match self {
            Self::Connections => "connections",
            Self::Messages => "messages/s",
        }
    }

    /// Its name on the command line.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Connections => "connections",
            Self::Messages => "messages",
        }
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct File {
    connections: Vec<usize>,
    messages: Vec<usize>,
    message_connections: usize,
    refinements: usize,
    degradation: f64,
    margin: f64,
    tiers: BTreeMap<String, Tier>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Tier {
    connections: usize,
    all: Vec<String>,
}

/// What is to be raised, how far, and against which promise.
#[derive(Clone, Debug)]
pub struct Plan {
    /// What is raised.
    pub raise: Raise,
    /// The steps in ascending order.
    pub levels: Vec<usize>,
    /// Name of the tier.
    pub tier: String,
    pub(super) limit: usize,
    pub(super) promise: Vec<Threshold>,
    pub(super) refinements: usize,
    pub(super) degradation: f64,
    pub(super) margin: f64,
    pub(super) message_connections: usize,
    mode: Mode,
}

impl Plan {
    /// The plan for a tier's promise, with the caller's own steps and promise if there are any.
    ///
    /// # Errors
    /// [`Failure::Usage`]: unknown tier, or numbers that make no sense.
    pub fn new(
        raise: Raise,
        tier: &str,
        levels: Option<Vec<usize>>,
        own_promise: &[String],
        over: Overrides,
    ) -> Result<Self, Failure> {
        let usage = |text: String| Failure::Usage(text);
        let file: File = toml::from_str(PLAN).map_err(|err| usage(err.to_string()))?;
        let names = || file.tiers.keys().cloned().collect::<Vec<_>>().join(", ");
        let promise = file
            .tiers
            .get(tier)
            .ok_or_else(|| usage(format!("unknown tier \"{tier}\"; use {}", names())))?;
        let own = levels.is_some();
        let mut levels = levels.unwrap_or(match raise {
            Raise::Connections => file.connections,
            Raise::Messages => file.messages,
        });
        levels.sort_unstable();
        levels.dedup();
        if levels.first().is_none_or(|first| *first == 0) {
            return Err(usage("--levels must be at least 1".to_owned()));
        }
        let metrics = Metrics::default().snapshot();
        let mode = Mode::parse("capacity-step", STEP, over, &metrics)
            .map_err(|err| usage(err.to_string()))?;
        let read = |text: &String| {
            let threshold = Threshold::parse(text).and_then(|threshold| {
                threshold.check_metric(&metrics)?;
                Ok(threshold)
            });
            threshold.map_err(|err| usage(format!("--promise \"{text}\": {err}")))
        };
        let all = if own_promise.is_empty() {
            &promise.all
        } else {
            own_promise
        };
        Ok(Self {
            raise,
            tier: tier.to_owned(),
            limit: promise.connections,
            promise: all.iter().map(read).collect::<Result<_, _>>()?,
            // Someone's own steps are all that they want.
            refinements: if own { 0 } else { file.refinements },
            degradation: file.degradation,
            margin: file.margin,
            message_connections: over.connections.unwrap_or(file.message_connections),
            mode,
            levels,
        })
    }

    /// The same up to `most` and no further: the steps as they are, and after the last of them
    /// each twice the one before.
    ///
    /// # Errors
    /// [`Failure::Usage`]: a number that makes no sense.
    pub fn up_to(mut self, most: usize) -> Result<Self, Failure> {
        if most == 0 {
            return Err(Failure::Usage("--up-to must be at least 1".to_owned()));
        }
        let mut next = self.levels.last().copied().unwrap_or(1);
        self.levels.retain(|level| *level < most);
        while next < most {
            next = next.saturating_mul(2);
            self.levels.push(next.min(most));
        }
        if self.levels.last() != Some(&most) {
            self.levels.push(most);
        }
        Ok(self)
    }

    /// The same with another time for which a pong, a delivery or a greeting is waited for.
    pub fn with_patience(mut self, patience: Duration) -> Self {
        self.mode.traffic.delivery_timeout = patience;
        self
    }

    /// The most connections of any step.
    pub fn most_connections(&self) -> usize {
        match self.raise {
            Raise::Connections => self.levels.last().copied().unwrap_or(0),
            Raise::Messages => self.message_connections,
        }
    }

    /// The run of one step.
    pub(super) fn step(&self, level: usize) -> Mode {
        sized(&self.mode, self.raise, level, self.message_connections)
    }
}

/// Climbs until a step breaks, then halves the gap.
#[derive(Clone, Debug)]
pub(super) struct Search {
    climb: std::collections::VecDeque<usize>,
    refinements: usize,
    held: Option<usize>,
    broke: Option<usize>,
}

impl Search {
    pub(super) fn new(levels: &[usize], refinements: usize) -> Self {
        Self {
            climb: levels.iter().copied().collect(),
            refinements,
            held: None,
            broke: None,
        }
    }

    /// The next level to try; `None` once the knee is known as well as asked for.
    pub(super) fn next(&mut self) -> Option<usize> {
        let Some(broke) = self.broke else {
            return self.climb.pop_front();
        };
        let middle = usize::midpoint(self.held.unwrap_or(0), broke);
        if self.refinements == 0 || middle == self.held.unwrap_or(0) || middle == broke {
            return None;
        }
        self.refinements -= 1;
        Some(middle)
    }

    /// Takes what a level came to.
    pub(super) fn answer(&mut self, level: usize, held: bool) {
        match held {
            true => self.held = Some(self.held.map_or(level, |best| best.max(level))),
            false => self.broke = Some(self.broke.map_or(level, |least| least.min(level))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn plan(raise: Raise) -> Plan {
        Plan::new(raise, "enterprise", None, &[], Overrides::default()).unwrap()
    }

    #[test]
    fn the_plan_that_comes_with_the_program_can_be_run() {
        let connections = plan(Raise::Connections);
        assert_eq!((connections.limit, connections.promise.len()), (500, 2));
        assert_eq!(connections.most_connections(), 2000);
        assert_eq!(connections.step(750).stages.peak(), 750);
        let messages = plan(Raise::Messages);
        let step = messages.step(1000);
        assert_eq!(
            (step.stages.peak(), messages.most_connections()),
            (100, 100)
        );
        assert_eq!(step.traffic.ping_interval, Duration::from_millis(100));
        for tier in ["free", "pro"] {
            assert!(Plan::new(Raise::Connections, tier, None, &[], Overrides::default()).is_ok());
        }
    }

    #[test]
    fn the_steps_go_up_to_what_is_asked_for() {
        let up_to = |most| plan(Raise::Connections).up_to(most).unwrap().levels;
        assert_eq!(up_to(15_000)[8..], [1400, 2000, 4000, 8000, 15_000]);
        assert_eq!(up_to(100), [20, 50, 100]);
        assert_eq!(up_to(120), [20, 50, 100, 120]);
        assert_eq!(up_to(2000).last(), Some(&2000));
        assert_eq!(up_to(2001)[9..], [2000, 2001]);
        assert!(plan(Raise::Messages).up_to(0).is_err());
    }

    #[test]
    fn nonsense_is_refused() {
        let refuse = |tier, levels| {
            let plan = Plan::new(Raise::Connections, tier, levels, &[], Overrides::default());
            plan.unwrap_err().to_string()
        };
        assert!(refuse("gold", None).contains("use enterprise, free, pro"));
        assert!(refuse("free", Some(vec![])).contains("--levels"));
        assert!(refuse("free", Some(vec![0, 5])).contains("--levels"));
    }

    /// Levels tried against a server that holds up to `knee`.
    fn tried(levels: &[usize], refinements: usize, knee: usize) -> Vec<usize> {
        let mut search = Search::new(levels, refinements);
        let mut tried = Vec::new();
        while let Some(level) = search.next() {
            tried.push(level);
            search.answer(level, level <= knee);
        }
        tried
    }

    #[test]
    fn the_search_climbs_and_then_halves() {
        assert_eq!(tried(&[10, 20, 40], 2, 100), [10, 20, 40]);
        assert_eq!(tried(&[10, 20, 40, 80], 2, 25), [10, 20, 40, 30, 25]);
        assert_eq!(tried(&[10, 20], 3, 0), [10, 5, 2, 1]);
        assert_eq!(tried(&[10, 11], 3, 10), [10, 11]);
        assert_eq!(tried(&[10, 20], 0, 10), [10, 20]);
    }

    proptest! {
        #[test]
        fn the_search_ends_and_never_tries_a_level_twice(
            knee in 0_usize..5000, refinements in 0_usize..9
        ) {
            let tried = tried(&[20, 50, 100, 500, 2000], refinements, knee);
            let mut sorted = tried.clone();
            sorted.sort_unstable();
            sorted.dedup();
            prop_assert_eq!(sorted.len(), tried.len());
            prop_assert!(tried.len() <= 5 + refinements);
        }
    }
}
