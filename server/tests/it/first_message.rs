//! Authentication by the first message (realtime contract, section 2.4).

use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;

use crate::support::raw::{Seen, frame};
use crate::support::{Builder, Client, Handshake, Raw, Server};

async fn newcomer(server: &Server) -> Client {
    Client::open(server.address, Handshake::updates()).await
}

/// Checks that a message is an `auth-error` or `error` of exactly the contract's shape.
fn check_error(message: &Value, event: &str, code: u16) {
    let data = &message["data"];
    assert!(
        data["message"].as_str().is_some_and(|text| text.len() > 5),
        "{message}"
    );
    assert!(
        data["timestamp"].as_u64().is_some_and(|at| at > 0),
        "{message}"
    );
    assert_eq!(
        *message,
        json!({
            "event": event,
            "data": { "code": code, "message": data["message"], "timestamp": data["timestamp"] }
        })
    );
}

#[tokio::test]
async fn a_good_token_makes_a_full_member() {
    let server = Server::start();
    let mut other = server.connect("alice").await;
    let mut late = newcomer(&server).await;
    late.tell(
        "auth",
        &json!({
            "token": server.token("alice"), "clientType": "session-scoped", "sessionId": "s1",
            "machineId": "m1", "unknown": { "fields": "are ignored" }
        }),
    )
    .await;
    let data = late.expect("connected").await;
    let id = late.id.clone();
    assert_eq!(
        data,
        json!({
            "connectionId": id, "userId": "alice", "clientType": "session-scoped",
            "sessionId": "s1", "machineId": "m1", "timestamp": data["timestamp"]
        })
    );
    // A member for every filter.
    let stats = server.stats("alice").await;
    assert_eq!(
        (stats.total_connections, stats.by_type.session_scoped),
        (2, 1)
    );
    for filter in [
        json!({ "type": "all" }),
        json!({ "type": "session", "sessionId": "s1" }),
        json!({ "type": "machine", "machineId": "m1" }),
        json!({ "type": "all-interested-in-session", "sessionId": "s1" }),
        json!({ "type": "exclude", "connectionId": other.id }),
    ] {
        let filter = dormouse_protocol::Filter::from_json(&filter).unwrap();
        let sent = dormouse_shard::frame::Frame::text(r#"{"event":"hello"}"#);
        server.state().workers.deliver("alice", filter, sent).await;
        late.expect("hello").await;
    }
    for _ in 0..2 {
        other.expect("hello").await;
    }
    let report = server.state().workers.user("alice").await.unwrap();
    let found = report
        .connections
        .iter()
        .find(|found| found.connection_id.to_string() == id)
        .unwrap();
    assert_eq!(
        found.auth_state,
        dormouse_protocol::AuthState::Authenticated
    );
}

#[tokio::test]
async fn what_the_message_does_not_name_is_as_the_handshake_named_it() {
    let server = Server::start();
    let token = server.token("alice");
    let handshake = Handshake::updates()
        .query("clientType", "machine-scoped")
        .header("X-Client-Type", "user-scoped")
        .header("X-Session-Id", "s1")
        .header("X-Machine-Id", "m1");
    let session = json!({ "token": token, "clientType": "session-scoped", "sessionId": "s2" });
    for (message, client_type, session) in [
        (json!({ "token": token }), "machine-scoped", "s1"),
        (session, "session-scoped", "s2"),
    ] {
        let mut client = Client::open(server.address, handshake.clone()).await;
        client.tell("auth", &message).await;
        let data = client.expect("connected").await;
        assert_eq!(data["clientType"], client_type, "{data}");
        assert_eq!(
            (&data["sessionId"], &data["machineId"]),
            (&json!(session), &json!("m1"))
        );
    }
}

#[tokio::test]
async fn either_envelope_and_binary_frames_are_taken() {
    let server = Server::start();
    let token = server.token("alice");
    let mut client = newcomer(&server).await;
    client
        .send(&json!({ "type": "auth", "payload": { "token": token } }))
        .await;
    client.expect("connected").await;
    let mut client = newcomer(&server).await;
    let message = json!({ "event": "auth", "data": { "token": token } }).to_string();
    client.send_raw(Message::binary(message)).await;
    client.expect("connected").await;
}

#[tokio::test]
async fn anything_but_a_token_is_refused_and_the_connection_stays() {
    let server = Server::start();
    let mut client = newcomer(&server).await;
    for message in [
        json!({ "event": "auth" }),
        json!({ "event": "auth", "data": {} }),
        json!({ "event": "auth", "data": { "token": "" } }),
        json!({ "event": "auth", "data": { "token": 5 } }),
        json!({ "event": "auth", "data": "token" }),
        json!({ "event": "ping" }),
        json!({ "event": "ping", "ackId": 1 }),
        json!({ "event": "broadcast", "data": {} }),
        json!({ "type": "message", "payload": {} }),
    ] {
        client.send(&message).await;
        check_error(&client.json().await, "auth-error", 4001);
    }
    for text in ["", "nonsense", "[]", "7", "null", "{}", r#"{"event":5}"#] {
        client.send_text(text).await;
        check_error(&client.json().await, "error", 1002);
    }
    client
        .tell("auth", &json!({ "token": server.token("alice") }))
        .await;
    client.expect("connected").await;
}

#[tokio::test]
async fn twenty_messages_in_a_row_that_are_no_envelope_close_the_connection() {
    let server = Server::start();
    let mut client = newcomer(&server).await;
    for _ in 0..20 {
        client.send_text("nonsense").await;
        check_error(&client.json().await, "error", 1002);
    }
    assert_eq!(client.closed().await.0, 1002);
    server.until_nobody_waits().await;
}

#[tokio::test]
async fn refusals_have_codes_of_their_own_and_close_with_them() {
    let server = Builder::default().tier("one", 1, 1).start();
    let token = server.token("alice");
    let full = server.token_of_tier("bob", "one");
    let _bob = server.connect_with(&full, &[]).await;
    let cases = [
        (json!({ "token": "rubbish" }), 4001),
        (json!({ "token": server.admin_token("root") }), 4001),
        (
            json!({ "token": server.token_expired_for("alice", 60) }),
            4001,
        ),
        // The token is judged first.
        (json!({ "token": "rubbish", "clientType": "phone" }), 4001),
        (json!({ "token": token, "clientType": "phone" }), 4002),
        (json!({ "token": token, "clientType": 7 }), 4002),
        (
            json!({ "token": token, "clientType": "session-scoped" }),
            4003,
        ),
        (
            json!({ "token": token, "clientType": "session-scoped", "sessionId": "" }),
            4003,
        ),
        (
            json!({ "token": token, "clientType": "machine-scoped", "sessionId": "s" }),
            4004,
        ),
        (json!({ "token": full }), 4005),
        (json!({ "token": full, "clientType": "phone" }), 4002),
    ];
    for (data, code) in cases {
        let mut client = newcomer(&server).await;
        client.tell("auth", &data).await;
        check_error(&client.json().await, "auth-error", code);
        assert_eq!(client.closed().await.0, code, "{data}");
    }
    server.until_nobody_waits().await;
    let rejected = server.stats("bob").await.shards[0].rejected;
    assert_eq!(
        rejected, 1,
        "a refusal at the cap counts however it is told"
    );
    let refused = |label: &'static str| {
        server.sum(move |report| {
            report
                .counters
                .lobby_refused
                .get(label)
                .copied()
                .unwrap_or(0)
        })
    };
    assert_eq!(refused("auth_failed").await, 4);
    assert_eq!(refused("invalid_handshake").await, 3);
    assert_eq!(refused("session_id_missing").await, 2);
    assert_eq!(refused("machine_id_missing").await, 1);
}

