//! The command line: subcommands, flags, environment, and what each of them starts.
//!
//! Called by `main` alone. Reads arguments and files, prints reports, writes results; measures
//! nothing itself.

use std::convert::Infallible;
use std::io::Write as _;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};

use crate::failure::{EXIT_INTERRUPTED, EXIT_LIMITS_BROKEN, EXIT_PASSED, Failure};
use crate::fd_limit;
#[cfg(target_os = "linux")]
use crate::footprint::{self, Plan, Section, Tokens};
use crate::mode::{Mode, Overrides};
use crate::result_file::ResultFile;
use crate::target::{Target, TargetError};
use crate::token::{Token, TokenError};
use crate::websocket::{self, Stop};

/// Load tests and measurements of a WebSocket connection server.
///
/// Exit codes: 0 passed; 1 a threshold was broken, messages do not add up, or the run could not be
/// finished; 2 usage; 3 server unreachable; 4 token or connection refused; 5 endpoint missing;
/// 6 too few file descriptors; 7 result not writable; 130 interrupted.
#[derive(Debug, Parser)]
#[command(name = "dormouse-bench", version)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Quick functional check: the same as `ws --mode smoke`.
    Smoke(WebSocketArgs),
    /// Play the clients of one account and account for every message.
    Ws {
        /// Test mode.
        #[arg(long, env = "TEST_MODE", default_value = "smoke")]
        mode: String,
        /// A mode of your own, described in TOML; replaces --mode.
        #[arg(long, value_name = "FILE")]
        mode_file: Option<PathBuf>,
        #[command(flatten)]
        args: WebSocketArgs,
    },
    /// Measure what connections and deliveries cost a server on this machine, beside the least
    /// that they could cost.
    #[cfg(target_os = "linux")]
    Footprint(Box<FootprintArgs>),
    /// The least: a bare epoll loop that `footprint` measures the server against.
    #[cfg(target_os = "linux")]
    #[command(hide = true)]
    FloorServer,
}

/// A value that is judged after the command line has been read: clap's own complaint would repeat
/// it, and it may be a secret or contain one.
type Given<T, E> = Result<T, E>;

fn given_token(text: &str) -> Result<Given<Token, TokenError>, Infallible> {
    Ok(Token::new(text))
}

/// The value, or what is wrong with it under the name of its flag.
fn judged<T, E: std::fmt::Display>(flag: &str, given: Given<T, E>) -> Result<T, Failure> {
    given.map_err(|err| Failure::Usage(format!("{flag}: {err}")))
}

/// Where the server is.
#[derive(Debug, Args)]
struct ServerArgs {
    /// Base address of the server.
    #[arg(
        long,
        env = "BASE_URL",
        default_value = "http://127.0.0.1:8787",
        value_parser = |text: &str| Ok::<_, Infallible>(Target::parse(text))
    )]
    url: Given<Target, TargetError>,
}

