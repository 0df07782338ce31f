//! Broadcasts by connections and over HTTP, and the filters that choose recipients (realtime
//! contract, sections 5.13, 10 and 11).

use serde_json::{Value, json};

use crate::support::{Builder, Client, Server, http};

const BROADCAST: &str = "/v1/websocket/broadcast";

async fn post(server: &Server, user: &str, body: &Value) -> http::Answer {
    http::post(server.address, BROADCAST, &server.token(user), body).await
}

/// One connection of each kind, with what they are called.
async fn crowd(server: &Server) -> Vec<(&'static str, Client)> {
    let with = |query| server.connect_as("alice", query);
    let mut crowd = vec![
        ("user", with(&[]).await),
        ("user s1", with(&[("sessionId", "s1")]).await),
        ("user m1", with(&[("machineId", "m1")]).await),
        ("session s1", server.connect_session("alice", "s1").await),
        ("session s2", server.connect_session("alice", "s2").await),
        (
            "session s2 m1",
            with(&[
                ("clientType", "session-scoped"),
                ("sessionId", "s2"),
                ("machineId", "m1"),
            ])
            .await,
        ),
        ("machine m1", server.connect_machine("alice", "m1").await),
        ("machine m2", server.connect_machine("alice", "m2").await),
        (
            "machine m2 s1",
            with(&[
                ("clientType", "machine-scoped"),
                ("machineId", "m2"),
                ("sessionId", "s1"),
            ])
            .await,
        ),
    ];
    // Everybody has seen every machine come online.
    for (_, client) in &mut crowd {
        client
            .send(&json!({ "event": "ping", "ackId": "settled" }))
            .await;
        loop {
            let message = client.json().await;
            if message["ackId"] == "settled" {
                break;
            }
            assert_eq!(message["event"], "ephemeral");
        }
    }
    crowd
}

#[tokio::test]
async fn each_filter_reaches_whom_it_names_and_nobody_else() {
    let server = Server::start();
    let mut crowd = crowd(&server).await;
    let mut stranger = server
        .connect_as("bob", &[("sessionId", "s1"), ("machineId", "m1")])
        .await;
    let excluded = crowd[4].1.id.clone();
    let everybody: Vec<&str> = crowd.iter().map(|(name, _)| *name).collect();
    let users = ["user", "user s1", "user m1"];
    let cases: [(Value, Vec<&str>); 12] = [
        (Value::Null, everybody.clone()),
        (json!({ "type": "all" }), everybody.clone()),
        (json!({ "type": "user-scoped-only" }), users.to_vec()),
        (
            json!({ "type": "session", "sessionId": "s1" }),
            vec!["user s1", "session s1", "machine m2 s1"],
        ),
        (
            json!({ "type": "machine", "machineId": "m1" }),
            vec!["user m1", "session s2 m1", "machine m1"],
        ),
        (
            json!({ "type": "machine-scoped-only", "machineId": "m1" }),
            [&users[..], &["machine m1"]].concat(),
        ),
        (
            json!({ "type": "machine-scoped-only", "machineId": "m2" }),
            [&users[..], &["machine m2", "machine m2 s1"]].concat(),
        ),
        (
            json!({ "type": "all-interested-in-session", "sessionId": "s1" }),
            [&users[..], &["session s1"]].concat(),
        ),
        (
            json!({ "type": "all-interested-in-session", "sessionId": "s2" }),
            [&users[..], &["session s2", "session s2 m1"]].concat(),
        ),
        (
            json!({ "type": "exclude", "connectionId": excluded }),
            everybody
                .iter()
                .copied()
                .filter(|name| *name != "session s2")
                .collect(),
        ),
        (json!({ "type": "session", "sessionId": "unknown" }), vec![]),
        (json!({ "type": "machine", "machineId": "m" }), vec![]),
    ];
    for (number, (filter, expected)) in cases.into_iter().enumerate() {
        let message = json!({ "type": "notice", "payload": number, "timestamp": 7 });
        let mut body = json!({ "message": message });
        if !filter.is_null() {
            body["filter"] = filter.clone();
        }
        let answer = post(&server, "alice", &body).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        let delivered = expected.len();
        assert_eq!(
            answer.json(),
            json!({ "success": true, "delivered": delivered }),
            "{filter}"
        );
        for (name, client) in &mut crowd {
            if expected.contains(name) {
                let expected = json!({ "event": "notice", "data": number, "timestamp": 7 });
                assert_eq!(client.json().await, expected, "{name} {filter}");
            } else {
                client.quiet().await;
            }
        }
    }
    stranger.quiet().await;
}

