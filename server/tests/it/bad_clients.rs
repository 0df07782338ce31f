//! Clients that keep to the protocol and misbehave: they do not read, die, or come and go by the
//! thousand. Others are not affected, and nothing is left behind.

use futures_util::StreamExt as _;
use futures_util::future::join_all;
use futures_util::stream::FuturesUnordered;
use serde_json::json;

use crate::support::process::{Dormouse, token};
use crate::support::raw::{Seen, frame};
use crate::support::{Client, Handshake, Raw, Server, eventually, http};

fn handshake(server: &Server, user: &str) -> Handshake {
    Handshake::updates().query("token", &server.token(user))
}

#[tokio::test]
async fn a_client_that_does_not_read_is_closed_and_holds_nobody_up() {
    let server = Server::with("limits.outbox", "1 MiB").start();
    let mut slow = Raw::connect_narrow(server.address, 4096).await;
    slow.shake_hands(&handshake(&server, "alice")).await;
    let mut reader = server.connect("alice").await;
    let mut sender = server.connect("alice").await;
    // Neighbours of other users share the worker.
    let mut neighbours = Vec::new();
    for number in 0..4 {
        neighbours.push(server.connect(&format!("neighbour-{number}")).await);
    }
    let data = json!("x".repeat(100_000));
    let slow_consumers = || server.sum(|report| report.io.slow_consumers);
    let mut sent = 0;
    while slow_consumers().await == 0 {
        // What the kernel takes for it is some megabytes.
        assert!(sent < 500, "it is never closed");
        let ack = sender.acked("broadcast", &data).await;
        sent += 1;
        assert!(
            ack["delivered"].as_u64().is_some_and(|count| count >= 1),
            "{ack}"
        );
        assert_eq!(reader.expect("broadcast").await, data);
        for neighbour in &mut neighbours {
            neighbour.quiet().await;
        }
    }
    server.until_connections("alice", 2).await;
    assert_eq!(sender.acked("broadcast", &data).await["delivered"], 1);
    assert_eq!(slow_consumers().await, 1);
    let closes = |report: &dormouse_shard::report::WorkerReport| {
        report.io.closes.get("slow_consumer").copied().unwrap_or(0)
    };
    assert_eq!(server.sum(closes).await, 1);
    // If it comes to its senses in time it can read why.
    let (code, _, before) = slow.until_close().await;
    assert_eq!(code, 1013);
    assert!(before < sent, "what waited in the queue is thrown away");
    let backlog = server.sum(|report| report.queued_bytes);
    assert_eq!(backlog.await, 0);
}

#[tokio::test]
async fn clients_that_die_while_receiving_are_noticed() {
    let server = Server::start();
    let mut reader = server.connect("alice").await;
    let mut sender = server.connect("alice").await;
    let data = json!("x".repeat(2000));
    for _ in 0..20 {
        let victim = Raw::open(server.address, &handshake(&server, "alice")).await;
        for _ in 0..2 {
            sender.tell("broadcast", &data).await;
        }
        victim.reset();
        for _ in 0..3 {
            sender.tell("broadcast", &data).await;
        }
        for _ in 0..5 {
            assert_eq!(reader.expect("broadcast").await, data);
        }
        server.until_connections("alice", 2).await;
    }
    let abnormal = |report: &dormouse_shard::report::WorkerReport| {
        report.io.closes.get("abnormal").copied().unwrap_or(0)
    };
    assert_eq!(server.sum(abnormal).await, 20);
}