#[derive(Debug, Args)]
struct WebSocketArgs {
    #[command(flatten)]
    server: ServerArgs,
    /// Token of an account that nobody else uses during the run.
    #[arg(long, env = "AUTH_TOKEN", hide_env_values = true, value_parser = given_token)]
    token: Option<Given<Token, TokenError>>,
    /// Connections at the peak instead of the mode's.
    #[arg(long, value_name = "COUNT")]
    connections: Option<usize>,
    /// Length of the run instead of the mode's, as in 90s or 5m.
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
    duration: Option<Duration>,
    /// Write the result as JSON to this file.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

#[cfg(target_os = "linux")]
#[derive(Debug, Args)]
struct FootprintArgs {
    #[command(flatten)]
    server: ServerArgs,
    /// Process id of the server.
    #[arg(long)]
    pid: u32,
    /// Token of the one account that all connections belong to.
    #[arg(long, env = "AUTH_TOKEN", hide_env_values = true, value_parser = given_token)]
    token: Option<Given<Token, TokenError>>,
    /// File with one token on each line; connections use them in turn.
    #[arg(long, value_name = "FILE", conflicts_with = "token_command")]
    tokens: Option<PathBuf>,
    /// Shell command that prints a token, run once for each user with {user} replaced by a name.
    #[arg(long, value_name = "COMMAND")]
    token_command: Option<String>,
    /// Accounts that --token-command is run for.
    #[arg(
        long,
        value_name = "COUNT",
        default_value_t = 1,
        requires = "token_command"
    )]
    users: usize,
    /// Token for the admin overview, which tells when all shards sleep.
    #[arg(long, env = "ADMIN_TOKEN", hide_env_values = true, value_parser = given_token)]
    admin_token: Option<Given<Token, TokenError>>,
    /// Idle connections whose memory is measured.
    #[arg(long, value_name = "COUNT", default_value_t = 15_000)]
    connections: usize,
    /// How long shards may take to fall asleep.
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = humantime::parse_duration)]
    sleep_timeout: Duration,
    /// How long the server is left alone before its memory is read.
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = humantime::parse_duration)]
    settle: Duration,
    /// What to measure.
    #[arg(
        long,
        value_enum,
        value_delimiter = ',',
        default_values = ["memory", "fan-out", "echo", "connect"]
    )]
    sections: Vec<Section>,
    /// Rounds of each comparison; server and floor take turns.
    #[arg(long, value_name = "COUNT", default_value_t = 5)]
    rounds: usize,
    /// Leave out the floor, and with it the ratios.
    #[arg(long)]
    no_floor: bool,
    /// Connections of the fan-out measurements.
    #[arg(long, value_name = "COUNTS", value_delimiter = ',', default_values_t = [10, 1_000, 10_000])]
    fan_out: Vec<usize>,
    /// Broadcasts under way at the same time.
    #[arg(long, value_name = "COUNTS", value_delimiter = ',', default_values_t = [1, 8])]
    in_flight: Vec<usize>,
    /// Deliveries of one round of fan-out, about.
    #[arg(long, value_name = "COUNT", default_value_t = 50_000)]
    deliveries: u64,
    /// Connections of the echo measurements.
    #[arg(long, value_name = "COUNTS", value_delimiter = ',', default_values_t = [10, 1_000])]
    echo: Vec<usize>,
    /// Pings of one round of echo.
    #[arg(long, value_name = "COUNT", default_value_t = 50_000)]
    pings: u64,
    /// Connections of one round of connecting.
    #[arg(long, value_name = "COUNT", default_value_t = 2_000)]
    connects: usize,
    /// Longest time for a single step.
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = humantime::parse_duration)]
    step_timeout: Duration,
    /// Exit with 1 when a goal is missed.
    #[arg(long)]
    enforce: bool,
    /// Write the findings as JSON to this file.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

impl Cli {
    /// Does what the command line says and returns the exit code.
    ///
    /// # Errors
    /// There is no result; the failure knows its exit code.
    pub fn run(self) -> Result<u8, Failure> {
        match self.command {
            Command::Smoke(args) => run_websocket(Chosen::Named("smoke".to_owned()), args),
            Command::Ws {
                mode_file: Some(path),
                args,
                ..
            } => run_websocket(Chosen::File(path), args),
            Command::Ws {
                mode,
                mode_file: None,
                args,
            } => run_websocket(Chosen::Named(mode), args),
            #[cfg(target_os = "linux")]
            Command::Footprint(args) => run_footprint(*args),
            #[cfg(target_os = "linux")]
            Command::FloorServer => footprint::floor_server::serve()
                .map(|()| EXIT_PASSED)
                .map_err(|err| Failure::Incomplete(format!("the floor server: {err}"))),
        }
    }
}

enum Chosen {
    Named(String),
    File(PathBuf),
}

