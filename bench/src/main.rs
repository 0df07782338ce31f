//! The `dormouse-bench` program: reads the command line, runs it, turns failures into one line and
//! an exit code.

use std::process::ExitCode;

use clap::Parser as _;
use dormouse_bench::cli::Cli;

fn main() -> ExitCode {
    match Cli::parse().run() {
        Ok(code) => ExitCode::from(code),
        Err(failure) => {
            eprintln!("dormouse-bench: {failure}");
            ExitCode::from(failure.exit_code())
        }
    }
}