#[tokio::test]
async fn a_client_that_is_silent_too_long_is_closed_and_pongs_are_no_silence() {
    let server = Server::with("shard.ping_interval", "1s")
        .set("shard.idle_timeout", "2s")
        .start();
    let mut dead = Raw::open(server.address, &handshake(&server, "alice")).await;
    let mut alive = server.connect("alice").await;
    let (code, reason, before) = {
        let closing = dead.until_close();
        // The library answers pings while it reads.
        let reading = alive.next();
        tokio::select! {
            closed = closing => closed,
            message = reading => panic!("{message:?}"),
        }
    };
    assert_eq!((code, reason.as_str()), (1001, "idle timeout"));
    assert!(before >= 2, "greeted and pinged before: {before}");
    alive.quiet().await;
    assert_eq!(server.sum(|report| report.io.idle_closed).await, 1);
}

#[tokio::test]
async fn what_came_before_the_end_of_a_stream_is_answered() {
    let server = Server::start();
    let mut raw = Raw::open(server.address, &handshake(&server, "alice")).await;
    assert_eq!(raw.json().await["event"], "connected");
    let mut bytes = Vec::new();
    for number in 0..10 {
        let ping = json!({ "event": "ping", "ackId": number }).to_string();
        bytes.extend(frame(0x81, ping.as_bytes()));
    }
    let mut other = server.connect("alice").await;
    bytes.extend(frame(0x81, br#"{"event":"broadcast","data":"last words"}"#));
    raw.write(&bytes).await;
    raw.shut().await;
    assert_eq!(other.expect("broadcast").await, "last words");
    // Its own answers may or may not find it still there; then it is gone.
    raw.ended().await;
    server.until_connections("alice", 1).await;
}

#[tokio::test]
async fn a_close_that_is_not_answered_ends_all_the_same() {
    let server = Server::start();
    let mut raw = Raw::open(server.address, &handshake(&server, "alice")).await;
    assert_eq!(raw.json().await["event"], "connected");
    // Broken, and then neither an answer to the close nor an end.
    raw.write(&frame(0x83, b"")).await;
    assert!(matches!(raw.next().await, Seen::Close(Some(1002), _)));
    server.until_connections("alice", 0).await;
    assert_eq!(raw.next().await, Seen::End, "the server has shut its side");
}

/// The binary with an admin's and a user's token, and its descriptors when nobody is connected.
struct Watched {
    process: Dormouse,
    admin: String,
    user: String,
    descriptors: usize,
    _folder: tempfile::TempDir,
}

impl Watched {
    async fn start() -> Self {
        // Both sides of a connection are this machine's.
        dormouse_server::serve::raise_file_limit();
        let folder = tempfile::tempdir().unwrap();
        let admin = token(folder.path(), &["--user", "root", "--admin"]).await;
        let user = token(folder.path(), &["--user", "alice"]).await;
        let process = Dormouse::serve(folder.path(), &["--set", "workers=2"]).await;
        let mut watched = Self {
            process,
            admin,
            user,
            descriptors: 0,
            _folder: folder,
        };
        // Whatever is opened at first use is open after this.
        watched.connect().await.close(1000).await;
        watched.until_empty().await;
        eventually("the last request's connection is closed", || async {
            (!watched.process.has_connections()).then_some(())
        })
        .await;
        watched.descriptors = watched.process.descriptors();
        watched
    }

    fn handshake(&self) -> Handshake {
        Handshake::updates().query("token", &self.user)
    }

    async fn connect(&self) -> Client {
        let mut client = Client::open(self.process.address(), self.handshake()).await;
        client.greeted().await;
        client
    }

    /// Waits until the server counts nobody.
    async fn until_empty(&self) {
        let address = self.process.address();
        eventually("nobody is left", || async move {
            let overview = http::get(address, "/admin/v1/overview", Some(&self.admin)).await;
            let overview = overview.json();
            let counts = ["connections", "pending", "users"].map(|field| &overview[field]);
            let shards = &overview["shards"]["total"];
            let is_empty = counts.into_iter().chain([shards]).all(|count| *count == 0);
            is_empty.then_some(())
        })
        .await;
        let stats = http::get(address, "/v1/websocket/stats", Some(&self.user)).await;
        assert_eq!(stats.json()["totalConnections"], 0);
    }

    /// Checks that nothing is left behind.
    async fn check(mut self) {
        self.until_empty().await;
        eventually("all descriptors are closed", || async {
            (self.process.descriptors() == self.descriptors).then_some(())
        })
        .await;
        self.connect().await.quiet().await;
        assert!(self.process.stop().await.success());
        let stderr = self.process.stderr();
        assert!(
            !stderr.contains("ERROR") && !stderr.contains("panicked"),
            "{stderr}"
        );
    }
}

#[tokio::test]
async fn ten_thousand_connections_in_a_row_leave_nothing_behind() {
    const LANES: usize = 8;
    let watched = Watched::start().await;
    let good = watched.handshake().to_bytes();
    let bad = Handshake::updates().query("token", "bad").to_bytes();
    let anonymous = Handshake::updates().to_bytes();
    let goodbye = frame(0x88, &1000_u16.to_be_bytes());
    let address = watched.process.address();
    let (good, bad, anonymous, goodbye) = (&good, &bad, &anonymous, &goodbye);
    let mut lanes: FuturesUnordered<_> = (0..LANES)
        .map(|lane| async move {
            for number in (lane..10_000).step_by(LANES) {
                let mut raw = Raw::connect(address).await;
                match number / LANES % 10 {
                    // Nothing, half a handshake, a refused one, one that never authenticates.
                    0 => {}
                    1 => raw.write(&good[..good.len() / 2]).await,
                    2 => {
                        raw.write(bad).await;
                        assert_eq!(raw.response().await.status, 401);
                    }
                    3 => {
                        raw.write(anonymous).await;
                        raw.response().await;
                    }
                    // Gone before the answer, with and without a FIN.
                    4 => raw.write(good).await,
                    5 => {
                        raw.write(good).await;
                        raw.reset();
                    }
                    // Connected, then gone in each way there is.
                    way => {
                        raw.write(good).await;
                        assert_eq!(raw.response().await.status, 101);
                        assert_eq!(raw.json().await["event"], "connected");
                        match way {
                            6 => raw.reset(),
                            7 => {
                                raw.write(goodbye).await;
                                assert!(matches!(raw.next().await, Seen::Close(Some(1000), _)));
                            }
                            8 => raw.shut().await,
                            _ => {}
                        }
                    }
                }
            }
        })
        .collect();
    while lanes.next().await.is_some() {}
    drop(lanes);
    watched.check().await;
}

#[tokio::test]
async fn five_hundred_at_once_leave_nothing_behind() {
    let watched = Watched::start().await;
    let mut clients = join_all((0..500).map(|_| watched.connect())).await;
    let (sender, readers) = clients.split_first_mut().unwrap();
    let ack = sender.acked("broadcast", &json!("all of you")).await;
    assert_eq!(ack["delivered"], 499);
    for reader in readers {
        assert_eq!(reader.expect("broadcast").await, "all of you");
    }
    let stats = http::get(
        watched.process.address(),
        "/v1/websocket/stats",
        Some(&watched.user),
    );
    assert_eq!(stats.await.json()["totalConnections"], 500);
    for (number, client) in clients.into_iter().enumerate() {
        if number % 2 == 0 {
            client.socket().set_zero_linger().unwrap();
        }
    }
    watched.check().await;
}

#[tokio::test]
async fn handshakes_that_never_finish_are_given_up() {
    let server = Server::with("http.header_timeout", "200ms")
        .set("auth.deadline", "200ms")
        .set("auth.max_pending_per_address", "200")
        .start();
    let mut silent = Vec::new();
    for number in 0..200 {
        let mut raw = Raw::connect(server.address).await;
        if number % 2 == 0 {
            raw.shake_hands(&Handshake::updates()).await;
        }
        silent.push(raw);
    }
    for mut raw in silent {
        raw.ended().await;
    }
    server.until_nobody_waits().await;
    server.connect("alice").await.quiet().await;
}
