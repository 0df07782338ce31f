//! Several generator processes for one run: each plays an account of its own, and what they
//! collected is added up. For `ws --workers` and each step of `capacity --workers`.
//!
//! The parent starts itself again with the hidden `ws-worker` command, hands each worker its
//! [`Job`] on standard input (so that no token is seen in a process list) and reads what it
//! collected from its standard output.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use serde::{Deserialize, Serialize};

use crate::failure::Failure;
use crate::mode::Mode;
use crate::stop::Stop;
use crate::target::Target;
use crate::token::Token;
use crate::watch::{Live, ServerWatch};
use crate::websocket::{self, Raw};

/// What one worker is to do.
#[derive(Clone, Serialize, Deserialize)]
pub struct Job {
    /// Its number, from 0. The first one watches the server and shows the progress.
    pub number: usize,
    /// The server's base address.
    pub url: String,
    /// Token of the account that is this worker's alone.
    pub token: String,
    /// What it plays: its own share.
    pub mode: Mode,
    /// Length of the whole run as a multiple of its mode's.
    pub time_scale: f64,
    /// Process of the server.
    pub pid: Option<u32>,
    /// Token for the server's `/metrics`, where it is read and wants one.
    pub admin_token: Option<String>,
}

/// Whose the workers are, and how they see the server.
#[derive(Clone, Debug)]
pub struct Crew {
    program: PathBuf,
    tokens: Vec<Token>,
    pid: Option<u32>,
    admin_token: Option<Token>,
}

impl Crew {
    /// So many workers with an account each, of this program.
    ///
    /// # Errors
    /// [`Failure::Usage`]: no workers, or too few tokens.
    pub fn new(
        workers: usize,
        tokens: Vec<Token>,
        pid: Option<u32>,
        admin_token: Option<Token>,
    ) -> Result<Self, Failure> {
        if workers == 0 {
            return Err(Failure::Usage("--workers must be at least 1".to_owned()));
        }
        if tokens.len() < workers {
            return Err(Failure::Usage(format!(
                "{workers} workers need as many tokens, and there are {}",
                tokens.len()
            )));
        }
        let program = std::env::current_exe()
            .map_err(|err| Failure::Incomplete(format!("cannot find this program: {err}")))?;
        let tokens = tokens.into_iter().take(workers).collect();
        Ok(Self {
            program,
            tokens,
            pid,
            admin_token,
        })
    }

    /// How many they are.
    pub fn size(&self) -> usize {
        self.tokens.len()
    }

    /// Plays a mode, with its connections shared out, and adds up what was collected.
    ///
    /// # Errors
    /// Fewer connections than workers, or a worker could not be started or has no result.
    pub async fn play(&self, mode: &Mode, url: &str, stop: Stop) -> Result<Raw, Failure> {
        let peak = mode.stages.peak();
        if peak < self.size() {
            return Err(Failure::Usage(format!(
                "{} workers cannot share {peak} connections; use fewer --workers",
                self.size()
            )));
        }
        let jobs = shares(peak, self.size()).into_iter().zip(&self.tokens);
        let jobs = jobs.enumerate().map(|(number, (share, token))| Job {
            number,
            url: url.to_owned(),
            token: token.expose().to_owned(),
            mode: Mode {
                stages: mode.stages.with_peak(share),
                ..mode.clone()
            },
            time_scale: mode.time_scale,
            pid: self.pid,
            admin_token: self
                .admin_token
                .as_ref()
                .map(|token| token.expose().to_owned()),
        });
        run(&self.program, jobs.collect(), stop).await
    }
}

impl Job {
    /// Does it.
    ///
    /// # Errors
    /// Those of [`websocket::play`], or a job that makes no sense.
    pub async fn run(self, stop: Stop) -> Result<Raw, Failure> {
        let usage = |text: String| Failure::Usage(text);
        let mode = Mode {
            time_scale: self.time_scale,
            ..self.mode
        };
        let target = Target::parse(&self.url).map_err(|err| usage(err.to_string()))?;
        let token = Token::new(&self.token).map_err(|err| usage(err.to_string()))?;
        let admin = self.admin_token.map(|token| Token::new(&token)).transpose();
        let admin = admin.map_err(|err| usage(err.to_string()))?;
        let (server, live) = match self.number {
            0 => (
                ServerWatch::new(&target, self.pid, admin).map_err(usage)?,
                Live::start("worker 0", mode.stages.duration()),
            ),
            _ => (ServerWatch::none(), Live::silent()),
        };
        websocket::play(&mode, target, token, stop, server, live).await
    }
}

