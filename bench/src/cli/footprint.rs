//! The `footprint` command.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use super::args::{Given, OutputArgs, ServerArgs, given_token, judged};
use super::output::{Output, Verdict, say};
use crate::failure::Failure;
use crate::footprint::{self, Plan, Section, Speech};
use crate::token::{Token, TokenError};
use crate::tokens::Tokens;

/// Flags of the footprint scenario.
#[derive(Debug, Args)]
pub struct FootprintArgs {
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
    /// How long sleeping connections are left alone, for idle; a multiple of the server's interval
    /// of protocol pings.
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = humantime::parse_duration)]
    idle: Duration,
    /// Connections of the shard that is woken.
    #[arg(long, value_name = "COUNT", default_value_t = 500)]
    wake_connections: usize,
    /// Users who are woken at once, each with one connection; 10 more of the accounts stay aside.
    #[arg(long, value_name = "COUNT", default_value_t = 10_000)]
    wake_users: usize,
    /// How long users who are awake are measured before the others are woken, and meanwhile.
    #[arg(long, value_name = "TIME", default_value = "2s", value_parser = humantime::parse_duration)]
    wake_window: Duration,
    /// Connections at each step of growth.
    #[arg(long, value_name = "COUNTS", value_delimiter = ',', default_values_t = [1_000, 5_000, 15_000])]
    growth: Vec<usize>,
    /// How connections speak; with socketio they are Socket.IO clients of the sync API.
    #[arg(long, value_enum, default_value = "plain")]
    transport: Speech,
    /// Longest time for a single step.
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = humantime::parse_duration)]
    step_timeout: Duration,
    /// Exit with 1 when a goal is missed.
    #[arg(long)]
    enforce: bool,
    #[command(flatten)]
    output: OutputArgs,
}

/// Measures what connections and deliveries cost.
///
/// # Errors
/// There is no result.
pub fn run(args: FootprintArgs) -> Result<u8, Failure> {
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
        idle: args.idle,
        wake_connections: args.wake_connections,
        wake_users: args.wake_users,
        wake_window: args.wake_window,
        growth: args.growth,
        speech: args.transport,
        step_timeout: args.step_timeout,
    };
    plan.check()?;
    let output = Output::prepare(&args.output)?;
    let findings = footprint::run(&plan, &mut |line| say(&format!("{line}\n")))?;
    let report = format!("\n{}", findings.report());
    let verdict = Verdict {
        passed: !args.enforce || findings.goals.passed(),
        interrupted: false,
        valid: true,
    };
    output.finish("footprint", &findings, &report, verdict)
}
