//! Shards that sleep, through the real server: what wakes them, what does not, and what they still
//! know (realtime contract, section 14).

use std::time::Duration;

use serde_json::json;

use crate::support::process::{Dormouse, token};
use crate::support::{Builder, Client, Handshake, Server, eventually, http};

fn sleepy() -> Builder {
    Server::with("shard.hibernate_after", "100ms")
}

async fn wakes(server: &Server) -> u64 {
    server.sum(|report| report.counters.wakes).await
}

#[tokio::test]
async fn the_exact_ping_and_statistics_wake_nobody() {
    let server = sleepy().start();
    let mut client = server.connect("alice").await;
    server.until_asleep("alice").await;
    for _ in 0..3 {
        let before = dormouse_server::clock::unix_ms();
        client.send_text(r#"{"event":"ping"}"#).await;
        let pong = client.json().await;
        let timestamp = pong["data"]["timestamp"].as_u64().unwrap();
        assert!((before..=dormouse_server::clock::unix_ms()).contains(&timestamp));
        assert_eq!(
            pong,
            json!({ "event": "pong", "data": { "timestamp": timestamp } })
        );
    }
    let token = server.token("alice");
    let stats = http::get(server.address, "/v1/websocket/stats", Some(&token))
        .await
        .json();
    assert_eq!(stats["totalConnections"], 1);
    assert_eq!(stats["byType"]["user-scoped"], 1);
    let admin = server.admin_token("root");
    for path in ["/admin/v1/overview", "/admin/v1/shards"] {
        assert_eq!(
            http::get(server.address, path, Some(&admin)).await.status,
            200
        );
    }
    assert_eq!(wakes(&server).await, 0);
    // Another spelling takes the usual way, with the same answer.
    client.send_text(r#"{"event": "ping"}"#).await;
    client.expect("pong").await;
    assert_eq!(wakes(&server).await, 1);
}

#[tokio::test]
async fn messages_broadcasts_and_newcomers_wake_it_with_all_it_knew() {
    let server = sleepy().start();
    let mut app = server.connect("alice").await;
    let mut session = server.connect_session("alice", "s1").await;
    server.until_asleep("alice").await;
    // A message.
    session.tell("to-apps", &json!(1)).await;
    assert_eq!(app.expect("to-apps").await, 1);
    assert_eq!(wakes(&server).await, 1);
    server.until_asleep("alice").await;
    // A broadcast over HTTP, to whom the filter names.
    let body = json!({
        "message": { "type": "notice", "payload": 2 },
        "filter": { "type": "session", "sessionId": "s1" },
    });
    let token = server.token("alice");
    let answer = http::post(server.address, "/v1/websocket/broadcast", &token, &body).await;
    assert_eq!(answer.json()["delivered"], 1);
    assert_eq!(session.expect("notice").await, 2);
    server.until_asleep("alice").await;
    // A connection more.
    let mut third = server.connect("alice").await;
    assert_eq!(third.acked("broadcast", &json!(3)).await["delivered"], 2);
    assert_eq!(app.expect("broadcast").await, 3);
    assert_eq!(session.expect("broadcast").await, 3);
    server.until_asleep("alice").await;
    // An admin who looks at connections.
    let report = server.state().workers.user("alice").await.unwrap();
    let mut ids: Vec<String> = report
        .connections
        .iter()
        .map(|connection| connection.connection_id.to_string())
        .collect();
    ids.sort();
    let mut expected = [&app, &session, &third].map(|client| client.id.clone());
    expected.sort();
    assert_eq!(ids, expected);
    assert_eq!(wakes(&server).await, 4);
    let [state] = &server.stats("alice").await.shards[..] else {
        panic!("one shard");
    };
    assert_eq!((state.sleeps, state.wakes), (4, 4));
}

#[tokio::test]
async fn machine_presence_outlives_sleep() {
    let server = sleepy().start();
    let mut app = server.connect("alice").await;
    let first = server.connect_machine("alice", "m1").await;
    for expected in ["machine-status", "machine-activity"] {
        assert_eq!(app.expect("ephemeral").await["type"], expected);
    }
    server.until_asleep("alice").await;
    // An overlapping reconnect wakes the hub and announces nothing.
    let second = server.connect_machine("alice", "m1").await;
    server.until_asleep("alice").await;
    drop(first);
    server.until_connections("alice", 2).await;
    server.until_asleep("alice").await;
    app.quiet().await;
    server.until_asleep("alice").await;
    drop(second);
    let status = app.expect("ephemeral").await;
    assert_eq!(
        (&status["type"], &status["online"]),
        (&json!("machine-status"), &json!(false))
    );
    let activity = app.expect("ephemeral").await;
    assert_eq!(activity["active"], false);
    app.quiet().await;
}

#[tokio::test]
async fn registered_methods_outlive_sleep() {
    let server = sleepy().start();
    let mut agent = server.connect_session("alice", "s1").await;
    let mut app = server.connect("alice").await;
    agent
        .tell("rpc-register", &json!({ "method": "any:x" }))
        .await;
    agent.expect("rpc-registered").await;
    server.until_asleep("alice").await;
    let data = json!({ "method": "any:x", "params": "sealed" });
    app.ask("rpc-call", &data, &json!("c")).await;
    let request = agent.json().await;
    assert_eq!(request["event"], "rpc-request");
    agent
        .send(&json!({ "event": "rpc-response", "ackId": request["ackId"], "ack": 7 }))
        .await;
    assert_eq!(app.json().await["ack"]["result"], 7);
}

#[tokio::test]
async fn who_leaves_a_sleeping_shard_is_gone() {
    let server = sleepy().tier("two", 2, 1).start();
    let token = server.token_of_tier("alice", "two");
    let mut stays = server.connect_with(&token, &[]).await;
    let goes = server.connect_with(&token, &[]).await;
    server.until_asleep("alice").await;
    // The cap counts those who sleep.
    let handshake = Handshake::updates().query("token", &token);
    let refused = Client::try_open(server.address, handshake).await;
    assert_eq!(refused.err().unwrap().status(), 429);
    drop(goes);
    server.until_connections("alice", 1).await;
    assert_eq!(stays.acked("broadcast", &json!(1)).await["delivered"], 0);
    let mut again = server.connect_with(&token, &[]).await;
    assert_eq!(again.acked("broadcast", &json!(2)).await["delivered"], 1);
    stays.expect("broadcast").await;
    drop((stays, again));
    server
        .until("nothing is left", |report| report.shards, 0)
        .await;
}

#[tokio::test]
async fn nothing_is_lost_around_the_moment_of_falling_asleep() {
    let server = sleepy().start();
    let mut app = server.connect("alice").await;
    let mut session = server.connect_session("alice", "s1").await;
    for number in 0..30 {
        // Not to wait for anything: to come before, during and after the writing of attachments.
        tokio::time::sleep(Duration::from_millis(90 + number)).await;
        session.tell("tick", &json!(number)).await;
        assert_eq!(app.expect("tick").await, number);
    }
    assert!(wakes(&server).await > 0, "it slept in between");
}

#[tokio::test]
async fn a_killed_server_starts_again_on_what_it_left() {
    let folder = tempfile::tempdir().unwrap();
    let settings = ["--set", "shard.hibernate_after=100ms", "--set", "workers=2"];
    let admin = token(folder.path(), &["--user", "root", "--admin"]).await;
    let user = token(folder.path(), &["--user", "alice"]).await;
    let handshake = |kind: &str| {
        Handshake::updates()
            .query("token", &user)
            .query("clientType", kind)
            .query("sessionId", "s1")
            .query("machineId", "m1")
    };
    let mut process = Dormouse::serve(folder.path(), &settings).await;
    let mut clients = Vec::new();
    for kind in ["user-scoped", "session-scoped", "machine-scoped"] {
        let mut client = Client::open(process.address(), handshake(kind)).await;
        client.greeted().await;
        clients.push(client);
    }
    let address = process.address();
    let asleep = async || {
        let overview = http::get(address, "/admin/v1/overview", Some(&admin))
            .await
            .json();
        (overview["shards"]["asleep"] == 1 && overview["connections"] == 3).then_some(())
    };
    eventually("the shard sleeps", asleep).await;
    process.kill().await;
    for client in &mut clients {
        while client.next().await.is_some() {}
    }
    let mut process = Dormouse::serve(folder.path(), &settings).await;
    let told = eventually("leftovers are logged", || async {
        let stderr = process.stderr();
        let told = stderr.lines().find(|line| line.contains("left asleep"))?;
        serde_json::from_str::<serde_json::Value>(told).ok()
    })
    .await;
    assert_eq!(
        (&told["connections"], &told["machines"]),
        (&json!(3), &json!(1)),
        "{told}"
    );
    // The token is still good, since the secret was kept; nobody is there, and all works.
    let mut client = Client::open(process.address(), handshake("machine-scoped")).await;
    client.greeted().await;
    assert_eq!(client.acked("broadcast", &json!(1)).await["delivered"], 0);
    drop(client);
    assert!(process.stop().await.success());
    let mut process = Dormouse::serve(folder.path(), &settings).await;
    assert!(process.stop().await.success());
    assert!(
        !process.stderr().contains("left asleep"),
        "stopping left nothing"
    );
}
