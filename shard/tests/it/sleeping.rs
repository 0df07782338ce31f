//! Falling asleep, what wakes and what does not, and what is kept meanwhile.

use std::time::Duration;

use dormouse_protocol::stats::ShardState;
use dormouse_protocol::{CloseCode, Filter, Labels};
use dormouse_shard::frame::Frame;
use serde_json::json;

use crate::support::client::frame;
use crate::support::clock::{TICK, settle, until};
use crate::support::server::{Builder, Server, Who, tier};
use crate::support::{Client, Seen};

const PING: &str = r#"{"event":"ping"}"#;

#[actix_rt::test]
async fn a_quiet_shard_sleeps_after_its_time_and_not_before() {
    let server = Server::start();
    let (mut client, id) = server.connect(Who::user("alice")).await;
    server.clock.advance(Duration::from_secs(6)).await;
    client.send(r#"{"event":"ping","ackId":1}"#).await;
    client.json().await;
    server.clock.advance(Duration::from_secs(9)).await;
    assert!(
        !server.is_asleep("alice").await,
        "6 s after an event it has 4 s left"
    );
    assert_eq!(server.store.len(), 0);
    server.clock.advance(Duration::from_secs(2)).await;
    until("it sleeps", || server.is_asleep("alice")).await;
    assert_eq!(server.store.len(), 1);
    let report = server.report().await;
    assert_eq!((report.counters.sleeps, report.counters.wakes), (1, 0));
    assert_eq!((report.shards, report.awake, report.connections), (1, 0, 1));
    let found = server.workers.user("alice").await.unwrap();
    assert_eq!(found.connections[0].connection_id, id);
}

#[actix_rt::test]
async fn the_exact_ping_wakes_nobody_and_leaves_no_trace() {
    let server = Server::start();
    let (mut client, _) = server.connect(Who::user("alice")).await;
    let before = server.workers.user("alice").await.unwrap().connections;
    server.put_to_sleep().await;
    let now = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap()
        .as_millis() as u64;
    for _ in 0..3 {
        client.send(PING).await;
        let (event, data) = client.event().await;
        assert_eq!(event, "pong");
        let timestamp = data["timestamp"].as_u64().unwrap();
        assert!(timestamp >= now && timestamp < now + 60_000, "{timestamp}");
    }
    assert!(server.is_asleep("alice").await);
    let report = server.report().await;
    assert_eq!((report.counters.wakes, report.io.pings), (0, 3));
    // An admin wakes it, and sees the activity of before.
    let after = server.workers.user("alice").await.unwrap().connections;
    assert_eq!(server.report().await.counters.wakes, 1);
    assert_eq!(after, before);
}

#[actix_rt::test]
async fn protocol_frames_and_questions_wake_nobody() {
    let server = Server::start();
    let (mut client, _) = server.connect(Who::user("alice")).await;
    server.put_to_sleep().await;
    client.write(&frame(0x89, b"are you there")).await;
    assert_eq!(client.next().await, Seen::Pong(b"are you there".to_vec()));
    client.write(&frame(0x8a, b"")).await;
    let stats = server.stats("alice").await;
    assert_eq!((stats.total_connections, stats.by_type.user_scoped), (1, 1));
    assert_eq!(stats.oldest_connection, Some(1_000));
    assert_eq!(stats.shards[0].state, ShardState::Asleep);
    assert_eq!(server.report().await.counters.wakes, 0);
    assert!(server.is_asleep("alice").await);
}

/// Puts alice's shard to sleep, does something, and expects it to have woken once.
async fn expect_wake(what: &str, cause: impl AsyncFn(&Server, &mut Client)) {
    let server = Server::start();
    let (mut client, id) = server.connect(Who::session("alice", "s1")).await;
    let (mut other, _) = server.connect(Who::user("alice")).await;
    server.put_to_sleep().await;
    cause(&server, &mut client).await;
    until(what, || async { server.report().await.counters.wakes == 1 }).await;
    settle().await;
    assert!(!server.is_asleep("alice").await, "{what}");
    assert_eq!(server.report().await.counters.wake_failures, 0, "{what}");
    // What it knows of its connections is what it knew.
    let kept = server.workers.user("alice").await.unwrap().connections;
    let labels = Labels::new(Some("session-scoped"), Some("s1"), None).unwrap();
    if let Some(kept) = kept.iter().find(|kept| kept.connection_id == id) {
        assert_eq!(
            (&kept.labels, kept.connected_at),
            (&labels, 1_000),
            "{what}"
        );
    }
    // Both can go on.
    other.drain();
    other.send(r#"{"event":"ping","ackId":"still"}"#).await;
    assert_eq!(other.json().await["ackId"], "still", "{what}");
}

#[actix_rt::test]
async fn another_spelling_of_ping_wakes() {
    expect_wake("another spelling", async |_, client| {
        client.send(r#"{ "event": "ping" }"#).await;
        assert_eq!(client.event().await.0, "pong");
    })
    .await;
}

#[actix_rt::test]
async fn a_message_wakes() {
    expect_wake("a message", async |_, client| {
        client
            .send(r#"{"event":"broadcast","data":1,"ackId":7}"#)
            .await;
        let ack = json!({"event":"ack","ackId":7,"ack":{"success":true,"delivered":1}});
        assert_eq!(client.json().await, ack);
    })
    .await;
}

#[actix_rt::test]
async fn a_broadcast_wakes() {
    expect_wake("a broadcast", async |server, client| {
        let frame = Frame::text(r#"{"event":"b"}"#);
        let filter = Filter::Session("s1".into());
        let delivered = server.workers.deliver("alice", filter, frame).await;
        assert_eq!(delivered[0].delivered, 1);
        assert_eq!(client.event().await.0, "b");
    })
    .await;
}

#[actix_rt::test]
async fn a_newcomer_wakes_and_stays() {
    expect_wake("a newcomer", async |server, _| {
        let (mut third, _) = server.connect(Who::user("alice")).await;
        third.send(r#"{"event":"ping","ackId":3}"#).await;
        assert_eq!(third.json().await["ackId"], 3);
        assert_eq!(server.stats("alice").await.total_connections, 3);
    })
    .await;
}

#[actix_rt::test]
async fn a_closing_peer_wakes() {
    expect_wake("a close", async |server, client| {
        client.close(1000).await;
        assert_eq!(client.next().await, Seen::Close(Some(1000), String::new()));
        until("it is counted", || async {
            server.stats("alice").await.total_connections == 1
        })
        .await;
        let stats = server.stats("alice").await;
        assert_eq!(
            (stats.by_type.session_scoped, stats.active_sessions),
            (0, 0)
        );
    })
    .await;
}

#[actix_rt::test]
async fn an_admins_close_wakes() {
    expect_wake("an admin's close", async |server, client| {
        let id = server.workers.user("alice").await.unwrap();
        let labelled = id
            .connections
            .iter()
            .find(|kept| kept.labels.session_id.is_some());
        let id = labelled.unwrap().connection_id;
        let code = CloseCode::POLICY;
        assert!(server.workers.close_connection(id, code, "out").await);
        assert_eq!(client.closed(1008).await, "out");
        until("it is counted", || async {
            server.stats("alice").await.total_connections == 1
        })
        .await;
    })
    .await;
}

#[actix_rt::test]
async fn closing_one_by_its_id_wakes_its_shard() {
    let server = Server::start();
    let (mut client, id) = server.connect(Who::machine("alice", "m1")).await;
    server.put_to_sleep().await;
    assert!(
        server
            .workers
            .close_connection(id, CloseCode::POLICY, "")
            .await
    );
    client.closed(1008).await;
    server.emptied().await;
    assert_eq!(server.report().await.counters.wakes, 1);
    assert_eq!(server.application.take_presence().len(), 2);
}

#[actix_rt::test]
async fn disconnecting_a_user_wakes_the_users_shards() {
    let server = Builder {
        tiers: vec![tier("small", 1, 3)],
        workers: 2,
        ..Builder::default()
    }
    .start();
    let mut clients = Vec::new();
    for _ in 0..3 {
        clients.push(server.connect(Who::user("alice")).await.0);
    }
    server.put_to_sleep().await;
    let closed = server
        .workers
        .disconnect("alice", CloseCode::POLICY, "out")
        .await;
    assert_eq!(closed, 3);
    for client in &mut clients {
        client.closed(1008).await;
    }
    until("nobody is connected", || async {
        server.report().await.connections == 0
    })
    .await;
}

#[actix_rt::test]
async fn a_machine_that_goes_while_its_shard_sleeps_is_announced() {
    let server = Server::start();
    let (mut app, _) = server.connect(Who::user("alice")).await;
    let (daemon, _) = server.connect(Who::machine("alice", "m1")).await;
    settle().await;
    app.drain();
    server.put_to_sleep().await;
    drop(daemon);
    let (event, status) = app.event().await;
    assert_eq!(
        (event.as_str(), &status["type"]),
        ("ephemeral", &json!("machine-status"))
    );
    assert_eq!(
        (&status["machineId"], &status["online"]),
        (&json!("m1"), &json!(false))
    );
    let (_, activity) = app.event().await;
    assert_eq!(
        (&activity["type"], &activity["active"]),
        (&json!("machine-activity"), &json!(false))
    );
    let heard = server.application.take_presence();
    let m1 = |online| ("alice".to_owned(), "m1".to_owned(), online);
    assert_eq!(heard, [m1(true), m1(false)]);
    let stats = server.stats("alice").await;
    assert_eq!((stats.total_connections, stats.active_machines), (1, 0));
    let report = server.report().await;
    assert_eq!(
        (report.counters.wakes, report.counters.wake_failures),
        (1, 0)
    );
}

#[actix_rt::test]
async fn all_that_go_at_once_while_their_shard_sleeps_are_counted() {
    let server = Builder {
        tiers: vec![tier("small", 2, 3)],
        workers: 2,
        ..Builder::default()
    }
    .start();
    let mut clients = Vec::new();
    for n in 0..6 {
        let machine = format!("m{n}");
        clients.push(server.connect(Who::machine("alice", &machine)).await.0);
    }
    settle().await;
    server.put_to_sleep().await;
    let last = clients.pop();
    drop(clients);
    until("one is left", || async {
        server.stats("alice").await.total_connections == 1
    })
    .await;
    assert_eq!(server.stats("alice").await.active_machines, 1);
    drop(last);
    until("nobody is connected", || async {
        server.report().await.connections == 0
    })
    .await;
    // A first shard whose siblings outlived its own connections goes with its time.
    server.clock.advance(server.hibernate_after + TICK).await;
    server.emptied().await;
    let presence = server.application.take_presence();
    let count = |online| presence.iter().filter(|heard| heard.2 == online).count();
    assert_eq!((count(true), count(false)), (6, 6));
    assert_eq!(server.report().await.counters.wake_failures, 0);
    until("no record is left", || async { server.store.len() == 0 }).await;
}
