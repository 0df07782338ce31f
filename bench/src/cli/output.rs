//! What becomes of a finished run: the report on the terminal, the files, the exit code.

use std::io::Write as _;

use serde::Serialize;

use super::args::OutputArgs;
use crate::failure::{EXIT_INTERRUPTED, EXIT_LIMITS_BROKEN, EXIT_NOT_VALID, EXIT_PASSED, Failure};
use crate::outcome::Outcome;
use crate::result_file::ResultFile;
use crate::stop::Stop;

/// The places for a result, made sure of before the run.
#[derive(Debug)]
pub struct Output {
    json: Option<ResultFile>,
    html: Option<ResultFile>,
    require_valid: bool,
}

/// What the exit code is made of.
#[derive(Clone, Copy, Debug)]
pub struct Verdict {
    /// Whether everything held.
    pub passed: bool,
    /// Whether it was stopped before its end.
    pub interrupted: bool,
    /// Whether the generator kept up.
    pub valid: bool,
}

impl Verdict {
    /// That of a finished run.
    pub fn of(outcome: &Outcome) -> Self {
        Self {
            passed: outcome.passed,
            interrupted: outcome.interrupted,
            valid: outcome.conditions.validity.valid,
        }
    }
}

impl Output {
    /// Makes sure that the files can be written.
    ///
    /// # Errors
    /// [`Failure::ResultFile`].
    pub fn prepare(args: &OutputArgs) -> Result<Self, Failure> {
        let prepare = |path: &std::path::PathBuf| ResultFile::prepare(path);
        Ok(Self {
            json: args.out.as_ref().map(prepare).transpose()?,
            html: args.out_html.as_ref().map(prepare).transpose()?,
            require_valid: args.require_valid,
        })
    }

    /// Prints the report, writes the files and says how to exit.
    ///
    /// # Errors
    /// [`Failure::ResultFile`].
    pub fn finish<T: Serialize>(
        self,
        scenario: &str,
        outcome: &T,
        report: &str,
        verdict: Verdict,
    ) -> Result<u8, Failure> {
        say(report);
        if let Some(file) = self.json {
            file.write(scenario, outcome)?;
        }
        if let Some(file) = self.html {
            file.write_page(scenario, outcome)?;
        }
        Ok(match verdict {
            Verdict {
                interrupted: true, ..
            } => EXIT_INTERRUPTED,
            Verdict { passed: false, .. } => EXIT_LIMITS_BROKEN,
            Verdict { valid: false, .. } if self.require_valid => EXIT_NOT_VALID,
            Verdict { .. } => EXIT_PASSED,
        })
    }
}

/// Prints. A reader that went away (`| head`) must not cost the result file.
pub fn say(text: &str) {
    let mut stdout = std::io::stdout().lock();
    let _ = stdout
        .write_all(text.as_bytes())
        .and_then(|()| stdout.flush());
}

/// The runtime that scenarios run on.
///
/// # Errors
/// The system gives no threads.
pub fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build();
    runtime.map_err(|err| Failure::Incomplete(format!("cannot start the runtime: {err}")))
}

/// Runs a trial to its end, or until a signal: half a trial is no result, but the server that it
/// started must end with it.
///
/// # Errors
/// [`Failure::Interrupted`], or what the trial says.
pub fn run_trial<T>(trial: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    runtime()?.block_on(async {
        let mut stop = stop_on_signal();
        tokio::select! {
            result = trial => result,
            () = stop.requested() => Err(Failure::Interrupted),
        }
    })
}

/// A stop that Ctrl-C and, on Unix, SIGTERM request. To be called on the runtime.
pub fn stop_on_signal() -> Stop {
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
