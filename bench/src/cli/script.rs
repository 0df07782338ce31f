//! The `http`, `calls` and `reporting` commands.

use std::time::Duration;

use clap::Args;

use super::args::{
    Given, LengthArgs, OutputArgs, ServerArgs, TokenArgs, WatchArgs, given_target, given_token,
    judged,
};
use super::output::{Output, Verdict, runtime, say, stop_on_signal};
use crate::failure::Failure;
use crate::fd_limit;
use crate::script::{self, Credentials, Job, Profile, Scenario};
use crate::stages::{LONGEST, Stage, Stages};
use crate::target::{Target, TargetError};
use crate::token::{Token, TokenError};
use crate::watch::Live;

/// Flags of `http`.
#[derive(Debug, Args)]
pub struct HttpArgs {
    #[command(flatten)]
    server: ServerArgs,
    #[command(flatten)]
    token: TokenArgs,
    /// What the users do: health-check, sessions-api, websocket or full-api.
    #[arg(long, default_value = "health-check")]
    scenario: String,
    /// How many users there are and when: smoke, average, stress, spike or endurance.
    #[arg(long, default_value = "smoke")]
    profile: String,
    #[command(flatten)]
    users: UserArgs,
}

/// Flags of all scripted runs.
#[derive(Debug, Args)]
pub struct UserArgs {
    /// This many virtual users all the time, instead of the stages.
    #[arg(long, value_name = "COUNT")]
    vus: Option<usize>,
    #[command(flatten)]
    watch: WatchArgs,
    #[command(flatten)]
    length: LengthArgs,
    #[command(flatten)]
    output: OutputArgs,
}

/// Flags of the event side's scripted runs.
#[derive(Debug, Args)]
pub struct EventArgs {
    /// Base address of the server.
    #[arg(
        long,
        env = "API_URL",
        default_value = "http://127.0.0.1:8787",
        value_parser = given_target
    )]
    url: Given<Target, TargetError>,
    #[command(flatten)]
    key: KeyArgs,
    #[command(flatten)]
    users: UserArgs,
}

/// Who a client of the event side is.
#[derive(Clone, Debug, Args)]
pub struct KeyArgs {
    /// API key.
    #[arg(
        long,
        env = "API_KEY",
        hide_env_values = true,
        default_value = "test-api-key",
        value_parser = given_token
    )]
    pub api_key: Given<Token, TokenError>,
    /// Tenant of the key, which requests assert.
    #[arg(
        long,
        env = "TENANT_ID",
        default_value = "00000000-0000-0000-0000-000000000000"
    )]
    pub tenant_id: String,
}

impl KeyArgs {
    /// The credentials.
    pub fn judged(self) -> Result<Credentials, Failure> {
        let letters = |c: char| c.is_ascii_graphic();
        if self.tenant_id.is_empty() || !self.tenant_id.chars().all(letters) {
            return Err(Failure::Usage(
                "--tenant-id must be letters, digits and hyphens".to_owned(),
            ));
        }
        Ok(Credentials {
            token: None,
            api_key: Some(judged("--api-key", self.api_key)?),
            tenant: Some(self.tenant_id),
        })
    }
}

/// Runs an `http` scenario under a profile.
///
/// # Errors
/// There is no result.
pub fn http(args: HttpArgs) -> Result<u8, Failure> {
    let profile = Profile::named(&args.profile)?;
    let scenario = Scenario::named(&args.scenario)?;
    if !script::names().any(|name| name == args.scenario) {
        return Err(Failure::Usage(format!(
            "{} is a command of its own: dormouse-bench {}",
            args.scenario, args.scenario
        )));
    }
    // Someone's own number of users is held to the scenario's thresholds alone.
    let scenario = match args.users.vus {
        Some(_) => scenario.with(&Profile::custom()),
        None => scenario.with(&profile),
    };
    let credentials = Credentials {
        token: args
            .token
            .token
            .map(|token| judged("--token", token))
            .transpose()?,
        ..Credentials::default()
    };
    let target = judged("--url", args.server.url)?;
    run(scenario, &profile.stages, target, credentials, args.users)
}

/// Runs `calls` or `reporting`.
///
/// # Errors
/// There is no result.
pub fn events(name: &str, args: EventArgs) -> Result<u8, Failure> {
    let mut scenario = Scenario::named(name)?;
    let stages = scenario.stages.clone();
    if args.users.vus.is_some() {
        scenario = scenario.for_other_users();
    }
    let target = judged("--url", args.url)?;
    run(scenario, &stages, target, args.key.judged()?, args.users)
}

fn run(
    scenario: Scenario,
    stages: &Stages,
    target: Target,
    credentials: Credentials,
    args: UserArgs,
) -> Result<u8, Failure> {
    let (stages, time_scale) = shape(stages, args.vus, args.length)?;
    fd_limit::make_room(stages.peak())?;
    let output = Output::prepare(&args.output)?;
    let server = args.watch.watch(&target)?;
    say(&format!(
        "dormouse-bench {}: {} users, {} against {}\n\n",
        scenario.name,
        stages.peak(),
        humantime::format_duration(stages.duration()),
        target.shown()
    ));
    let live = Live::start(&scenario.name, stages.duration());
    let job = Job {
        scenario,
        stages,
        time_scale,
        target,
        credentials,
        server,
        live,
    };
    let outcome = runtime()?.block_on(async { script::run(job, stop_on_signal()).await })?;
    let verdict = Verdict::of(&outcome);
    output.finish(&outcome.scenario, &outcome, &outcome.report(), verdict)
}

/// The stages as the flags change them, and their length as a multiple of the original.
///
/// # Errors
/// [`Failure::Usage`]: numbers that make no sense.
pub fn shape(
    stages: &Stages,
    users: Option<usize>,
    length: LengthArgs,
) -> Result<(Stages, f64), Failure> {
    let usage = |text: &str| Failure::Usage(text.to_owned());
    // A number of users of one's own makes a run of its own, which nothing has shortened.
    let full = match (users, length.duration) {
        (Some(_), Some(own)) => own,
        _ => stages.duration(),
    };
    let mut stages = match users {
        Some(0) => return Err(usage("--vus must be at least 1")),
        Some(users) => Stages::new(vec![Stage {
            connections: users,
            ramp: Duration::ZERO,
            hold: length.duration.unwrap_or(stages.duration()),
        }]),
        None => stages.clone(),
    };
    if let Some(duration) = length.duration {
        stages = stages.with_duration(duration);
    }
    stages = stages
        .scaled(length.time_scale.unwrap_or(1.0))
        .ok_or_else(|| usage("--time-scale must be a number above 0, such as 0.1"))?;
    if stages.duration().is_zero() {
        return Err(usage("the duration must be longer than zero"));
    }
    if stages.duration() > LONGEST {
        return Err(usage("the duration must be a week at most"));
    }
    let time_scale = stages.relative_to(full.as_secs_f64());
    Ok((stages, time_scale))
}
