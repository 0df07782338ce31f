//! The `baseline` commands.

use std::path::PathBuf;

use clap::Subcommand;

use super::output::say;
use crate::baseline::{self, BUFFER};
use crate::document::ResultDocument;
use crate::failure::{EXIT_LIMITS_BROKEN, EXIT_PASSED, Failure};
use crate::result_file::ResultFile;

/// What is done with baselines.
#[derive(Debug, Subcommand)]
pub enum BaselineCommand {
    /// Keep results as baselines: <DIR>/<day>-<machine>/<scenario>.json.
    Save {
        /// Results that this program wrote with --out.
        #[arg(required = true)]
        results: Vec<PathBuf>,
        /// Where baselines are kept.
        #[arg(long, default_value = "bench/results")]
        dir: PathBuf,
        /// Name of the machine; its number of processors if absent.
        #[arg(long)]
        machine: Option<String>,
    },
    /// Hold a result against its baseline; exits with 1 on a regression.
    Compare {
        /// Result that this program wrote with --out.
        result: PathBuf,
        /// Where baselines are kept; the newest of the same scenario and machine is taken.
        #[arg(long, default_value = "bench/results")]
        dir: PathBuf,
        /// This result as the baseline instead.
        #[arg(long, value_name = "FILE")]
        baseline: Option<PathBuf>,
        /// How many times its baseline a number may be.
        #[arg(long, default_value_t = BUFFER)]
        buffer: f64,
    },
}

/// Does it.
///
/// # Errors
/// A result cannot be read, is no baseline, has none, or cannot be written.
pub fn run(command: &BaselineCommand) -> Result<u8, Failure> {
    match command {
        BaselineCommand::Save {
            results,
            dir,
            machine,
        } => {
            for path in results {
                let result = ResultDocument::read(path)?;
                let label = baseline::machine_label(&result.machine);
                let machine = machine.as_ref().unwrap_or(&label);
                let place = baseline::place(dir, machine, &result)?;
                let folder = place.parent().unwrap_or(dir);
                std::fs::create_dir_all(folder).map_err(|err| Failure::ResultFile {
                    path: folder.display().to_string(),
                    reason: err.to_string(),
                })?;
                let text = std::fs::read_to_string(path).map_err(|err| {
                    Failure::Usage(format!("cannot read {}: {err}", path.display()))
                })?;
                ResultFile::prepare(&place)?.write_text(&text)?;
                let passed = result.passed.unwrap_or(true);
                baseline::add_to_history(dir, machine, &result, passed)?;
                say(&format!("kept {}\n", place.display()));
            }
            Ok(EXIT_PASSED)
        }
        BaselineCommand::Compare {
            result,
            dir,
            baseline,
            buffer,
        } => {
            if !(buffer.is_finite() && *buffer >= 1.0) {
                return Err(Failure::Usage(
                    "--buffer must be 1 or more, such as 1.2".to_owned(),
                ));
            }
            let now = ResultDocument::read(result)?;
            let before = match baseline {
                Some(path) => ResultDocument::read(path)?,
                None => baseline::newest(dir, &now)?,
            };
            if before.scenario != now.scenario {
                return Err(Failure::Usage(format!(
                    "the baseline is one of {} and the result one of {}; compare the same scenario",
                    before.scenario, now.scenario
                )));
            }
            let comparison = baseline::compare(&before, &now, *buffer);
            let passed = !comparison.regressed() && now.passed != Some(false);
            say(&format!(
                "{} of {} against {}\n\n{}\n",
                now.scenario,
                now.started_at,
                before.started_at,
                comparison.table()
            ));
            let (clients, more) = (before.peak().min(now.peak()), before.peak().max(now.peak()));
            if more > clients + clients / 10 {
                say(&format!(
                    "the two runs differ in clients: {} and {}\n",
                    before.peak(),
                    now.peak()
                ));
            }
            if before.time_scale != now.time_scale {
                say("the two runs differ in length\n");
            }
            if !now.valid() {
                say("NOT VALID: the generator of the new result fell behind\n");
            }
            if dir.is_dir() {
                let machine = baseline::machine_label(&now.machine);
                baseline::add_to_history(dir, &machine, &now, passed)?;
            }
            say(match (comparison.regressed(), passed) {
                (true, _) => "FAILED: a metric is worse than its baseline allows\n",
                (false, false) => "FAILED: no regression, but the result itself failed\n",
                (false, true) => "PASSED\n",
            });
            Ok(if passed {
                EXIT_PASSED
            } else {
                EXIT_LIMITS_BROKEN
            })
        }
    }
}
