//! The `capacity` command.

use std::time::Duration;

use clap::Args;

use super::args::{LengthArgs, OutputArgs, ServerArgs, TokenArgs, WatchArgs, WorkerArgs, judged};
use super::output::{Output, Verdict, runtime, say, stop_on_signal};
use crate::capacity::{self, Plan, Players, Raise};
use crate::failure::Failure;
use crate::fd_limit;
use crate::mode::Overrides;

/// Flags of the capacity scenario.
#[derive(Debug, Args)]
pub struct CapacityArgs {
    #[command(flatten)]
    server: ServerArgs,
    #[command(flatten)]
    token: TokenArgs,
    /// What is raised.
    #[arg(long, value_enum, default_value = "connections")]
    raise: Raise,
    /// Whose promise must hold: free, pro or enterprise.
    #[arg(long, default_value = "enterprise")]
    tier: String,
    /// A threshold instead of the tier's promise; may be repeated.
    #[arg(long, value_name = "THRESHOLD")]
    promise: Vec<String>,
    /// How long a pong, a delivery or a greeting is waited for.
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
    patience: Option<Duration>,
    /// Steps of your own, in connections or in messages a second.
    #[arg(long, value_name = "COUNTS", value_delimiter = ',')]
    levels: Option<Vec<usize>>,
    /// Go on after the last step, each twice the one before, up to this.
    #[arg(long, value_name = "COUNT", conflicts_with = "levels")]
    up_to: Option<usize>,
    #[command(flatten)]
    workers: WorkerArgs,
    /// Connections of every step when messages are raised.
    #[arg(long, value_name = "COUNT")]
    connections: Option<usize>,
    #[command(flatten)]
    watch: WatchArgs,
    #[command(flatten)]
    length: LengthArgs,
    #[command(flatten)]
    output: OutputArgs,
}

/// Raises the load until the promise breaks.
///
/// # Errors
/// There is no result.
pub fn run(args: CapacityArgs) -> Result<u8, Failure> {
    let over = Overrides {
        connections: args.connections,
        duration: args.length.duration,
        time_scale: args.length.time_scale,
    };
    let mut plan = Plan::new(args.raise, &args.tier, args.levels, &args.promise, over)?;
    if let Some(most) = args.up_to {
        plan = plan.up_to(most)?;
    }
    if let Some(patience) = args.patience {
        plan = plan.with_patience(patience);
    }
    let target = judged("--url", args.server.url)?;
    let players = match args.workers.crew(&args.watch)? {
        Some(crew) => Players::Crew(crew),
        None => {
            let token = args.token.judged()?;
            fd_limit::make_room(plan.most_connections())?;
            Players::One(token)
        }
    };
    let output = Output::prepare(&args.output)?;
    let server = args.watch.watch(&target)?;
    say(&format!(
        "dormouse-bench capacity: up to {} against {}\n\n",
        plan.levels.last().copied().unwrap_or(0),
        target.shown()
    ));
    let outcome = runtime()?.block_on(async {
        let stop = stop_on_signal();
        let mut progress = |line: &str| say(&format!("{line}\n"));
        capacity::run(&plan, &target, &players, &server, &stop, &mut progress).await
    })?;
    let verdict = Verdict::of(&outcome);
    output.finish(
        &outcome.scenario,
        &outcome,
        &format!("\n{}", outcome.report()),
        verdict,
    )
}
