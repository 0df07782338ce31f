//! A server on ports of its own, with connections that need no handshake.

use std::net::SocketAddr;
use std::os::unix::net::UnixStream;
use std::sync::Arc;

use bytes::Bytes;
use dormouse_config::Loader;
use dormouse_protocol::{AuthState, Labels};
use dormouse_shard::arrival::{Arrival, Claim, Greeting, fresh_slot};
use dormouse_shard::report::WorkerReport;
use reqwest::StatusCode;
use tokio::time::Instant;

use super::exposition::{Exposition, parse};
use crate::app_state::AppState;
use crate::auth::MintRequest;
use crate::clock::unix_ms;
use crate::listeners::Surface;
use crate::serve::{Running, Server};

/// A serving server and what keeps its connections open.
pub struct Subject {
    pub state: Arc<AppState>,
    pub main: SocketAddr,
    pub admin: Option<SocketAddr>,
    running: Running,
    peers: Vec<UnixStream>,
    _data: tempfile::TempDir,
}

impl Subject {
    /// Starts one, in development unless the flags hold a secret. To be called in a system.
    pub fn start(flags: &[(&str, &str)]) -> Self {
        let data = tempfile::tempdir().unwrap();
        let mut loader = Loader::new()
            .flag("listen", "127.0.0.1:0")
            .flag("workers", "2")
            .flag("data_dir", data.path().to_str().unwrap());
        for (key, value) in flags {
            loader = loader.flag(*key, *value);
        }
        let server = Server::new(loader.load().unwrap().settings).unwrap();
        let of = |surface| {
            let mut listeners = server.listeners().iter();
            listeners.find(|listener| listener.surface == surface)
        };
        Self {
            state: server.state().clone(),
            main: of(Surface::Main).unwrap().address,
            admin: of(Surface::Admin).map(|listener| listener.address),
            running: server.start().unwrap(),
            peers: Vec::new(),
            _data: data,
        }
    }

    /// Brings connections of a user to their shards, without waiting.
    pub fn connect(&mut self, user: &str, connections: usize) {
        for _ in 0..connections {
            let (ours, theirs) = UnixStream::pair().unwrap();
            ours.set_nonblocking(true).unwrap();
            self.peers.push(theirs);
            self.state.workers.admit(Arrival {
                slot: fresh_slot(ours.into(), &[]),
                claim: Claim {
                    user: user.into(),
                    tier: None,
                    token_hash: None,
                },
                labels: Labels::new(None, None, None).unwrap(),
                rooms: Default::default(),
                auth_state: AuthState::Legacy,
                is_foreground: false,
                connected_at: unix_ms(),
                started: Instant::now(),
                greeting: Greeting::Upgrade {
                    accept: Bytes::from_static(b"HTTP/1.1 101 Switching Protocols\r\n\r\n"),
                    refuse: Box::new(|_| Bytes::from_static(b"HTTP/1.1 429 No\r\n\r\n")),
                },
            });
        }
    }

    /// Asks the workers until they report what is waited for.
    pub async fn until(&self, what: &str, is_so: impl Fn(&[WorkerReport]) -> bool) {
        for _ in 0..100_000 {
            if is_so(&self.state.workers.report(0).await) {
                return;
            }
            tokio::task::yield_now().await;
        }
        panic!("never {what}");
    }

    /// Waits until so many connections are open.
    pub async fn connections(&self, count: u64) {
        self.until("that many connections", |reports| {
            count == reports.iter().map(|report| report.connections).sum::<u64>()
        })
        .await;
    }

    /// A token of a user, or of an admin.
    pub fn token(&self, admin: bool) -> String {
        let request = MintRequest {
            user: "someone",
            tier: None,
            admin,
            ttl: None,
            extras: None,
        };
        let token = self.state.verifier.mint(&request, unix_ms()).unwrap();
        token.as_str().to_owned()
    }

    /// Scrapes through HTTP.
    pub async fn scrape(&self) -> Exposition {
        let answer = get(self.main, "/metrics", None).await;
        assert_eq!(answer.status(), StatusCode::OK);
        assert_eq!(
            answer.headers()["content-type"],
            "text/plain; version=0.0.4; charset=utf-8"
        );
        parse(&answer.text().await.unwrap())
    }

    /// Ends it; its connections are closed by their peers.
    pub async fn stop(self) {
        drop(self.peers);
        self.running.stop().await;
    }
}

/// One request, with a bearer token if one is given.
pub async fn get(address: SocketAddr, path: &str, token: Option<&str>) -> reqwest::Response {
    let mut request = reqwest::Client::new().get(format!("http://{address}{path}"));
    if let Some(token) = token {
        request = request.bearer_auth(token);
    }
    request.send().await.unwrap()
}
