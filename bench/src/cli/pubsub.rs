//! The `pubsub` command.

use clap::Args;

use super::args::{Given, LengthArgs, OutputArgs, WatchArgs, given_target, judged};
use super::output::{Output, Verdict, runtime, say, stop_on_signal};
use super::script::{KeyArgs, shape};
use crate::failure::Failure;
use crate::fd_limit;
use crate::pubsub::{self, Job, Settings};
use crate::target::{Target, TargetError};
use crate::watch::Live;

/// Most events of a run, each of which is kept account of.
const MOST_EVENTS: f64 = 5e7;

/// Flags of the pub/sub scenario.
#[derive(Debug, Args)]
pub struct PubsubArgs {
    /// Base address of the server, where events are posted.
    #[arg(
        long,
        env = "API_URL",
        default_value = "http://127.0.0.1:8787",
        value_parser = given_target
    )]
    url: Given<Target, TargetError>,
    /// Address of the sockets, if it is another.
    #[arg(long, env = "WS_URL", value_parser = given_target)]
    ws_url: Option<Given<Target, TargetError>>,
    #[command(flatten)]
    key: KeyArgs,
    /// Publishers at work.
    #[arg(long, env = "PUBLISHER_VUS", value_name = "COUNT")]
    publishers: Option<usize>,
    /// Events a second, all publishers together.
    #[arg(long, env = "MESSAGES_PER_SECOND", value_name = "RATE")]
    messages_per_second: Option<f64>,
    /// This many subscribers all the time, instead of the stages.
    #[arg(long, value_name = "COUNT")]
    subscribers: Option<usize>,
    /// Rising rates, such as 500,1000,2000: a run of --duration at each, until one does not hold.
    #[arg(
        long,
        value_name = "RATES",
        value_delimiter = ',',
        requires = "subscribers",
        conflicts_with = "messages_per_second"
    )]
    steps: Vec<f64>,
    #[command(flatten)]
    watch: WatchArgs,
    #[command(flatten)]
    length: LengthArgs,
    #[command(flatten)]
    output: OutputArgs,
}

/// Publishes and subscribes.
///
/// # Errors
/// There is no result.
pub fn run(args: PubsubArgs) -> Result<u8, Failure> {
    let usage = |text: &str| Failure::Usage(text.to_owned());
    let mut settings = Settings::read()?;
    settings.publishers = args.publishers.unwrap_or(settings.publishers);
    settings.messages_per_second = args
        .messages_per_second
        .unwrap_or(settings.messages_per_second);
    if settings.publishers == 0 {
        return Err(usage("--publishers must be at least 1"));
    }
    let is_rate = |rate: &f64| rate.is_finite() && (0.001..=1e6).contains(rate);
    if !is_rate(&settings.messages_per_second) {
        return Err(usage(
            "--messages-per-second must be a number above 0 and at most a million, such as 500",
        ));
    }
    if !args.steps.iter().all(is_rate) {
        return Err(usage(
            "--steps must be numbers above 0 and at most a million, such as 500,1000",
        ));
    }
    let steps = args.steps;
    let rate = steps
        .iter()
        .copied()
        .fold(settings.messages_per_second, f64::max);
    let (stages, time_scale) = shape(&settings.stages(), args.subscribers, args.length)?;
    if stages.duration().as_secs_f64() * rate > MOST_EVENTS {
        return Err(usage(
            "more than 50 million events, each of which is kept account of: use a lower rate or a \
             shorter run",
        ));
    }
    let api = judged("--url", args.url)?;
    let sockets = match args.ws_url {
        Some(given) => judged("--ws-url", given)?,
        None => api.clone(),
    };
    let credentials = args.key.judged()?;
    fd_limit::make_room(stages.peak() + settings.publishers)?;
    let output = Output::prepare(&args.output)?;
    let server = args.watch.watch(&api)?;
    say(&format!(
        "dormouse-bench pubsub: {} subscribers, {rate} messages/s, {} against {}\n\n",
        stages.peak(),
        humantime::format_duration(stages.duration()),
        api.shown()
    ));
    let job = |rate| Job {
        settings: settings.at_rate(rate),
        stages: stages.clone(),
        time_scale,
        api: api.clone(),
        sockets: sockets.clone(),
        credentials: credentials.clone(),
    };
    let outcome = runtime()?.block_on(async {
        if steps.is_empty() {
            let live = Live::start("pubsub", stages.duration());
            pubsub::run(job(rate), server, live, stop_on_signal()).await
        } else {
            pubsub::climb(&steps, job, &server, stop_on_signal()).await
        }
    })?;
    let verdict = Verdict::of(&outcome);
    output.finish(&outcome.scenario, &outcome, &outcome.report(), verdict)
}
