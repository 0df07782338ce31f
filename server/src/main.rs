//! The binary `dormouse`: parses, calls, and maps failures to exit statuses.

use std::io::{ErrorKind, Write as _};
use std::process::ExitCode;

use clap::Parser;
use dormouse_server::cli::{Cli, Command};
use dormouse_server::commands::{self, Failure};

/// Sleeping shards leave holes behind that glibc's heaps keep resident: after 15,000 connections
/// had fallen asleep, 440 bytes a connection against 209.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(err) => {
            // Help and version are printed and no failure; a wrong flag is a fault like others.
            let _ = err.print();
            let status = if err.use_stderr() {
                commands::EXIT_CONFIGURATION
            } else {
                0
            };
            return ExitCode::from(status);
        }
    };
    let result = match &cli.command {
        None | Some(Command::Serve) => commands::serve::run(&cli.settings).map(|()| String::new()),
        Some(Command::Token(flags)) => commands::token::run(flags, &cli.settings),
        Some(Command::Account(command)) => commands::account::run(command, &cli.settings),
        Some(Command::Invite(command)) => commands::invite::run(command, &cli.settings),
        Some(Command::ApiKey(command)) => commands::apikey::run(command, &cli.settings),
        Some(Command::Tenant(command)) => commands::tenant::run(command, &cli.settings),
        Some(Command::Db(command)) => commands::db::run(command, &cli.settings),
        Some(Command::Config(command)) => commands::config::run(*command, &cli.settings),
        Some(Command::Doctor) => commands::doctor::run(&cli.settings),
        Some(Command::Health(flags)) => commands::health::run(flags, &cli.settings),
    };
    let failure = match result.and_then(|text| print(&text)) {
        Ok(()) => return ExitCode::SUCCESS,
        Err(failure) => failure,
    };
    // Where this cannot be written, the status still tells.
    let _ = writeln!(std::io::stderr(), "dormouse: {}", failure.text);
    ExitCode::from(failure.status)
}

/// Writes what was asked for; on a full disk that is a failure.
fn print(text: &str) -> Result<(), Failure> {
    let mut stdout = std::io::stdout();
    match stdout
        .write_all(text.as_bytes())
        .and_then(|()| stdout.flush())
    {
        // A closed pipe is the reader's choice.
        Err(err) if err.kind() != ErrorKind::BrokenPipe => Err(Failure::new(format!(
            "cannot write to standard output: {err}"
        ))),
        _ => Ok(()),
    }
}
