//! The `load` and `leak` commands, in the positional form of the scripts that they replace.

use std::time::Duration;

use clap::{Args, ValueEnum};

use super::args::{Given, OutputArgs, TokenArgs, WatchArgs, given_target, judged};
use super::output::{Output, Verdict, runtime, say, stop_on_signal};
use crate::failure::Failure;
use crate::fd_limit;
use crate::load::{self, LeakPlan, LoadPlan, Transport};
use crate::target::{Target, TargetError};
use crate::watch::Live;

/// Longest run: a week.
const LONGEST: f64 = 7.0 * 86_400.0;
/// Most events of a run, each of which is kept account of.
const MOST_EVENTS: f64 = 5e7;

/// How the server is spoken to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum TransportName {
    /// Tasks that a dashboard assigns over Socket.IO.
    Socketio,
    /// Broadcasts of clients over Socket.IO, on the mount of the sync API.
    SocketioSync,
    /// Broadcasts of clients over plain WebSocket.
    Websocket,
}

/// Flags of both.
#[derive(Debug, Args)]
pub struct TransportArgs {
    /// How the server is spoken to.
    #[arg(long, value_enum, default_value = "socketio")]
    transport: TransportName,
    /// Where Socket.IO is mounted; /socket.io for socketio, /v1/updates for socketio-sync.
    #[arg(long, value_name = "PATH")]
    path: Option<String>,
    #[command(flatten)]
    token: TokenArgs,
    /// Factor on the duration, as in 0.1 for a try-out; the result records it.
    #[arg(long, value_name = "FACTOR", default_value_t = 1.0)]
    time_scale: f64,
    #[command(flatten)]
    watch: WatchArgs,
    #[command(flatten)]
    output: OutputArgs,
}

impl TransportArgs {
    fn transport(&self) -> Result<Transport, Failure> {
        let usage = |text: &str| Failure::Usage(text.to_owned());
        if !(self.time_scale.is_finite() && self.time_scale > 0.0) {
            return Err(usage("--time-scale must be a number above 0, such as 0.1"));
        }
        let mount = |default: &str| {
            let path = self.path.clone().unwrap_or_else(|| default.to_owned());
            let letters = |c: char| c.is_ascii_alphanumeric() || "-_./~".contains(c);
            match path.starts_with('/') && path.chars().all(letters) {
                true => Ok(path),
                false => Err(usage("--path must be a path, such as /socket.io")),
            }
        };
        Ok(match self.transport {
            TransportName::Websocket => Transport::WebSocket {
                token: self.token.clone().judged()?,
            },
            TransportName::SocketioSync => Transport::SocketIoSync {
                mount: mount("/v1/updates")?,
                token: self.token.clone().judged()?,
            },
            TransportName::Socketio => {
                let token = self.token.token.clone();
                Transport::SocketIo {
                    mount: mount("/socket.io")?,
                    token: token.map(|token| judged("--token", token)).transpose()?,
                }
            }
        })
    }
}

/// Flags of `load`.
#[derive(Debug, Args)]
pub struct LoadArgs {
    /// Base address of the server.
    #[arg(default_value = "http://localhost:3000", value_parser = given_target)]
    server_url: Given<Target, TargetError>,
    /// Concurrent connections.
    #[arg(default_value_t = 50)]
    connections: usize,
    /// Events a second, all connections together.
    #[arg(default_value_t = 100.0, allow_negative_numbers = true)]
    event_rate: f64,
    /// Seconds that are measured.
    #[arg(default_value_t = 30.0, allow_negative_numbers = true)]
    duration: f64,
    /// Seconds of the same load before.
    #[arg(default_value_t = 5.0, allow_negative_numbers = true)]
    warmup: f64,
    #[command(flatten)]
    transport: TransportArgs,
}

