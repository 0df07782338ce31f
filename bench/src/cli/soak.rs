//! The `soak` command.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use super::args::OutputArgs;
use super::output::{Output, Verdict, run_trial, say};
use crate::failure::Failure;
use crate::soak::{self, SoakPlan};

/// Flags of an endurance run.
#[derive(Debug, Args)]
pub struct SoakArgs {
    /// Program of the server, which is started for the run.
    #[arg(long, value_name = "FILE", default_value = "target/release/dormouse")]
    server: PathBuf,
    /// How long the traffic lasts.
    #[arg(long, value_name = "TIME", default_value = "30m", value_parser = humantime::parse_duration)]
    duration: Duration,
    /// How many connections come and go afterwards.
    #[arg(long, value_name = "COUNT", default_value_t = 1_000_000)]
    cycles: u64,
    /// How many clients talk.
    #[arg(long, value_name = "COUNT", default_value_t = 200)]
    clients: usize,
    /// Messages a second of all clients together; left out: half of what is found to be possible.
    #[arg(long, value_name = "RATE")]
    rate: Option<f64>,
    #[command(flatten)]
    output: OutputArgs,
}

/// Runs traffic for long, and connections by the million.
///
/// # Errors
/// There is no result.
pub fn run(args: SoakArgs) -> Result<u8, Failure> {
    if args
        .rate
        .is_some_and(|rate| !(rate.is_finite() && rate > 0.0))
        || args.clients == 0
    {
        return Err(Failure::Usage(
            "--rate and --clients must be numbers above 0".to_owned(),
        ));
    }
    let plan = SoakPlan {
        server: args.server,
        duration: args.duration,
        cycles: args.cycles,
        clients: args.clients,
        rate: args.rate,
    };
    let output = Output::prepare(&args.output)?;
    let outcome = run_trial(soak::run(&plan, &mut |line| say(&format!("{line}\n"))))?;
    let verdict = Verdict::of(&outcome);
    output.finish(&outcome.scenario, &outcome, &outcome.report(), verdict)
}