#[tokio::test]
async fn a_connections_broadcast_reaches_all_others_of_its_user() {
    let server = Server::start();
    let mut sender = server.connect("alice").await;
    let mut session = server.connect_session("alice", "s1").await;
    let mut user = server.connect("alice").await;
    let mut stranger = server.connect("bob").await;
    for data in [
        json!({ "sentAt": 1 }),
        json!("text"),
        json!(0),
        Value::Null,
        json!([[]]),
    ] {
        let ack = sender.acked("broadcast", &data).await;
        assert_eq!(ack, json!({ "success": true, "delivered": 2 }));
        for client in [&mut session, &mut user] {
            assert_eq!(
                client.json().await,
                json!({ "event": "broadcast", "data": data })
            );
        }
    }
    // Without data there is none; without a wish for an ack there is none.
    sender.send(&json!({ "event": "broadcast" })).await;
    assert_eq!(user.json().await, json!({ "event": "broadcast" }));
    session.expect("broadcast").await;
    sender.quiet().await;
    stranger.quiet().await;
    // Alone, it reaches nobody, which is a success too.
    let ack = stranger.acked("broadcast", &json!(1)).await;
    assert_eq!(ack, json!({ "success": true, "delivered": 0 }));
}

#[tokio::test]
async fn broadcasts_reach_all_shards_of_a_user() {
    let server = Builder::default().tier("spread", 1, 4).start();
    let token = server.token_of_tier("alice", "spread");
    let mut clients = Vec::new();
    for _ in 0..4 {
        clients.push(server.connect_with(&token, &[]).await);
    }
    let stats = server.stats("alice").await;
    let names: Vec<&str> = stats.shards.iter().map(|shard| &*shard.shard).collect();
    assert_eq!(names, ["alice", "alice-1", "alice-2", "alice-3"]);
    let (first, others) = clients.split_first_mut().unwrap();
    let ack = first.acked("broadcast", &json!("to siblings")).await;
    assert_eq!(ack["delivered"], 3);
    for client in others.iter_mut() {
        assert_eq!(client.expect("broadcast").await, "to siblings");
    }
    let body = json!({ "message": { "type": "notice", "payload": 1, "timestamp": 1 } });
    let answer = post(&server, "alice", &body).await;
    assert_eq!(answer.json()["delivered"], 4);
    for client in &mut clients {
        client.expect("notice").await;
    }
}

#[tokio::test]
async fn bodies_that_are_no_broadcast_are_refused() {
    let server = Server::start();
    let mut client = server.connect("alice").await;
    let message = json!({ "type": "notice", "timestamp": 1 });
    for body in [
        json!({}),
        json!([]),
        json!({ "message": null }),
        json!({ "message": "notice" }),
        json!({ "message": {} }),
        json!({ "message": { "type": "" } }),
        json!({ "message": { "type": 5 } }),
        json!({ "message": { "type": "notice", "timestamp": "now" } }),
        json!({ "message": message, "filter": "all" }),
        json!({ "message": message, "filter": {} }),
        json!({ "message": message, "filter": { "type": "nobody" } }),
        json!({ "message": message, "filter": { "type": "session" } }),
        json!({ "message": message, "filter": { "type": "session", "sessionId": "" } }),
        json!({ "message": message, "filter": { "type": "machine", "sessionId": "s" } }),
        json!({ "message": message, "filter": { "type": "machine-scoped-only" } }),
        json!({ "message": message, "filter": { "type": "all-interested-in-session" } }),
        json!({ "message": message, "filter": { "type": "exclude" } }),
    ] {
        let answer = post(&server, "alice", &body).await;
        assert_eq!(answer.status, 400, "{body}: {answer:?}");
        assert!(answer.json()["error"].is_string(), "{answer:?}");
        assert_eq!(answer.json()["code"], "VALIDATION_FAILED", "{answer:?}");
    }
    let body = json!({ "message": message });
    let answer = http::post(server.address, BROADCAST, "rubbish", &body).await;
    assert_eq!(answer.status, 401);
    client.quiet().await;
}

#[tokio::test]
async fn each_connection_sees_broadcasts_in_order() {
    let server = Server::start();
    let mut readers = Vec::new();
    for _ in 0..3 {
        readers.push(server.connect("alice").await);
    }
    let mut sender = server.connect("alice").await;
    for number in 0..300 {
        sender.tell("broadcast", &json!(number)).await;
    }
    for reader in &mut readers {
        for number in 0..300 {
            assert_eq!(reader.expect("broadcast").await, number);
        }
    }
}
