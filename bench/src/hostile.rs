//! Hostile clients: attacks on a server of the bench's own, one file each.
//!
//! Each attack gets a fresh server, so that its counters are the attack's alone. Meanwhile
//! well-behaved clients measure what they feel of it. For each it is judged: what the server counts
//! is exactly what was done to it, its memory grows by no more than the attack's bound, all
//! descriptors are given back, nobody else loses a message, and others' p99 stays under twice its
//! quiet value or 50 ms. Attackers run at a lower priority than server and witnesses, as on a
//! machine of their own they would not take those two's processors either.

mod arena;
mod at_the_cap;
mod broken_frames;
mod half_handshakes;
mod half_open;
mod handshake_flood;
mod ping_flood;
mod slow_readers;
mod slow_senders;
mod storm;
mod wake_all;

use std::path::PathBuf;
use std::time::{Instant, SystemTime};

use futures_util::future::LocalBoxFuture;

pub use arena::Arena;

use crate::conditions::Conditions;
use crate::failure::Failure;
use crate::fd_limit;
use crate::outcome::{Extra, Outcome};
use crate::trial::Checks;
use crate::watch::{Live, Observation, ServerWatch, Watch, sample_interval};

/// How large an attack is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Size {
    /// As the documentation has it.
    Full,
    /// For every check-in: all of it in about a minute.
    Short,
}

impl Size {
    /// The number for this size.
    pub fn of<T>(self, full: T, short: T) -> T {
        match self {
            Self::Full => full,
            Self::Short => short,
        }
    }
}

/// One way to hurt a server.
pub struct Attack {
    /// Its name on the command line and in results.
    pub name: &'static str,
    /// What it does.
    pub about: &'static str,
    /// Settings of its server, as `key=value`.
    pub settings: &'static [&'static str],
    /// Most that the server's memory may grow by, MiB.
    pub memory_mib: f64,
    /// Most connections that it has open.
    pub connections: usize,
    /// Does it.
    pub run: for<'a> fn(&'a mut Arena) -> LocalBoxFuture<'a, Result<(), Failure>>,
}

/// All attacks, in the order of the report.
pub const ATTACKS: [&Attack; 11] = [
    &slow_readers::ATTACK,
    &slow_senders::ATTACK,
    &half_open::ATTACK,
    &handshake_flood::ATTACK,
    &handshake_flood::FORGED,
    &half_handshakes::ATTACK,
    &storm::ATTACK,
    &broken_frames::ATTACK,
    &ping_flood::ATTACK,
    &at_the_cap::ATTACK,
    &wake_all::ATTACK,
];

/// What is to be run.
#[derive(Debug)]
pub struct HostilePlan {
    /// The server's program.
    pub server: PathBuf,
    /// Names of attacks; none: all.
    pub attacks: Vec<String>,
    /// How large.
    pub size: Size,
}

impl HostilePlan {
    /// The attacks that are named.
    ///
    /// # Errors
    /// A name that is none.
    pub fn chosen(&self) -> Result<Vec<&'static Attack>, Failure> {
        if self.attacks.is_empty() {
            return Ok(ATTACKS.to_vec());
        }
        let find = |name: &String| {
            let found = ATTACKS.iter().find(|attack| attack.name == name);
            found.copied().ok_or_else(|| {
                let names = ATTACKS.map(|attack| attack.name).join(", ");
                Failure::Usage(format!("unknown attack \"{name}\"; use {names}"))
            })
        };
        self.attacks.iter().map(find).collect()
    }
}

/// Runs the attacks, one after the other.
///
/// # Errors
/// An attack cannot be run to its end.
pub async fn run(plan: &HostilePlan, progress: &mut dyn FnMut(&str)) -> Result<Outcome, Failure> {
    let attacks = plan.chosen()?;
    let most = attacks.iter().map(|attack| attack.connections).max();
    fd_limit::make_room(most.unwrap_or(0) + 200)?;
    let (started_at, began) = (SystemTime::now(), Instant::now());
    let watch = Watch::start(
        sample_interval(std::time::Duration::from_secs(60)),
        ServerWatch::none(),
        Live::silent(),
        Observation::default,
    );
    let mut checks = Checks::default();
    let mut summary = Extra::new(
        "Attacks",
        &[
            "attack",
            "what was done",
            "others' p99, quiet",
            "attacked",
            "memory grew by",
            "at most",
            "descriptors back",
            "counts exact",
        ],
    );
    for attack in attacks {
        progress(&format!("{}: {}", attack.name, attack.about));
        let row = arena::fight(attack, plan, &mut checks).await?;
        progress(&format!(
            "  {}",
            row.get(1..).unwrap_or_default().join(" | ")
        ));
        summary.rows.push(row);
    }
    checks.table(summary);
    let mode = serde_json::json!({
        "size": plan.size.of("full", "short"),
        "attacks": plan.attacks,
    });
    let conditions = Conditions::of(watch.finish().await, plan.size.of(1.0, 0.1), None);
    let lasted = began.elapsed().as_secs_f64();
    Ok(checks.outcome(
        "hostile",
        "Hostile clients",
        mode,
        (started_at, lasted),
        conditions,
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attacks_are_found_by_name_and_unknown_ones_are_refused_with_the_names() {
        let plan = |names: &[&str]| HostilePlan {
            server: PathBuf::new(),
            attacks: names.iter().map(|name| (*name).to_owned()).collect(),
            size: Size::Short,
        };
        assert_eq!(plan(&[]).chosen().unwrap().len(), ATTACKS.len());
        for attack in ATTACKS {
            let chosen = plan(&[attack.name]).chosen().unwrap();
            assert_eq!(chosen[0].name, attack.name);
        }
        let Err(err) = plan(&["slowloris"]).chosen() else {
            panic!("there is none of that name");
        };
        assert!(err.to_string().contains("half-handshakes"), "{err}");
    }
}
