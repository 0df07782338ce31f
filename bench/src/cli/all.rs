//! The `all` command: every mode after the other, and one table at the end.
//!
//! Each mode is a run of this program of its own: one that cannot be run does not keep the others
//! from it, and what it opened is gone when the next begins.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use clap::Args;

use super::args::{ServerArgs, TokenArgs, judged};
use super::output::{runtime, say, stop_on_signal};
use super::script::KeyArgs;
use crate::document::ResultDocument;
use crate::failure::{EXIT_INTERRUPTED, EXIT_LIMITS_BROKEN, EXIT_PASSED, Failure};
use crate::mode;
use crate::script;
use crate::stats::Statistic;
use crate::table::{Table, format_micros, mark};

/// Longest part of a run's last line that the table shows.
const LONGEST_WORDS: usize = 90;

/// Flags of everything.
#[derive(Debug, Args)]
pub struct AllArgs {
    #[command(flatten)]
    server: ServerArgs,
    #[command(flatten)]
    token: TokenArgs,
    #[command(flatten)]
    key: KeyArgs,
    /// Each mode in a few seconds: is everything there, and does it add up?
    #[arg(long)]
    quick: bool,
    /// Process id of the server on this machine.
    #[arg(long)]
    pid: Option<u32>,
    /// Write every result into this folder.
    #[arg(long, value_name = "DIR")]
    out_dir: Option<PathBuf>,
}

/// A mode and how it is run.
struct Run {
    name: String,
    args: Vec<String>,
    /// Whether it takes an account's token, which then is in its environment.
    token: bool,
}