#[tokio::test]
async fn the_deadline_closes_and_nothing_extends_it() {
    let server = Server::with("auth.deadline", "300ms").start();
    let mut silent = newcomer(&server).await;
    let mut busy = newcomer(&server).await;
    check_error(&silent.json().await, "auth-error", 4007);
    assert_eq!(silent.closed().await.0, 4007);
    // This one asks and is answered until its time is over.
    let code = loop {
        let ping = Message::text(r#"{"event":"ping"}"#);
        busy.try_send(ping).await;
        let answer = busy.json().await;
        let code = answer["data"]["code"].as_u64().unwrap();
        check_error(&answer, "auth-error", code as u16);
        if code != 4001 {
            break code;
        }
    };
    assert_eq!(code, 4007);
    assert_eq!(busy.closed().await.0, 4007);
    let late = |report: &dormouse_shard::report::WorkerReport| {
        let refused = &report.counters.lobby_refused;
        refused.get("auth_timeout").copied().unwrap_or(0)
    };
    assert_eq!(server.sum(late).await, 2);
    // Who has authenticated in time has no deadline.
    let mut member = newcomer(&server).await;
    member
        .tell("auth", &json!({ "token": server.token("alice") }))
        .await;
    member.expect("connected").await;
    let mut after = newcomer(&server).await;
    assert_eq!(after.expect("auth-error").await["code"], 4007);
    member.quiet().await;
}

#[tokio::test]
async fn frames_behind_the_token_wait_for_the_outcome_in_order() {
    let server = Server::start();
    let mut raw = Raw::open(server.address, &Handshake::updates()).await;
    let auth = json!({ "event": "auth", "data": { "token": server.token("alice") } });
    let mut bytes = frame(0x81, auth.to_string().as_bytes());
    for number in 0..16 {
        let ping = json!({ "event": "ping", "ackId": number }).to_string();
        bytes.extend_from_slice(&frame(0x81, ping.as_bytes()));
    }
    raw.write(&bytes).await;
    assert_eq!(raw.json().await["event"], "connected");
    for number in 0..16 {
        assert_eq!(raw.json().await["ackId"], number);
    }
}

#[tokio::test]
async fn frames_behind_a_bad_token_are_not_answered() {
    let server = Server::start();
    let mut raw = Raw::open(server.address, &Handshake::updates()).await;
    let auth = br#"{"event":"auth","data":{"token":"rubbish"}}"#;
    let mut bytes = frame(0x81, auth);
    bytes.extend_from_slice(&frame(0x81, br#"{"event":"ping","ackId":1}"#));
    raw.write(&bytes).await;
    assert_eq!(raw.json().await["event"], "auth-error");
    assert!(matches!(raw.next().await, Seen::Close(Some(4001), _)));
}

#[tokio::test]
async fn until_authenticated_a_connection_is_nobody() {
    let server = Server::start();
    let mut waiting = newcomer(&server).await;
    let mut alice = server.connect("alice").await;
    assert_eq!(alice.acked("broadcast", &json!(1)).await["delivered"], 0);
    assert_eq!(server.stats("alice").await.total_connections, 1);
    assert_eq!(server.sum(|report| report.connections).await, 1);
    assert_eq!(server.sum(|report| report.pending).await, 1);
    waiting
        .tell("auth", &json!({ "token": server.token("alice") }))
        .await;
    waiting.expect("connected").await;
    assert_eq!(alice.acked("broadcast", &json!(2)).await["delivered"], 1);
    // The first broadcast was not kept for it.
    assert_eq!(waiting.expect("broadcast").await, 2);
    assert_eq!(server.sum(|report| report.pending).await, 0);
}

#[tokio::test]
async fn a_second_auth_is_ignored_and_never_forwarded() {
    let server = Server::start();
    let mut alice = server.connect("alice").await;
    let mut peer = server.connect_machine("alice", "m1").await;
    for _ in 0..2 {
        alice.expect("ephemeral").await;
    }
    let token = json!({ "token": server.token("bob"), "machineId": "m1" });
    alice.tell("auth", &token).await;
    assert_eq!(alice.acked("auth", &token).await, json!({ "ok": true }));
    peer.tell("auth", &token).await;
    assert_eq!(
        peer.acked("auth", &json!(null)).await,
        json!({ "ok": true })
    );
    alice.quiet().await;
    peer.quiet().await;
    assert_eq!(server.stats("bob").await.total_connections, 0);
}
