//! The `faults` command.

use clap::Args;

use super::args::OutputArgs;
use super::hostile::ProgramArgs;
use super::output::{Output, Verdict, run_trial, say};
use crate::failure::Failure;
use crate::faults::{self, FaultPlan};

/// Flags of the faults.
#[derive(Debug, Args)]
pub struct FaultsArgs {
    #[command(flatten)]
    program: ProgramArgs,
    /// Faults to make, separated by commas; left out: all.
    #[arg(long = "fault", value_name = "NAMES", value_delimiter = ',')]
    faults: Vec<String>,
    /// How often the server is killed; 50, in the short form 3.
    #[arg(long, value_name = "COUNT")]
    kills: Option<u32>,
    #[command(flatten)]
    output: OutputArgs,
}

/// Makes a server fail.
///
/// # Errors
/// There is no result.
pub fn run(args: FaultsArgs) -> Result<u8, Failure> {
    let short = args.program.short;
    let plan = FaultPlan {
        server: args.program.server,
        faults: args.faults,
        kills: args.kills.unwrap_or(if short { 3 } else { 50 }),
        rounds: if short { 3 } else { 30 },
        short,
    };
    plan.chosen()?;
    let output = Output::prepare(&args.output)?;
    let outcome = run_trial(faults::run(&plan, &mut |line| say(&format!("{line}\n"))))?;
    let verdict = Verdict::of(&outcome);
    output.finish(&outcome.scenario, &outcome, &outcome.report(), verdict)
}
