//! The built binary, as a child process that is judged from outside.

use std::io::{BufRead as _, BufReader, Read};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};

use rustix::process::{Pid, Signal, kill_process};
use tokio::sync::{mpsc, oneshot};

use super::within;

/// The program.
pub const PROGRAM: &str = env!("CARGO_BIN_EXE_dormouse");

/// The program with an empty environment, in a folder.
pub fn dormouse(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(PROGRAM);
    command.current_dir(folder).env_clear().args(arguments);
    command
}

/// What a command that ends by itself said.
#[derive(Debug)]
pub struct Ended {
    /// Its exit status.
    pub status: Option<i32>,
    /// Its standard output.
    pub stdout: String,
    /// Its standard error.
    pub stderr: String,
}

/// Runs a command to its end.
pub async fn run(mut command: Command) -> Ended {
    let mut process = Dormouse::spawn(&mut command);
    let status = process.ended().await;
    Ended {
        status: status.code(),
        stdout: process.rest_of_stdout().await,
        stderr: process.stderr(),
    }
}

/// Runs `dormouse` with these arguments to its end.
pub async fn run_dormouse(folder: &Path, arguments: &[&str]) -> Ended {
    run(dormouse(folder, arguments)).await
}

/// A token as `dormouse token` makes it in this folder.
pub async fn token(folder: &Path, arguments: &[&str]) -> String {
    let ended = run_dormouse(folder, &[&["token"], arguments].concat()).await;
    assert_eq!(ended.status, Some(0), "{ended:?}");
    ended.stdout.trim_end().to_owned()
}

/// A running process; killed when dropped. It must never have panicked.
pub struct Dormouse {
    pid: Pid,
    ended: oneshot::Receiver<ExitStatus>,
    status: Option<ExitStatus>,
    stdout: mpsc::UnboundedReceiver<String>,
    stderr: Arc<Mutex<String>>,
    /// Where it listens, in the order of its output.
    pub addresses: Vec<SocketAddr>,
}

impl Dormouse {
    /// Starts a command without waiting for anything.
    pub fn spawn(command: &mut Command) -> Self {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let pid = Pid::from_child(&child);
        let (lines, stdout) = mpsc::unbounded_channel();
        let out = BufReader::new(child.stdout.take().unwrap());
        let out = std::thread::spawn(move || {
            for line in out.lines() {
                let _ = lines.send(line.unwrap());
            }
        });
        let stderr = Arc::<Mutex<String>>::default();
        let err = {
            let stderr = stderr.clone();
            let mut pipe = child.stderr.take().unwrap();
            std::thread::spawn(move || {
                let mut chunk = [0; 4096];
                while let Ok(count @ 1..) = pipe.read(&mut chunk) {
                    let text = String::from_utf8_lossy(&chunk[..count]);
                    stderr.lock().unwrap().push_str(&text);
                }
            })
        };
        let (end, ended) = oneshot::channel();
        std::thread::spawn(move || {
            let status = child.wait().unwrap();
            // All that it said is there before its end is told.
            out.join().unwrap();
            err.join().unwrap();
            let _ = end.send(status);
        });
        Self {
            pid,
            ended,
            status: None,
            stdout,
            stderr,
            addresses: Vec::new(),
        }
    }

    /// Starts `dormouse` on a free port of the loopback and waits until it listens.
    pub async fn serve(folder: &Path, arguments: &[&str]) -> Self {
        let mut command = dormouse(folder, &["--listen", "127.0.0.1:0"]);
        command.args(arguments);
        Self::serve_command(command, 1).await
    }

    /// Starts a command that serves and waits until it listens on so many addresses.
    pub async fn serve_command(mut command: Command, addresses: usize) -> Self {
        let mut process = Self::spawn(&mut command);
        while process.addresses.len() < addresses {
            let line = process.line().await.unwrap_or_else(|| {
                panic!("it does not serve: {}", process.stderr());
            });
            if let Some(rest) = line.strip_prefix("listening on http://") {
                let address = rest.split(' ').next().unwrap();
                process.addresses.push(address.parse().unwrap());
            }
        }
        process
    }

    /// The first address.
    pub fn address(&self) -> SocketAddr {
        self.addresses[0]
    }

    /// The next line of standard output; `None` at its end.
    pub async fn line(&mut self) -> Option<String> {
        within("a line of output", self.stdout.recv()).await
    }

    /// Standard output to its end.
    pub async fn rest_of_stdout(&mut self) -> String {
        let mut text = String::new();
        while let Some(line) = self.line().await {
            text.push_str(&line);
            text.push('\n');
        }
        text
    }

    /// Standard error so far.
    pub fn stderr(&self) -> String {
        self.stderr.lock().unwrap().clone()
    }

    /// The process id.
    pub fn pid(&self) -> Pid {
        self.pid
    }

    /// Open descriptors.
    pub fn descriptors(&self) -> usize {
        let folder = format!("/proc/{}/fd", self.pid.as_raw_nonzero());
        std::fs::read_dir(folder)
            .unwrap()
            .flatten()
            .filter_map(|file| std::fs::read_link(file.path()).ok())
            // Its readers open the database when there is something to read, whoever is connected.
            .filter(|link| !link.to_string_lossy().contains("/dormouse.db"))
            .count()
    }

    /// Whether a process has the end of a connection to the first address open. Those that were
    /// reset have left this list.
    pub fn has_connections(&self) -> bool {
        let port = format!(":{:04X}", self.address().port());
        let table = format!("/proc/{}/net/tcp", self.pid.as_raw_nonzero());
        let table = std::fs::read_to_string(table).unwrap();
        table.lines().skip(1).any(|line| {
            let fields: Vec<&str> = line.split_whitespace().collect();
            let is_listening = fields[3] == "0A";
            // What has no inode has been closed by its process.
            fields[1].ends_with(&port) && !is_listening && fields[9] != "0"
        })
    }

    /// Sends a signal.
    pub fn signal(&self, signal: Signal) {
        kill_process(self.pid, signal).unwrap();
    }

    /// Waits for the end.
    pub async fn ended(&mut self) -> ExitStatus {
        if let Some(status) = self.status {
            return status;
        }
        let status = within("the end of the process", &mut self.ended).await;
        *self.status.insert(status.unwrap())
    }

    /// Asks it to stop, and waits for its end.
    pub async fn stop(&mut self) -> ExitStatus {
        self.signal(Signal::TERM);
        self.ended().await
    }

    /// Kills it without warning, and waits for its end.
    pub async fn kill(&mut self) {
        self.signal(Signal::KILL);
        self.ended().await;
    }
}

impl Drop for Dormouse {
    fn drop(&mut self) {
        if self.status.is_none() && self.ended.try_recv().is_err() {
            // It has not been waited for, so its id is still its own.
            let _ = kill_process(self.pid, Signal::KILL);
        }
        let stderr = self.stderr();
        if std::thread::panicking() {
            eprintln!("{stderr}");
        } else {
            assert!(!stderr.contains("panicked"), "{stderr}");
        }
    }
}
