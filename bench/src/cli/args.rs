//! Flags that several commands share, and the judgement of their values.

use std::convert::Infallible;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use crate::failure::Failure;
use crate::target::{Target, TargetError};
use crate::token::{Token, TokenError};
use crate::tokens::Tokens;
use crate::watch::ServerWatch;
use crate::workers::Crew;

/// A value that is judged after the command line has been read: clap's own complaint would repeat
/// it, and it may be a secret or contain one.
pub type Given<T, E> = Result<T, E>;

/// Reads a token without judging it yet.
pub fn given_token(text: &str) -> Result<Given<Token, TokenError>, Infallible> {
    Ok(Token::new(text))
}

/// Reads an address without judging it yet.
pub fn given_target(text: &str) -> Result<Given<Target, TargetError>, Infallible> {
    Ok(Target::parse(text))
}

/// The value, or what is wrong with it under the name of its flag.
pub fn judged<T, E: std::fmt::Display>(flag: &str, given: Given<T, E>) -> Result<T, Failure> {
    given.map_err(|err| Failure::Usage(format!("{flag}: {err}")))
}

/// Where the server is.
#[derive(Clone, Debug, Args)]
pub struct ServerArgs {
    /// Base address of the server.
    #[arg(
        long,
        env = "BASE_URL",
        default_value = "http://127.0.0.1:8787",
        value_parser = given_target
    )]
    pub url: Given<Target, TargetError>,
}

/// Whose connections they are.
#[derive(Clone, Debug, Args)]
pub struct TokenArgs {
    /// Token of an account that nobody else uses during the run.
    #[arg(long, env = "AUTH_TOKEN", hide_env_values = true, value_parser = given_token)]
    pub token: Option<Given<Token, TokenError>>,
}

impl TokenArgs {
    /// The token.
    pub fn judged(self) -> Result<Token, Failure> {
        let none = || {
            Failure::Usage(
                "no token; give one of an account that nobody else uses with --token or AUTH_TOKEN"
                    .to_owned(),
            )
        };
        judged("--token", self.token.ok_or_else(none)?)
    }
}

/// Several generator processes instead of one.
#[derive(Clone, Debug, Args)]
pub struct WorkerArgs {
    /// Generator processes. Each has an account of its own, from --tokens or --token-command, and
    /// its share of the connections.
    #[arg(long, value_name = "COUNT", default_value_t = 1)]
    pub workers: usize,
    /// File with one token on each line, one for each worker.
    #[arg(long, value_name = "FILE", conflicts_with = "token_command")]
    pub tokens: Option<PathBuf>,
    /// Shell command that prints a token, run once for each worker with {user} replaced by a name.
    #[arg(long, value_name = "COMMAND")]
    pub token_command: Option<String>,
}

impl WorkerArgs {
    /// The workers; `None` where this process does it all with its one token.
    pub fn crew(&self, watch: &WatchArgs) -> Result<Option<Crew>, Failure> {
        let tokens = match (&self.token_command, &self.tokens) {
            (Some(template), _) => Tokens::Command {
                template: template.clone(),
                users: self.workers,
            },
            (None, Some(path)) => Tokens::File(path.clone()),
            (None, None) if self.workers == 1 => return Ok(None),
            (None, None) => {
                return Err(Failure::Usage(
                    "--workers needs an account for each: give --tokens or --token-command"
                        .to_owned(),
                ));
            }
        };
        if self.workers == 0 {
            return Err(Failure::Usage("--workers must be at least 1".to_owned()));
        }
        let admin = watch.admin()?;
        Crew::new(self.workers, tokens.read()?, watch.pid, admin).map(Some)
    }
}

/// How the server's processor time and memory are read.
#[derive(Clone, Debug, Default, Args)]
pub struct WatchArgs {
    /// Process id of the server on this machine, whose processor time and memory are watched; left
    /// out, the server's /metrics is read.
    #[arg(long)]
    pub pid: Option<u32>,
    /// Token for /metrics where it asks for one.
    #[arg(long, env = "ADMIN_TOKEN", hide_env_values = true, value_parser = given_token)]
    pub admin_token: Option<Given<Token, TokenError>>,
}

impl WatchArgs {
    /// The watch of this server.
    pub fn watch(&self, target: &Target) -> Result<ServerWatch, Failure> {
        ServerWatch::new(target, self.pid, self.admin()?).map_err(Failure::Usage)
    }

    fn admin(&self) -> Result<Option<Token>, Failure> {
        let admin = self.admin_token.clone();
        admin
            .map(|admin| judged("--admin-token", admin))
            .transpose()
    }
}

/// How long a run is.
#[derive(Clone, Copy, Debug, Default, Args)]
pub struct LengthArgs {
    /// Length of the run instead of the mode's, as in 90s or 5m.
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
    pub duration: Option<Duration>,
    /// Factor on the length of every stage, as in 0.1 for a try-out; the result records it.
    #[arg(long, value_name = "FACTOR")]
    pub time_scale: Option<f64>,
}

/// Where the result goes.
#[derive(Clone, Debug, Default, Args)]
pub struct OutputArgs {
    /// Write the result as JSON to this file.
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
    /// Write the result as one HTML page to this file.
    #[arg(long, value_name = "FILE")]
    pub out_html: Option<PathBuf>,
    /// Exit with 8 when the generator fell behind, so that the figures are not the server's.
    #[arg(long)]
    pub require_valid: bool,
}
