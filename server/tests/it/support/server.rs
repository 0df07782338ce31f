//! The real server, in this process: its own actix system on a thread of its own.

use std::net::SocketAddr;
use std::sync::{Arc, mpsc};
use std::time::Duration;

use dormouse_config::{Loader, Settings};
use dormouse_protocol::stats::{HubStats, ShardState};
use dormouse_server::app_state::AppState;
use dormouse_server::auth::MintRequest;
use dormouse_server::clock::unix_ms;
use dormouse_server::serve;
use dormouse_shard::report::WorkerReport;
use tempfile::TempDir;
use tokio::sync::oneshot;

use super::{Client, Handshake, eventually, panics};

/// How a server is set up. Development mode, so that it makes a secret of its own.
pub struct Builder {
    flags: Vec<(String, String)>,
    file: String,
}

impl Default for Builder {
    fn default() -> Self {
        let flags = [
            ("listen", "127.0.0.1:0"),
            ("workers", "2"),
            // Tests that leave connections open do not wait for them long.
            ("shutdown_timeout", "1s"),
        ];
        Self {
            flags: flags.map(|(key, value)| (key.into(), value.into())).into(),
            file: String::new(),
        }
    }
}

impl Builder {
    /// Sets one key.
    pub fn set(mut self, key: &str, value: &str) -> Self {
        self.flags.push((key.into(), value.into()));
        self
    }

    /// Adds to the settings file.
    pub fn file(mut self, toml: &str) -> Self {
        self.file.push_str(toml);
        self
    }

    /// Adds a tier.
    pub fn tier(self, name: &str, connections_per_shard: u16, max_shards: u16) -> Self {
        self.file(&format!(
            "[tiers.{name}]\nconnections_per_shard = {connections_per_shard}\n\
             max_shards = {max_shards}\nlatency_p95 = \"1s\"\navailability = 99.0\n"
        ))
    }

    fn settings(self, folder: &TempDir) -> Settings {
        let data = folder.path().join("data");
        let mut loader = Loader::new().flag("data_dir", data.to_str().unwrap());
        if !self.file.is_empty() {
            let path = folder.path().join("dormouse.toml");
            std::fs::write(&path, self.file).unwrap();
            loader = loader.file(path);
        }
        for (key, value) in self.flags {
            loader = loader.flag(key, value);
        }
        loader.load().unwrap().settings
    }

    /// Starts the server.
    pub fn start(self) -> Server {
        panics::watch();
        let folder = tempfile::tempdir().unwrap();
        let settings = self.settings(&folder);
        let (started, is_started) = mpsc::channel();
        let (stop, is_stopped) = oneshot::channel::<()>();
        let thread = std::thread::Builder::new()
            .name("server".to_owned())
            .spawn(move || {
                actix_rt::System::new().block_on(async move {
                    let server = serve::Server::new(settings).unwrap();
                    let address = server.listeners()[0].address;
                    let running = server.start().unwrap();
                    started.send((address, running.state().clone())).unwrap();
                    // Dropped instead of sent to, when the test fails.
                    let _ = is_stopped.await;
                    running.stop().await;
                });
            })
            .unwrap();
        let (address, state) = is_started.recv().expect("the server starts");
        Server {
            address,
            state,
            stop: Some(stop),
            thread: Some(thread),
            _folder: folder,
        }
    }
}

/// A running server; stopped when dropped. Declare clients after it, so that they go first.
pub struct Server {
    /// Where clients connect to.
    pub address: SocketAddr,
    state: Arc<AppState>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<std::thread::JoinHandle<()>>,
    _folder: TempDir,
}

impl Server {
    /// With the defaults of [`Builder`].
    pub fn start() -> Self {
        Builder::default().start()
    }

    /// A builder.
    pub fn with(key: &str, value: &str) -> Builder {
        Builder::default().set(key, value)
    }

    /// What the server's handlers share.
    pub fn state(&self) -> &AppState {
        &self.state
    }

    /// A token of a user of the default tier.
    pub fn token(&self, user: &str) -> String {
        self.mint(&MintRequest {
            user,
            ..MintRequest::default()
        })
    }

    /// A token of a user of this tier.
    pub fn token_of_tier(&self, user: &str, tier: &str) -> String {
        self.mint(&MintRequest {
            user,
            tier: Some(tier),
            ..MintRequest::default()
        })
    }

    /// An admin's token.
    pub fn admin_token(&self, user: &str) -> String {
        self.mint(&MintRequest {
            user,
            admin: true,
            ..MintRequest::default()
        })
    }

