//! Failure on purpose: what a server of the bench's own keeps when it is killed, and how it behaves
//! while its disk, its database, its descriptors or its clock fail it. One fault a file.
//!
//! For each it is judged that errors are clear ones (503, not silence), that what needs nothing of
//! what failed goes on, and that everything works again afterwards without help.

mod clock;
mod descriptors;
mod disk_full;
mod kills;
mod locked;
mod read_only;

use std::path::PathBuf;
use std::time::{Duration, Instant, SystemTime};

use futures_util::future::LocalBoxFuture;

use crate::conditions::Conditions;
use crate::failure::Failure;
use crate::outcome::{Extra, Outcome};
use crate::trial::Checks;
use crate::watch::{Live, Observation, ServerWatch, Watch, sample_interval};

/// One way to fail a server.
pub struct Fault {
    /// Its name on the command line and in results.
    pub name: &'static str,
    /// What it is.
    pub about: &'static str,
    /// Makes it; returns what was done, or why it could not be, for the report.
    pub run: for<'a> fn(&'a FaultPlan, &'a mut Checks) -> LocalBoxFuture<'a, Result<Done, Failure>>,
}

/// What became of a fault.
#[derive(Clone, Debug)]
pub enum Done {
    /// It was made.
    Made(String),
    /// It could not be made here, for this reason.
    NotRun(String),
}

/// All faults, in the order of the report.
pub const FAULTS: [&Fault; 6] = [
    &kills::FAULT,
    &disk_full::FAULT,
    &read_only::FAULT,
    &locked::FAULT,
    &descriptors::FAULT,
    &clock::FAULT,
];

/// What is to be run.
#[derive(Debug)]
pub struct FaultPlan {
    /// The server's program.
    pub server: PathBuf,
    /// Names of faults; none: all.
    pub faults: Vec<String>,
    /// How often the server is killed.
    pub kills: u32,
    /// How often its disk is filled.
    pub rounds: u32,
    /// Whether this is the short form.
    pub short: bool,
}

impl FaultPlan {
    /// The faults that are named.
    ///
    /// # Errors
    /// A name that is none.
    pub fn chosen(&self) -> Result<Vec<&'static Fault>, Failure> {
        if self.faults.is_empty() {
            return Ok(FAULTS.to_vec());
        }
        let find = |name: &String| {
            let found = FAULTS.iter().find(|fault| fault.name == name);
            found.copied().ok_or_else(|| {
                let names = FAULTS.map(|fault| fault.name).join(", ");
                Failure::Usage(format!("unknown fault \"{name}\"; use {names}"))
            })
        };
        self.faults.iter().map(find).collect()
    }
}

/// Makes the faults, one after the other.
///
/// # Errors
/// A fault cannot be seen through to its end.
pub async fn run(plan: &FaultPlan, progress: &mut dyn FnMut(&str)) -> Result<Outcome, Failure> {
    let (started_at, began) = (SystemTime::now(), Instant::now());
    let watch = Watch::start(
        sample_interval(Duration::from_secs(60)),
        ServerWatch::none(),
        Live::silent(),
        Observation::default,
    );
    let mut checks = Checks::default();
    let mut summary = Extra::new("Faults", &["fault", "what was done", "as promised"]);
    for fault in plan.chosen()? {
        progress(&format!("{}: {}", fault.name, fault.about));
        let mut own = Checks::default();
        let done = (fault.run)(plan, &mut own).await?;
        let (text, promised) = match done {
            Done::Made(text) => (text, if own.hold() { "yes" } else { "no" }),
            Done::NotRun(why) => {
                own.note(format!("{}: not run: {why}", fault.name));
                (format!("not run: {why}"), "not run")
            }
        };
        progress(&format!("  {text} | {promised}"));
        summary
            .rows
            .push(vec![fault.name.to_owned(), text, promised.to_owned()]);
        checks.join(own);
    }
    checks.table(summary);
    let mode = serde_json::json!({
        "size": if plan.short { "short" } else { "full" },
        "faults": plan.faults, "kills": plan.kills, "rounds": plan.rounds,
    });
    let scale = if plan.short { 0.1 } else { 1.0 };
    let conditions = Conditions::of(watch.finish().await, scale, None);
    let lasted = began.elapsed().as_secs_f64();
    Ok(checks.outcome(
        "faults",
        "Failure on purpose",
        mode,
        (started_at, lasted),
        conditions,
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_are_found_by_name_and_unknown_ones_are_refused_with_the_names() {
        let plan = |names: &[&str]| FaultPlan {
            server: PathBuf::new(),
            faults: names.iter().map(|name| (*name).to_owned()).collect(),
            kills: 1,
            rounds: 1,
            short: true,
        };
        assert_eq!(plan(&[]).chosen().unwrap().len(), FAULTS.len());
        for fault in FAULTS {
            assert_eq!(plan(&[fault.name]).chosen().unwrap()[0].name, fault.name);
        }
        let Err(err) = plan(&["flood"]).chosen() else {
            panic!("there is none of that name");
        };
        assert!(err.to_string().contains("disk-full"), "{err}");
    }
}