fn run_websocket(chosen: Chosen, args: WebSocketArgs) -> Result<u8, Failure> {
    let over = Overrides {
        connections: args.connections,
        duration: args.duration,
    };
    let metrics = websocket::Metrics::default().snapshot();
    let mode = match chosen {
        Chosen::Named(name) => Mode::named(&name, over, &metrics),
        Chosen::File(path) => Mode::from_file(&path, over, &metrics),
    };
    let mode = mode.map_err(|err| Failure::Usage(err.to_string()))?;
    let target = judged("--url", args.server.url)?;
    let token = judged("--token", args.token.ok_or_else(no_token)?)?;
    fd_limit::make_room(mode.stages.peak())?;
    let file = args.out.as_deref().map(ResultFile::prepare).transpose()?;

    say(&format!(
        "dormouse-bench {}: {} connections, {} against {}\n\n",
        mode.name,
        mode.stages.peak(),
        humantime::format_duration(mode.stages.duration()),
        target.shown()
    ));
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build();
    let runtime =
        runtime.map_err(|err| Failure::Incomplete(format!("cannot start the runtime: {err}")))?;
    let outcome = runtime.block_on(async {
        let stop = stop_on_signal();
        websocket::run(&mode, target, token, stop).await
    })?;
    say(&outcome.report());
    if let Some(file) = file {
        file.write(&mode.name, &outcome)?;
    }
    Ok(match (outcome.interrupted, outcome.passed) {
        (true, _) => EXIT_INTERRUPTED,
        (false, true) => EXIT_PASSED,
        (false, false) => EXIT_LIMITS_BROKEN,
    })
}

#[cfg(target_os = "linux")]
fn run_footprint(args: FootprintArgs) -> Result<u8, Failure> {
    let tokens = match (args.token_command, args.tokens, args.token) {
        (Some(template), _, _) => Tokens::Command {
            template,
            users: args.users,
        },
        (None, Some(path), _) => Tokens::File(path),
        (None, None, Some(token)) => Tokens::One(judged("--token", token)?),
        (None, None, None) => {
            return Err(Failure::Usage(
                "no token; give one with --token, or several with --tokens or --token-command"
                    .to_owned(),
            ));
        }
    };
    let program = std::env::current_exe()
        .map_err(|err| Failure::Incomplete(format!("cannot find this program: {err}")))?;
    let plan = Plan {
        target: judged("--url", args.server.url)?,
        pid: args.pid,
        tokens,
        admin: args
            .admin_token
            .map(|admin| judged("--admin-token", admin))
            .transpose()?,
        connections: args.connections,
        sleep_timeout: args.sleep_timeout,
        settle: args.settle,
        sections: args.sections,
        rounds: args.rounds,
        floor: !args.no_floor,
        program,
        fan_out: args.fan_out,
        in_flight: args.in_flight,
        deliveries: args.deliveries,
        echo: args.echo,
        pings: args.pings,
        connects: args.connects,
        step_timeout: args.step_timeout,
    };
    plan.check()?;
    let file = args.out.as_deref().map(ResultFile::prepare).transpose()?;
    let findings = footprint::run(&plan, &mut |line| say(&format!("{line}\n")))?;
    say(&format!("\n{}", findings.report()));
    if let Some(file) = file {
        file.write("footprint", &findings)?;
    }
    Ok(if args.enforce && !findings.goals.passed() {
        EXIT_LIMITS_BROKEN
    } else {
        EXIT_PASSED
    })
}

/// Prints. A reader that went away (`| head`) must not cost the result file.
fn say(text: &str) {
    let mut stdout = std::io::stdout().lock();
    let _ = stdout
        .write_all(text.as_bytes())
        .and_then(|()| stdout.flush());
}

fn no_token() -> Failure {
    Failure::Usage(
        "no token; give one of an account that nobody else uses with --token or AUTH_TOKEN"
            .to_owned(),
    )
}

/// A stop that Ctrl-C and, on Unix, SIGTERM request.
fn stop_on_signal() -> Stop {
    let (request, stop) = Stop::channel();
    tokio::spawn(async move {
        #[cfg(unix)]
        {
            use tokio::signal::unix::{SignalKind, signal};
            // Without a handler the signal ends the program at once, which is all that is lost.
            let Ok(mut terminate) = signal(SignalKind::terminate()) else {
                return;
            };
            tokio::select! {
                pressed = tokio::signal::ctrl_c() => if pressed.is_err() { return },
                _ = terminate.recv() => {}
            }
        }
        #[cfg(not(unix))]
        if tokio::signal::ctrl_c().await.is_err() {
            return;
        }
        eprintln!("stopping: settling what is under way");
        // Nobody listens only if the run is over already.
        let _ = request.send(true);
        std::future::pending::<()>().await;
    });
    stop
}