    /// A user's token that was good until this many seconds ago.
    pub fn token_expired_for(&self, user: &str, seconds: u64) -> String {
        let request = MintRequest {
            user,
            ttl: Some(Duration::from_secs(1)),
            ..MintRequest::default()
        };
        let made_at = unix_ms() - (seconds + 1) * 1000;
        let token = self.state.verifier.mint(&request, made_at).unwrap();
        token.into_string()
    }

    fn mint(&self, request: &MintRequest<'_>) -> String {
        let token = self.state.verifier.mint(request, unix_ms()).unwrap();
        token.into_string()
    }

    /// A ticket of a user, made without asking over HTTP.
    pub fn ticket(&self, user: &str) -> String {
        self.ticket_made_at(user, unix_ms())
    }

    /// A ticket made at this Unix time, ms.
    pub fn ticket_made_at(&self, user: &str, at: u64) -> String {
        self.state
            .tickets
            .issue(user, None, None, at)
            .unwrap()
            .into_string()
    }

    /// Connects a user, user-scoped.
    pub async fn connect(&self, user: &str) -> Client {
        self.connect_as(user, &[]).await
    }

    /// Connects a user with these query parameters beside the token.
    pub async fn connect_as(&self, user: &str, query: &[(&str, &str)]) -> Client {
        self.connect_with(&self.token(user), query).await
    }

    /// Connects a session-scoped connection.
    pub async fn connect_session(&self, user: &str, session: &str) -> Client {
        let query = [("clientType", "session-scoped"), ("sessionId", session)];
        self.connect_as(user, &query).await
    }

    /// Connects a machine-scoped connection.
    pub async fn connect_machine(&self, user: &str, machine: &str) -> Client {
        let query = [("clientType", "machine-scoped"), ("machineId", machine)];
        self.connect_as(user, &query).await
    }

    /// Connects with this token and these other query parameters; `connected` is read.
    pub async fn connect_with(&self, token: &str, query: &[(&str, &str)]) -> Client {
        let mut handshake = Handshake::updates().query("token", token);
        for (name, value) in query {
            handshake = handshake.query(name, value);
        }
        let mut client = Client::open(self.address, handshake).await;
        client.greeted().await;
        client
    }

    /// What the workers say of themselves, added up where tests look.
    pub async fn report(&self) -> Vec<WorkerReport> {
        self.state.workers.report(0).await
    }

    /// A number over all workers.
    pub async fn sum(&self, of: impl Fn(&WorkerReport) -> u64) -> u64 {
        self.report().await.iter().map(of).sum()
    }

    /// Waits until a number over all workers is this.
    #[track_caller]
    pub fn until(
        &self,
        what: &str,
        of: impl Fn(&WorkerReport) -> u64,
        expected: u64,
    ) -> impl Future<Output = ()> {
        let of = std::rc::Rc::new(of);
        eventually(what, move || {
            let of = of.clone();
            async move { (self.sum(&*of).await == expected).then_some(()) }
        })
    }

    /// Statistics of a user, without waking anybody.
    pub async fn stats(&self, user: &str) -> HubStats {
        self.state.workers.stats(user).await
    }

    /// Waits until a user has this many connections.
    #[track_caller]
    pub fn until_connections(&self, user: &str, count: u64) -> impl Future<Output = ()> {
        eventually(
            format!("{user} has {count} connections"),
            move || async move { (self.stats(user).await.total_connections == count).then_some(()) },
        )
    }

    /// Waits until no connection waits for its first message: a place comes back when its socket is
    /// closed, a moment after the client has seen why.
    #[track_caller]
    pub fn until_nobody_waits(&self) -> impl Future<Output = ()> {
        eventually("nobody waits for a first message", || async {
            (self.state.pending.taken() == 0).then_some(())
        })
    }

    /// Waits until all of a user's shards sleep.
    #[track_caller]
    pub fn until_asleep(&self, user: &str) -> impl Future<Output = ()> {
        eventually(format!("{user} sleeps"), move || async move {
            let stats = self.stats(user).await;
            let mut shards = stats.shards.iter();
            let sleeps = shards.all(|shard| shard.state == ShardState::Asleep);
            (sleeps && stats.total_connections > 0).then_some(())
        })
    }

    /// Refused handshakes of one kind so far; counted before a shard was asked.
    pub fn refused(&self, label: &str) -> u64 {
        let all = self.state.refused.all();
        all.get(label).copied().unwrap_or_default()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.stop.take());
        let ended = self.thread.take().map(std::thread::JoinHandle::join);
        if !std::thread::panicking() {
            assert!(matches!(ended, Some(Ok(()))), "the server ends well");
            assert_eq!(panics::seen(), Vec::<String>::new(), "threads panicked");
        }
    }
}