/// Flags of `leak`.
#[derive(Debug, Args)]
pub struct LeakArgs {
    /// Base address of the server.
    #[arg(default_value = "http://localhost:3000", value_parser = given_target)]
    server_url: Given<Target, TargetError>,
    /// Minutes that the test takes.
    #[arg(default_value_t = 5.0, allow_negative_numbers = true)]
    duration_minutes: f64,
    /// Seconds between two looks at the server's memory.
    #[arg(default_value_t = 5.0, allow_negative_numbers = true)]
    sampling_seconds: f64,
    /// Actions of the simulated user a minute.
    #[arg(default_value_t = 10.0, allow_negative_numbers = true)]
    activity_rate: f64,
    #[command(flatten)]
    transport: TransportArgs,
}

/// A number that makes sense, or the name of the argument that does not.
fn sensible(name: &str, value: f64, least: f64, most: f64) -> Result<f64, Failure> {
    match value.is_finite() && (least..=most).contains(&value) {
        true => Ok(value),
        false => Err(Failure::Usage(format!(
            "{name} must be a number from {least} to {most}"
        ))),
    }
}

/// Runs `load`.
///
/// # Errors
/// There is no result.
pub fn load(args: LoadArgs) -> Result<u8, Failure> {
    let target = judged("server_url", args.server_url)?;
    let transport = args.transport.transport()?;
    let scale = args.transport.time_scale;
    let duration = sensible("duration", args.duration, 0.001, LONGEST)? * scale;
    let warmup = sensible("warmup", args.warmup, 0.0, LONGEST)? * scale;
    let rate = sensible("event_rate", args.event_rate, 0.001, 1e6)?;
    sensible(
        "events of the whole run",
        rate * (duration + warmup),
        1.0,
        MOST_EVENTS,
    )?;
    if args.connections < 2 {
        return Err(Failure::Usage(
            "connections must be at least 2: an event of one reaches the others".to_owned(),
        ));
    }
    fd_limit::make_room(args.connections)?;
    let output = Output::prepare(&args.transport.output)?;
    let server = args.transport.watch.watch(&target)?;
    say(&format!(
        "dormouse-bench load: {} connections, {rate} events/s, {duration} s after {warmup} s, over \
         {}, against {}\n\n",
        args.connections,
        transport.name(),
        target.shown()
    ));
    let plan = LoadPlan {
        target,
        transport,
        connections: args.connections,
        event_rate: rate,
        duration: Duration::from_secs_f64(duration),
        warmup: Duration::from_secs_f64(warmup),
        time_scale: scale,
    };
    let live = Live::start("load", plan.duration + plan.warmup);
    let outcome =
        runtime()?.block_on(async { load::run(plan, server, live, stop_on_signal()).await })?;
    let verdict = Verdict::of(&outcome);
    output.finish(&outcome.scenario, &outcome, &outcome.report(), verdict)
}

/// Runs `leak`.
///
/// # Errors
/// There is no result.
pub fn leak(args: LeakArgs) -> Result<u8, Failure> {
    let target = judged("server_url", args.server_url)?;
    let transport = args.transport.transport()?;
    let scale = args.transport.time_scale;
    let minutes = sensible(
        "duration_minutes",
        args.duration_minutes,
        0.001,
        LONGEST / 60.0,
    )?;
    let sampling = sensible("sampling_seconds", args.sampling_seconds, 0.01, 3_600.0)?;
    let activity = sensible("activity_rate", args.activity_rate, 0.001, 60_000.0)?;
    let output = Output::prepare(&args.transport.output)?;
    let server = args.transport.watch.watch(&target)?;
    let plan = LeakPlan {
        target,
        transport,
        duration: Duration::from_secs_f64(minutes * 60.0 * scale),
        sampling: Duration::from_secs_f64(sampling),
        activity,
        time_scale: scale,
    };
    say(&format!(
        "dormouse-bench leak: {} min, a look every {sampling} s, {activity} actions a minute, over \
         {}, against {}\n\n",
        minutes * scale,
        plan.transport.name(),
        plan.target.shown()
    ));
    let live = Live::start("leak", plan.duration);
    let outcome =
        runtime()?.block_on(async { load::leak(plan, server, live, stop_on_signal()).await })?;
    let verdict = Verdict::of(&outcome);
    output.finish(&outcome.scenario, &outcome, &outcome.report(), verdict)
}
