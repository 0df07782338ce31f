//! The command line: subcommands, flags, environment, and what each of them starts.
//!
//! Called by `main` alone. Reads arguments and files, prints reports, writes results; measures
//! nothing itself.

mod all;
mod args;
mod baseline;
mod capacity;
#[cfg(target_os = "linux")]
mod faults;
#[cfg(target_os = "linux")]
mod footprint;
#[cfg(target_os = "linux")]
mod hostile;
mod load;
mod output;
mod performance;
mod pubsub;
mod report;
mod script;
#[cfg(target_os = "linux")]
mod soak;
mod websocket;

use std::path::PathBuf;

use clap::{Parser, Subcommand};

#[cfg(target_os = "linux")]
use crate::failure::EXIT_PASSED;
use crate::failure::Failure;
use websocket::{Chosen, WebSocketArgs};

/// Load tests and measurements of a WebSocket connection server.
///
/// Exit codes: 0 passed; 1 a threshold was broken, messages do not add up, or the run could not be
/// finished; 2 usage; 3 server unreachable; 4 token or connection refused; 5 endpoint missing;
/// 6 too few file descriptors; 7 result not writable; 8 the generator fell behind
/// (--require-valid); 130 interrupted.
#[derive(Debug, Parser)]
#[command(name = "dormouse-bench", version)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Quick functional check: the same as `ws --mode smoke`.
    Smoke(Box<WebSocketArgs>),
    /// Play the clients of one account and account for every message.
    Ws {
        /// Test mode: smoke, scale, sustained, stress, extreme, spike-extreme or reconnect.
        #[arg(long, env = "TEST_MODE", default_value = "smoke")]
        mode: String,
        /// A mode of your own, described in TOML; replaces --mode.
        #[arg(long, value_name = "FILE")]
        mode_file: Option<PathBuf>,
        #[command(flatten)]
        args: Box<WebSocketArgs>,
    },
    /// One generator process of `ws --workers`.
    #[command(hide = true)]
    WsWorker,
    /// Send weighted mixes of HTTP requests as many virtual users.
    Http(Box<script::HttpArgs>),
    /// Update call states through HTTP.
    Calls(Box<script::EventArgs>),
    /// Query the reporting endpoints.
    Reporting(Box<script::EventArgs>),
    /// Publish events to subscribers and account for every delivery.
    Pubsub(Box<pubsub::PubsubArgs>),
    /// Exchange events between many connections: load <url> <connections> <event_rate> <duration>
    /// <warmup>.
    Load(Box<load::LoadArgs>),
    /// Look for a memory leak in the server: leak <url> <minutes> <sampling_s> <activity>.
    Leak(Box<load::LeakArgs>),
    /// Raise the load of one account until a tier's promise breaks.
    Capacity(Box<capacity::CapacityArgs>),
    /// Run every mode after the other and end with one table.
    All(Box<all::AllArgs>),
    /// Fill the figures of the performance document from kept results.
    Performance(performance::PerformanceArgs),
    /// Keep results, and hold new ones against them.
    #[command(subcommand)]
    Baseline(baseline::BaselineCommand),
    /// Make the HTML page of a result file.
    Report(report::ReportArgs),
    /// Measure what connections and deliveries cost a server on this machine, beside the least
    /// that they could cost.
    #[cfg(target_os = "linux")]
    Footprint(Box<footprint::FootprintArgs>),
    /// Attack a server of the bench's own, and measure what others feel of it.
    #[cfg(target_os = "linux")]
    Hostile(Box<hostile::HostileArgs>),
    /// Kill a server of the bench's own, take its disk, its files and its clock away, and see what
    /// it keeps.
    #[cfg(target_os = "linux")]
    Faults(Box<faults::FaultsArgs>),
    /// Half an hour of mixed traffic, a million connections, and whether the server's memory grew.
    #[cfg(target_os = "linux")]
    Soak(Box<soak::SoakArgs>),
    /// The least: a bare epoll loop that `footprint` measures the server against.
    #[cfg(target_os = "linux")]
    #[command(hide = true)]
    FloorServer {
        /// Ping each connection every 30 s, as servers do.
        #[arg(long)]
        pings: bool,
    },
}

impl Cli {
    /// Does what the command line says and returns the exit code.
    ///
    /// # Errors
    /// There is no result; the failure knows its exit code.
    pub fn run(self) -> Result<u8, Failure> {
        match self.command {
            Command::Smoke(args) => websocket::run(&Chosen::Named("smoke".to_owned()), *args),
            Command::Ws {
                mode_file: Some(path),
                args,
                ..
            } => websocket::run(&Chosen::File(path), *args),
            Command::Ws {
                mode,
                mode_file: None,
                args,
            } => websocket::run(&Chosen::Named(mode), *args),
            Command::WsWorker => websocket::worker(),
            Command::Http(args) => script::http(*args),
            Command::Calls(args) => script::events("calls", *args),
            Command::Reporting(args) => script::events("reporting", *args),
            Command::Pubsub(args) => pubsub::run(*args),
            Command::Load(args) => load::load(*args),
            Command::Leak(args) => load::leak(*args),
            Command::Capacity(args) => capacity::run(*args),
            Command::All(args) => all::run(*args),
            Command::Performance(args) => performance::run(&args),
            Command::Baseline(command) => baseline::run(&command),
            Command::Report(args) => report::run(&args),
            #[cfg(target_os = "linux")]
            Command::Footprint(args) => footprint::run(*args),
            #[cfg(target_os = "linux")]
            Command::Hostile(args) => hostile::run(*args),
            #[cfg(target_os = "linux")]
            Command::Faults(args) => faults::run(*args),
            #[cfg(target_os = "linux")]
            Command::Soak(args) => soak::run(*args),
            #[cfg(target_os = "linux")]
            Command::FloorServer { pings } => crate::footprint::floor_server::serve(pings)
                .map(|()| EXIT_PASSED)
                .map_err(|err| Failure::Incomplete(format!("the floor server: {err}"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn the_command_line_makes_sense() {
        Cli::command().debug_assert();
    }

    #[test]
    fn the_forms_of_the_documents_are_taken() {
        for line in [
            "ws --mode spikeExtreme",
            "http --scenario full-api --vus 200 --duration 5m",
            "load http://localhost:3000 50 100 30 5",
            "load",
            "leak http://localhost:3000 60 10 10",
            "leak",
            "pubsub --url http://localhost:3001 --ws-url ws://localhost:3001",
            "pubsub --subscribers 200 --publishers 64 --steps 500,1000 --duration 30s",
            "capacity --raise messages --tier pro --levels 100,200",
            "baseline save result.json",
            "baseline compare result.json --buffer 1.1",
            "all --quick",
            "hostile --server target/release/dormouse --attack storm,slow-readers --short",
            "faults --server target/release/dormouse --fault kills --kills 50",
            "soak --server target/release/dormouse --duration 2m --cycles 10000",
        ] {
            let words = std::iter::once("dormouse-bench").chain(line.split_whitespace());
            assert!(Cli::try_parse_from(words).is_ok(), "{line}");
        }
    }

    #[test]
    fn everything_that_all_runs_can_be_parsed() {
        for quick in [true, false] {
            for run in all::command_lines("http://h:1", quick) {
                let words = std::iter::once("dormouse-bench".to_owned()).chain(run.clone());
                if let Err(err) = Cli::try_parse_from(words) {
                    panic!("{run:?}: {err}");
                }
            }
        }
    }
}
