//! The `hostile` command.

use std::path::PathBuf;

use clap::Args;

use super::args::OutputArgs;
use super::output::{Output, Verdict, run_trial, say};
use crate::failure::Failure;
use crate::hostile::{self, HostilePlan, Size};

/// The server's program, for everything that starts one.
#[derive(Clone, Debug, Args)]
pub struct ProgramArgs {
    /// Program of the server, which is started anew for each trial.
    #[arg(long, value_name = "FILE", default_value = "target/release/dormouse")]
    pub server: PathBuf,
    /// The short form, for every check-in.
    #[arg(long)]
    pub short: bool,
}

/// Flags of the attacks.
#[derive(Debug, Args)]
pub struct HostileArgs {
    #[command(flatten)]
    program: ProgramArgs,
    /// Attacks to run, separated by commas; left out: all.
    #[arg(long = "attack", value_name = "NAMES", value_delimiter = ',')]
    attacks: Vec<String>,
    #[command(flatten)]
    output: OutputArgs,
}

/// Attacks a server.
///
/// # Errors
/// There is no result.
pub fn run(args: HostileArgs) -> Result<u8, Failure> {
    let plan = HostilePlan {
        server: args.program.server,
        attacks: args.attacks,
        size: match args.program.short {
            true => Size::Short,
            false => Size::Full,
        },
    };
    plan.chosen()?;
    let output = Output::prepare(&args.output)?;
    let outcome = run_trial(hostile::run(&plan, &mut |line| say(&format!("{line}\n"))))?;
    let verdict = Verdict::of(&outcome);
    output.finish(&outcome.scenario, &outcome, &outcome.report(), verdict)
}
