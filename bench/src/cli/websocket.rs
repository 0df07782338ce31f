//! The `smoke` and `ws` commands, and the worker processes behind `ws --workers`.

use std::path::PathBuf;

use clap::Args;

use super::args::{LengthArgs, OutputArgs, ServerArgs, TokenArgs, WatchArgs, WorkerArgs, judged};
use super::output::{Output, Verdict, runtime, say, stop_on_signal};
use crate::failure::{EXIT_PASSED, Failure};
use crate::fd_limit;
use crate::mode::{self, Mode, Overrides};
use crate::watch::Live;
use crate::websocket::{self, Metrics, Outcome};
use crate::workers::Job;

/// Flags of the WebSocket scenario.
#[derive(Debug, Args)]
pub struct WebSocketArgs {
    #[command(flatten)]
    server: ServerArgs,
    #[command(flatten)]
    token: TokenArgs,
    /// Connections at the peak instead of the mode's.
    #[arg(long, value_name = "COUNT")]
    connections: Option<usize>,
    #[command(flatten)]
    workers: WorkerArgs,
    #[command(flatten)]
    watch: WatchArgs,
    #[command(flatten)]
    length: LengthArgs,
    #[command(flatten)]
    output: OutputArgs,
}

/// Which mode.
#[derive(Debug)]
pub enum Chosen {
    /// One that comes with the program.
    Named(String),
    /// One of the caller's own.
    File(PathBuf),
}

impl Chosen {
    /// The mode's text.
    fn text(&self) -> Result<String, Failure> {
        let usage = |err: mode::ModeError| Failure::Usage(err.to_string());
        match self {
            Self::Named(name) => mode::text(name).map(str::to_owned).map_err(usage),
            Self::File(path) => mode::read(path).map_err(usage),
        }
    }

    fn name(&self) -> String {
        match self {
            Self::Named(name) => name.clone(),
            Self::File(path) => path.display().to_string(),
        }
    }
}

/// Runs a mode.
///
/// # Errors
/// There is no result.
pub fn run(chosen: &Chosen, args: WebSocketArgs) -> Result<u8, Failure> {
    let over = Overrides {
        connections: args.connections,
        duration: args.length.duration,
        time_scale: args.length.time_scale,
    };
    let text = chosen.text()?;
    let mode = Mode::parse(&chosen.name(), &text, over, &Metrics::default().snapshot());
    let mode = mode.map_err(|err| Failure::Usage(err.to_string()))?;
    let target = judged("--url", args.server.url.clone())?;
    let crew = args.workers.crew(&args.watch)?;
    let url = target.shown().to_owned();
    let intro = format!(
        "dormouse-bench {}: {} connections, {} against {url}\n\n",
        mode.name,
        mode.stages.peak(),
        humantime::format_duration(mode.stages.duration()),
    );
    let (raw, output) = if let Some(crew) = crew {
        let output = Output::prepare(&args.output)?;
        say(&intro);
        let run = async { crew.play(&mode, &url, stop_on_signal()).await };
        (runtime()?.block_on(run)?, output)
    } else {
        let token = args.token.judged()?;
        fd_limit::make_room(mode.stages.peak())?;
        let output = Output::prepare(&args.output)?;
        let server = args.watch.watch(&target)?;
        say(&intro);
        let live = Live::start(&mode.name, mode.stages.duration());
        let run =
            async { websocket::play(&mode, target, token, stop_on_signal(), server, live).await };
        (runtime()?.block_on(run)?, output)
    };
    let outcome = Outcome::of(&mode, &url, raw);
    let verdict = Verdict {
        passed: outcome.passed,
        interrupted: outcome.interrupted,
        valid: outcome.conditions.validity.valid,
    };
    output.finish(&mode.name, &outcome, &outcome.report(), verdict)
}

/// Runs as one worker: the job on standard input, what was collected on standard output.
///
/// # Errors
/// There is no result.
pub fn worker() -> Result<u8, Failure> {
    let job: Job = serde_json::from_reader(std::io::stdin().lock())
        .map_err(|err| Failure::Usage(format!("this command is for --workers: {err}")))?;
    fd_limit::make_room(job.mode.stages.peak())?;
    let run = async { job.run(stop_on_signal()).await };
    let raw = runtime()?.block_on(run)?;
    let written = serde_json::to_writer(std::io::stdout().lock(), &raw);
    written.map_err(|err| Failure::Incomplete(format!("nobody takes the result: {err}")))?;
    Ok(EXIT_PASSED)
}
