//! The server of a trial: its process, its files, its tokens.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read as _};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::time::Duration;

use jsonwebtoken::{Algorithm, EncodingKey, Header};
use rustix::process::{Pid, Signal, kill_process};

use super::{broken, eventually};
use crate::failure::Failure;
use crate::procfs;
use crate::target::Target;
use crate::token::Token;

/// How long the server may take to listen, and to end.
const PATIENCE: Duration = Duration::from_secs(60);
/// Key of the issuer whose tokens this program makes itself: ten thousand users need as many.
const ISSUER_KEY: &str = "a key of the trials alone, never to be used elsewhere";
/// Most bytes of the server's log that are kept.
const LOG: usize = 1 << 20;
/// In the path of every file of the database.
const DATABASE: &str = "/dormouse.db";

/// How a server is started.
#[derive(Clone, Debug)]
pub struct Launch {
    program: PathBuf,
    data: PathBuf,
    settings: Vec<String>,
    /// A shell line that ends in `exec "$@"`, if the server is started by one.
    pub line: Option<String>,
    /// Its environment.
    pub environment: Vec<(String, String)>,
}

impl Launch {
    /// The program, which keeps its data in this folder between starts.
    pub fn new(program: &Path, data: &Path) -> Self {
        Self {
            program: program.to_owned(),
            data: data.to_owned(),
            settings: Vec::new(),
            line: None,
            environment: Vec::new(),
        }
    }

    /// Adds a setting.
    #[must_use]
    pub fn set(mut self, key: &str, value: &str) -> Self {
        self.settings.push(format!("{key}={value}"));
        self
    }

    /// The folder of its data.
    pub fn data(&self) -> &Path {
        &self.data
    }

    fn command(&self) -> Command {
        let mut command = match &self.line {
            Some(line) => {
                let mut command = Command::new("sh");
                command
                    .args(["-c", line])
                    .arg(&self.data)
                    .arg(&self.program);
                command
            }
            None => Command::new(&self.program),
        };
        command
            .env_clear()
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .envs(self.environment.iter().map(|(name, value)| (name, value)));
        command
    }

    /// Starts it and waits until it listens.
    ///
    /// # Errors
    /// It cannot be started, or ends at once.
    pub async fn start(&self) -> Result<TrialServer, Failure> {
        let config = self.data.with_extension("toml");
        let issuer = format!(
            "[[auth.issuers]]\nname = \"trial\"\nalgorithm = \"HS256\"\nsecret = \"{ISSUER_KEY}\"\n"
        );
        std::fs::write(&config, issuer).map_err(|err| broken("the server's settings", err))?;
        let mut command = self.command();
        command
            .arg("--config")
            .arg(&config)
            .args(["--listen", "127.0.0.1:0", "--data-dir"])
            .arg(&self.data);
        for setting in &self.settings {
            command.args(["--set", setting]);
        }
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|err| {
                let program = self.program.display();
                Failure::Usage(format!(
                    "cannot start {program}: {err}; name it with --server"
                ))
            })?;
        let log = Arc::<Mutex<String>>::default();
        let (lines, listening) = mpsc::channel();
        if let Some(stdout) = child.stdout.take() {
            std::thread::spawn(move || {
                for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                    if let Some(rest) = line.strip_prefix("listening on http://") {
                        let address = rest.split(' ').next().and_then(|text| text.parse().ok());
                        // Nobody listens once the first has come.
                        let _ = lines.send(address);
                    }
                }
            });
        }
        let told = child.stderr.take().map(|mut stderr| {
            let log = log.clone();
            std::thread::spawn(move || {
                let mut chunk = [0; 4096];
                while let Ok(count @ 1..) = stderr.read(&mut chunk) {
                    let mut log = log.lock().unwrap_or_else(PoisonError::into_inner);
                    if log.len() < LOG {
                        log.push_str(&String::from_utf8_lossy(
                            chunk.get(..count).unwrap_or_default(),
                        ));
                    }
                }
            })
        });
        let address =
            tokio::task::spawn_blocking(move || listening.recv_timeout(PATIENCE).ok().flatten());
        let mut server = TrialServer {
            child,
            address: SocketAddr::from(([127, 0, 0, 1], 0)),
            target: Target::parse("http://127.0.0.1").map_err(|err| broken("the address", err))?,
            log,
        };
        let Some(address): Option<SocketAddr> = address.await.ok().flatten() else {
            server.kill().await?;
            // Its last words end with it.
            if let Some(told) = told {
                let _ = tokio::task::spawn_blocking(move || told.join()).await;
            }
            let log = server.log();
            let last = log.lines().last().unwrap_or("it says nothing").to_owned();
            return Err(broken("the server does not serve", last));
        };
        server.address = address;
        server.target = Target::parse(&format!("http://{address}"))
            .map_err(|err| broken("the address", err))?;
        Ok(server)
    }

    /// An admin's token, made by the program itself.
    ///
    /// # Errors
    /// It cannot be made.
    pub fn admin_token(&self) -> Result<Token, Failure> {
        let output = Command::new(&self.program)
            .env_clear()
            .args(["token", "--user", "root", "--admin", "--data-dir"])
            .arg(&self.data)
            .output()
            .map_err(|err| {
                let program = self.program.display();
                Failure::Usage(format!(
                    "cannot start {program}: {err}; name it with --server"
                ))
            })?;
        let text = String::from_utf8_lossy(&output.stdout);
        Token::new(&text).map_err(|err| {
            broken(
                "an admin's token",
                format!("{err}; {}", String::from_utf8_lossy(&output.stderr)),
            )
        })
    }

    /// A token of a user; of a tier, if one is named.
    ///
    /// # Errors
    /// It cannot be signed.
    pub fn user_token(user: &str, tier: Option<&str>) -> Result<Token, Failure> {
        // Far away, and the same for all: runs do not depend on clocks.
        let mut claims = serde_json::json!({ "sub": user, "exp": 4_000_000_000_u64 });
        if let Some(tier) = tier
            && let Some(claims) = claims.as_object_mut()
        {
            claims.insert("tier".to_owned(), tier.into());
        }
        let key = EncodingKey::from_secret(ISSUER_KEY.as_bytes());
        let text = jsonwebtoken::encode(&Header::new(Algorithm::HS256), &claims, &key)
            .map_err(|err| broken("a token", err))?;
        Token::new(&text).map_err(|err| broken("a token", err))
    }
}

