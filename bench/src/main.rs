//! The `dormouse-bench` program: reads the command line, runs it, turns failures into one line and
//! an exit code.

use std::process::ExitCode;

use clap::Parser as _;
use clap::error::ErrorKind;
use dormouse_bench::cli::Cli;

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(err) => return refused(&err),
    };
    match cli.run() {
        Ok(code) => ExitCode::from(code),
        Err(failure) => {
            eprintln!("dormouse-bench: {failure}");
            ExitCode::from(failure.exit_code())
        }
    }
}

/// Shows help or version, or says in one line what is wrong with the command line.
fn refused(err: &clap::Error) -> ExitCode {
    let whole =
        !err.use_stderr() || err.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand;
    if whole {
        // A reader that went away has seen enough.
        let _ = err.print();
    } else {
        let text = err.to_string();
        let lines = text.lines().map(str::trim);
        let said = lines
            .take_while(|line| !line.starts_with("Usage:") && !line.starts_with("For more"))
            .filter(|line| !line.is_empty());
        let said = said.collect::<Vec<_>>().join(" ");
        let said = said.trim_start_matches("error: ");
        eprintln!("dormouse-bench: {said}; see --help");
    }
    ExitCode::from(if err.use_stderr() { 2 } else { 0 })
}