/// Runs everything.
///
/// # Errors
/// A flag makes no sense, or the folder cannot be written.
pub fn run(args: AllArgs) -> Result<u8, Failure> {
    let target = judged("--url", args.server.url)?;
    let token = args.token.judged()?;
    let key = args.key.clone().judged()?;
    let program = std::env::current_exe()
        .map_err(|err| Failure::Incomplete(format!("cannot find this program: {err}")))?;
    let scratch = tempfile::tempdir()
        .map_err(|err| Failure::Incomplete(format!("cannot make a folder: {err}")))?;
    let folder = args.out_dir.as_deref().unwrap_or(scratch.path());
    std::fs::create_dir_all(folder).map_err(|err| Failure::ResultFile {
        path: folder.display().to_string(),
        reason: err.to_string(),
    })?;
    // With its handler in place, Ctrl-C ends the run under way and not this program, which still
    // has a table to print.
    let runtime = runtime()?;
    let _stop = runtime.block_on(async { stop_on_signal() });
    let mut table = Table::new(["  mode", "exit", "clients", "p50", "p95", "p99", "said"]);
    let mut worst = EXIT_PASSED;
    let mut codes = BTreeSet::new();
    for run in runs(target.shown(), args.quick) {
        let out = folder.join(format!("{}.json", run.name));
        let mut command = Command::new(&program);
        command
            .args(&run.args)
            .args(["--out".as_ref(), out.as_os_str()]);
        if let Some(pid) = args.pid {
            command.args(["--pid", &pid.to_string()]);
        }
        for (name, value) in [
            ("AUTH_TOKEN", run.token.then(|| token.expose())),
            ("API_KEY", key.api_key.as_ref().map(|key| key.expose())),
            ("TENANT_ID", key.tenant.as_deref()),
        ] {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        say(&format!("{} …\n", run.name));
        let output = command
            .stdin(Stdio::null())
            .stderr(Stdio::piped())
            .output()
            .map_err(|err| Failure::Incomplete(format!("cannot start {}: {err}", run.name)))?;
        let code = output
            .status
            .code()
            .and_then(|code| u8::try_from(code).ok());
        let code = code.unwrap_or(EXIT_INTERRUPTED);
        table.row(row(&run.name, code, &out, &output.stdout, &output.stderr));
        if code == EXIT_INTERRUPTED {
            worst = EXIT_INTERRUPTED;
            break;
        }
        codes.insert(code);
        if code != EXIT_PASSED {
            worst = EXIT_LIMITS_BROKEN;
        }
    }
    // Where all ended for one reason, that is the reason.
    if let (1, Some(only)) = (codes.len(), codes.first()) {
        worst = *only;
    }
    say(&format!("\n{}", table.render()));
    if args.quick {
        say("quick: shortened runs show that everything works, not how fast it is\n");
    }
    Ok(worst)
}

/// Every mode, in an order in which what fails early tells why the rest does.
fn runs(url: &str, quick: bool) -> Vec<Run> {
    let run = |name: String, args: &[&str], token| Run {
        name,
        args: args.iter().map(|arg| (*arg).to_owned()).collect(),
        token,
    };
    let mut all = Vec::new();
    for mode in mode::names() {
        let mut args = vec!["ws", "--mode", mode, "--url", url];
        if quick {
            args.extend(["--connections", "20", "--duration", "3s"]);
        }
        all.push(run(mode.to_owned(), &args, true));
    }
    let profiles: Vec<String> = match quick {
        true => vec!["smoke".to_owned()],
        false => script::profile_names(),
    };
    for scenario in script::names() {
        for profile in &profiles {
            let mut args = vec![
                "http",
                "--scenario",
                scenario,
                "--profile",
                profile,
                "--url",
                url,
            ];
            if quick {
                // Enough turns for each of the script's endpoints.
                args.extend(["--vus", "10", "--time-scale", "0.2"]);
            }
            all.push(run(format!("http-{scenario}-{profile}"), &args, true));
        }
    }
    for scenario in ["calls", "reporting"] {
        let mut args = vec![scenario, "--url", url];
        if quick {
            args.extend(["--vus", "5", "--duration", "3s"]);
        }
        all.push(run(scenario.to_owned(), &args, false));
    }
    let mut args = vec!["pubsub", "--url", url];
    if quick {
        args.extend([
            "--subscribers",
            "10",
            "--messages-per-second",
            "50",
            "--duration",
            "3s",
        ]);
    }
    all.push(run("pubsub".to_owned(), &args, false));
    for transport in ["websocket", "socketio-sync", "socketio"] {
        let token = transport != "socketio";
        let load = match quick {
            true => ["load", url, "10", "50", "3", "1", "--transport", transport],
            false => [
                "load",
                url,
                "50",
                "100",
                "30",
                "5",
                "--transport",
                transport,
            ],
        };
        all.push(run(format!("load-{transport}"), &load, token));
        let leak = match quick {
            true => ["leak", url, "5", "0.5", "600", "--transport", transport],
            false => ["leak", url, "5", "5", "10", "--transport", transport],
        };
        let mut leak = leak.to_vec();
        if quick {
            leak.extend(["--time-scale", "0.02"]);
        }
        all.push(run(format!("leak-{transport}"), &leak, token));
    }
    let mut args = vec!["capacity", "--url", url];
    if quick {
        args.extend(["--tier", "free", "--levels", "10,20", "--time-scale", "0.1"]);
    }
    all.push(run("capacity".to_owned(), &args, true));
    all
}

/// The arguments of every run.
#[cfg(test)]
pub fn command_lines(url: &str, quick: bool) -> Vec<Vec<String>> {
    runs(url, quick).into_iter().map(|run| run.args).collect()
}

fn row(name: &str, code: u8, out: &Path, stdout: &[u8], stderr: &[u8]) -> Vec<String> {
    let result = ResultDocument::read(out).ok();
    let latencies = [
        "ws_message_latency",
        "http_req_duration",
        "message_latency",
        "event_latency",
    ];
    let time = |statistic| {
        let result = result.as_ref()?;
        latencies
            .into_iter()
            .find_map(|metric| result.statistic(metric, statistic))
            .map(format_micros)
    };
    let time = |statistic| time(statistic).unwrap_or_else(|| "-".to_owned());
    // A failure is the last line on standard error, a verdict the last of the report.
    let last = |bytes: &[u8]| {
        let text = String::from_utf8_lossy(bytes);
        text.lines()
            .last()
            .unwrap_or_default()
            .trim_start_matches("dormouse-bench: ")
            .to_owned()
    };
    let mut said = match &result {
        Some(_) => last(stdout),
        None => last(stderr),
    };
    // One long line must not make the table of them all as wide.
    if said.chars().count() > LONGEST_WORDS {
        said = said.chars().take(LONGEST_WORDS - 1).chain(['…']).collect();
    }
    if result.as_ref().is_some_and(|result| !result.valid()) {
        said.push_str(" (not valid: the generator fell behind)");
    }
    vec![
        format!("{} {name}", mark(code == EXIT_PASSED)),
        code.to_string(),
        result
            .as_ref()
            .map_or_else(|| "-".to_owned(), |result| result.peak().to_string()),
        time(Statistic::P50),
        time(Statistic::P95),
        time(Statistic::P99),
        said,
    ]
}