/// A server that runs. Killed when dropped.
#[derive(Debug)]
pub struct TrialServer {
    child: Child,
    /// Where it listens.
    pub address: SocketAddr,
    /// The same as a base address.
    pub target: Target,
    log: Arc<Mutex<String>>,
}

impl TrialServer {
    /// The process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// What it wrote to its log so far.
    pub fn log(&self) -> String {
        self.log
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Resident bytes.
    pub fn memory(&self) -> Option<u64> {
        procfs::memory(self.id()).ok().map(|memory| memory.resident)
    }

    /// Open descriptors.
    pub fn open_files(&self) -> Option<u64> {
        procfs::open_files(self.id()).ok()
    }

    /// Open descriptors, all but those of the database: its readers open it when there is something
    /// to read, whoever is connected, and a setting bounds them.
    pub fn descriptors(&self) -> Option<u64> {
        let open = self.open_files()?;
        let links = self.links();
        let of_database = links.filter(|link| link.contains(DATABASE)).count();
        Some(open.saturating_sub(of_database as u64))
    }

    /// What its descriptors are: how many of each kind, or of each file.
    pub fn descriptor_kinds(&self) -> BTreeMap<String, u64> {
        let mut kinds = BTreeMap::new();
        for link in self.links().filter(|link| !link.contains(DATABASE)) {
            let kind = link.split(":[").next().unwrap_or(&link).to_owned();
            *kinds.entry(kind).or_default() += 1;
        }
        kinds
    }

    /// What its descriptors refer to. One that is closed between the two readings is left out.
    fn links(&self) -> impl Iterator<Item = String> {
        let folder = std::fs::read_dir(format!("/proc/{}/fd", self.id()));
        let files = folder.into_iter().flatten().flatten();
        files
            .filter_map(|file| std::fs::read_link(file.path()).ok())
            .map(|link| link.display().to_string())
    }

    /// The process id in the form of system calls.
    pub fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    /// Waits for its end, though not for ever.
    async fn ended(&mut self) -> Result<ExitStatus, Failure> {
        let child = &mut self.child;
        eventually(PATIENCE, async || child.try_wait().ok().flatten())
            .await
            .ok_or_else(|| broken("the server", "it does not end"))
    }

    /// Asks it to stop and waits for its end.
    ///
    /// # Errors
    /// It does not end.
    pub async fn stop(&mut self) -> Result<ExitStatus, Failure> {
        // Fails only if it has ended.
        let _ = kill_process(self.pid(), Signal::TERM);
        self.ended().await
    }

    /// Kills it without warning and waits for its end.
    ///
    /// # Errors
    /// It does not end.
    pub async fn kill(&mut self) -> Result<ExitStatus, Failure> {
        // Fails only if it has ended.
        let _ = self.child.kill();
        self.ended().await
    }
}

impl Drop for TrialServer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