/// The connections of each of `workers` processes.
fn shares(connections: usize, workers: usize) -> Vec<usize> {
    let (each, over) = (connections / workers.max(1), connections % workers.max(1));
    (0..workers)
        .map(|number| each + usize::from(number < over))
        .collect()
}

/// Runs the jobs at the same time and adds up what they collected.
///
/// # Errors
/// A worker could not be started or has no result.
async fn run(program: &Path, jobs: Vec<Job>, mut stop: Stop) -> Result<Raw, Failure> {
    let mut pids = Vec::new();
    let mut waits = Vec::new();
    for job in jobs {
        let child = start(program, &job)?;
        pids.push(child.id());
        let number = job.number;
        waits.push(tokio::task::spawn_blocking(move || collect(number, child)));
    }
    let all = futures_util::future::join_all(waits);
    tokio::pin!(all);
    let results = tokio::select! {
        results = &mut all => results,
        () = stop.requested() => {
            interrupt(&pids);
            all.await
        }
    };
    let mut sum: Option<Raw> = None;
    for result in results {
        let raw = result
            .map_err(|err| Failure::Incomplete(format!("a worker's reader failed: {err}")))??;
        match &mut sum {
            Some(sum) => sum.merge(&raw),
            None => sum = Some(raw),
        }
    }
    sum.ok_or_else(|| Failure::Usage("--workers must be at least 1".to_owned()))
}

fn start(program: &Path, job: &Job) -> Result<Child, Failure> {
    let failed = |err: std::io::Error| {
        Failure::Incomplete(format!("cannot start worker {}: {err}", job.number))
    };
    let mut child = Command::new(program)
        .arg("ws-worker")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(match job.number {
            0 => Stdio::inherit(),
            _ => Stdio::piped(),
        })
        .spawn()
        .map_err(failed)?;
    let text = serde_json::to_vec(job).map_err(|err| failed(err.into()))?;
    if let Some(mut stdin) = child.stdin.take() {
        stdin.write_all(&text).map_err(failed)?;
    }
    Ok(child)
}

fn collect(number: usize, child: Child) -> Result<Raw, Failure> {
    let incomplete = |reason: String| Failure::Worker {
        number,
        line: reason,
        code: crate::failure::EXIT_LIMITS_BROKEN,
    };
    let output = child
        .wait_with_output()
        .map_err(|err| incomplete(err.to_string()))?;
    if !output.status.success() {
        let complaint = String::from_utf8_lossy(&output.stderr);
        let line = complaint.lines().last().unwrap_or_default();
        let line = line.trim_start_matches("dormouse-bench: ");
        return Err(Failure::Worker {
            number,
            line: match line {
                "" => format!("ended with {}", output.status),
                line => line.to_owned(),
            },
            code: output
                .status
                .code()
                .and_then(|code| u8::try_from(code).ok())
                .unwrap_or(1),
        });
    }
    serde_json::from_slice(&output.stdout)
        .map_err(|err| incomplete(format!("its result cannot be read: {err}")))
}

/// Asks the workers to end cleanly. They may have been asked by the terminal already.
fn interrupt(pids: &[u32]) {
    #[cfg(unix)]
    for pid in pids {
        let pid = i32::try_from(*pid)
            .ok()
            .and_then(rustix::process::Pid::from_raw);
        if let Some(pid) = pid {
            // Fails only for a worker that has ended.
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::INT);
        }
    }
    #[cfg(not(unix))]
    let _ = pids;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_are_shared_out_without_a_rest() {
        assert_eq!(shares(10, 3), [4, 3, 3]);
        assert_eq!(shares(2, 4), [1, 1, 0, 0]);
        assert_eq!(shares(15_000, 1), [15_000]);
    }
}
