//! A server of one test: any free port, a folder of its own, its own threads.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use dormouse_config::{Loader, Settings};
use dormouse_shard::store::{Backend, Store};
use tempfile::TempDir;

use super::client::{Answer, Socket};
use crate::app_state::AppState;
use crate::auth::MintRequest;
use crate::clock::unix_ms;
use crate::listeners::Surface;
use crate::serve::{Running, Server};

/// Longest wait for anything.
pub(super) const PATIENCE: Duration = Duration::from_secs(20);

/// Makes two tests of each function, as [`crate::database::testing::on_both_databases`] does, with
/// a running server.
macro_rules! on_both_servers {
    ($($(#[$meta:meta])* async fn $name:ident($server:ident) $body:block)*) => {$(
        $(#[$meta])*
        mod $name {
            #[allow(unused_imports)]
            use super::*;

            async fn run($server: $crate::http::tests::server::TestServer) $body

            #[actix_rt::test]
            async fn on_sqlite() {
                run(TestServer::start(&[]).await).await;
            }

            #[actix_rt::test]
            #[cfg_attr(not(postgres_is_installed), ignore = "PostgreSQL is not installed")]
            async fn on_postgres() {
                let url = $crate::database::testing::postgres::fresh_url();
                run(TestServer::start(&[("database.url", &url)]).await).await;
            }
        }
    )*};
}
pub(super) use on_both_servers;

/// A running server.
pub(super) struct TestServer {
    running: Running,
    pub(super) main: SocketAddr,
    pub(super) admin: Option<SocketAddr>,
    http: reqwest::Client,
    _folder: TempDir,
}

/// Settings of a server with its data in this folder.
pub(super) fn settings(folder: &std::path::Path, flags: &[(&str, &str)]) -> Settings {
    let loader = Loader::new()
        .flag("listen", "127.0.0.1:0")
        .flag("workers", "2")
        // Tests end with connections open that nobody will close.
        .flag("shutdown_timeout", "10ms")
        .flag("data_dir", folder.to_string_lossy());
    let loader = flags
        .iter()
        .fold(loader, |loader, (key, value)| loader.flag(*key, *value));
    loader.load().unwrap().settings
}

impl TestServer {
    /// Starts with these settings over the defaults.
    pub(super) async fn start(flags: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let server = Server::new(settings(folder.path(), flags)).unwrap();
        Self::run(server, folder)
    }

    /// Starts with a store that is not sled.
    pub(super) async fn start_on(backend: Arc<dyn Backend>, flags: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let settings = settings(folder.path(), flags);
        let server = Server::with_store(settings, |_| Store::with_backend(backend)).unwrap();
        Self::run(server, folder)
    }

    fn run(server: Server, folder: TempDir) -> Self {
        let address = |surface| {
            let mut listeners = server.listeners().iter();
            listeners
                .find(|listener| listener.surface == surface)
                .map(|listener| listener.address)
        };
        let (main, admin) = (address(Surface::Main).unwrap(), address(Surface::Admin));
        let http = reqwest::Client::builder()
            .timeout(PATIENCE)
            .build()
            .unwrap();
        Self {
            running: server.start().unwrap(),
            main,
            admin,
            http,
            _folder: folder,
        }
    }

    pub(super) fn state(&self) -> &Arc<AppState> {
        self.running.state()
    }

    /// A token of a user whose tier is the default one.
    pub(super) fn token(&self, user: &str) -> String {
        self.mint(user, None, false)
    }

    pub(super) fn token_of_tier(&self, user: &str, tier: &str) -> String {
        self.mint(user, Some(tier), false)
    }

    pub(super) fn admin_token(&self) -> String {
        self.mint("root", None, true)
    }

    fn mint(&self, user: &str, tier: Option<&str>, admin: bool) -> String {
        let request = MintRequest {
            user,
            tier,
            admin,
            ..MintRequest::default()
        };
        let token = self.state().verifier.mint(&request, unix_ms()).unwrap();
        token.into_string()
    }

    /// A request to the main address.
    pub(super) fn request(&self, method: &str, path: &str) -> reqwest::RequestBuilder {
        self.request_at(self.main, method, path)
    }

    pub(super) fn request_at(
        &self,
        address: SocketAddr,
        method: &str,
        path: &str,
    ) -> reqwest::RequestBuilder {
        let method = reqwest::Method::from_bytes(method.as_bytes()).unwrap();
        self.http.request(method, format!("http://{address}{path}"))
    }

    /// What an admin gets.
    pub(super) async fn as_admin(&self, method: &str, path: &str, body: &str) -> Answer {
        let request = self.request(method, path).bearer_auth(self.admin_token());
        Answer::to(request.body(body.to_owned())).await
    }

    /// What a user gets.
    pub(super) async fn as_user(&self, user: &str, method: &str, path: &str, body: &str) -> Answer {
        let request = self.request(method, path).bearer_auth(self.token(user));
        Answer::to(request.body(body.to_owned())).await
    }

    /// A connection of a user; `query` may hold client type and ids.
    pub(super) async fn connect(&self, user: &str, query: &str) -> Socket {
        self.connect_with(&self.token(user), query).await
    }

    pub(super) async fn connect_with(&self, token: &str, query: &str) -> Socket {
        let path = format!("/v1/updates?token={token}&{query}");
        Socket::open(self.main, &path).await.unwrap()
    }

    /// Asks as an admin until the answer is as wanted.
    pub(super) async fn until(&self, path: &str, is_wanted: impl Fn(&Answer) -> bool) -> Answer {
        let asking = async {
            loop {
                let answer = self.as_admin("GET", path, "").await;
                if is_wanted(&answer) {
                    return answer;
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        let asked = tokio::time::timeout(PATIENCE, asking).await;
        asked.unwrap_or_else(|_| panic!("{path} never became what was waited for"))
    }

    pub(super) async fn stop(self) {
        self.running.stop().await;
    }
}
