//! Frames as clients write and read them: the two envelopes, acks, pongs and errors (realtime
//! contract, sections 4.1–4.3 and 5.1).

use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;

use crate::support::{Client, Server};

async fn error_of(client: &mut Client) -> u64 {
    let answer = client.json().await;
    assert_eq!(answer["event"], "error", "{answer}");
    let data = answer["data"].as_object().unwrap();
    let mut fields: Vec<&str> = data.keys().map(String::as_str).collect();
    fields.sort_unstable();
    assert_eq!(fields, ["code", "message", "timestamp"]);
    data["code"].as_u64().unwrap()
}

#[tokio::test]
async fn pings_in_every_spelling_get_a_live_pong() {
    let server = Server::start();
    let mut client = server.connect("alice").await;
    for text in [
        r#"{"event":"ping"}"#,
        r#" { "event" : "ping" } "#,
        r#"{"type":"ping"}"#,
        r#"{"event":"ping","data":null}"#,
        r#"{"event":"ping","data":[1,{"deep":true}],"more":"ignored"}"#,
        r#"{"event":"p\u0069ng"}"#,
        r#"{"event":"ping","type":"broadcast"}"#,
        r#"{"event":5,"type":"ping"}"#,
        r#"{"event":"ping","ackId":""}"#,
        r#"{"event":"ping","ackId":null}"#,
    ] {
        let before = dormouse_server::clock::unix_ms();
        client.send_text(text).await;
        let pong = client.json().await;
        let timestamp = pong["data"]["timestamp"].as_u64().unwrap();
        assert!(
            (before..=dormouse_server::clock::unix_ms()).contains(&timestamp),
            "{text}"
        );
        assert_eq!(
            pong,
            json!({ "event": "pong", "data": { "timestamp": timestamp } }),
            "{text}"
        );
    }
}

#[tokio::test]
async fn correlation_ids_are_echoed_unchanged() {
    let server = Server::start();
    let mut client = server.connect("alice").await;
    for id in [
        r#""a""#,
        r#""with \"quotes\" and \u00e9""#,
        "7",
        "-1",
        "1.50",
        "1e3",
        "12345678901234567890123",
    ] {
        client
            .send_text(&format!(r#"{{"event":"ping","ackId":{id}}}"#))
            .await;
        let pong = client.text().await;
        assert!(
            pong.ends_with(&format!(r#","ackId":{id},"ack":{{}}}}"#)),
            "{pong}"
        );
        client
            .send_text(&format!(r#"{{"type":"auth","messageId":{id}}}"#))
            .await;
        let expected = format!(r#"{{"event":"ack","ackId":{id},"ack":{{"ok":true}}}}"#);
        assert_eq!(client.text().await, expected);
    }
}

#[tokio::test]
async fn what_is_no_envelope_gets_an_error_and_the_connection_stays() {
    let server = Server::start();
    let mut client = server.connect("alice").await;
    for text in [
        "",
        " ",
        "nonsense",
        "{",
        "null",
        "true",
        "7",
        r#""ping""#,
        "[]",
        r#"[{"event":"ping"}]"#,
        "{}",
        r#"{"data":{}}"#,
        r#"{"event":null}"#,
        r#"{"event":7}"#,
        r#"{"event":["ping"],"type":{}}"#,
        r#"{"event":"ping"} {"event":"ping"}"#,
        r#"{"event":"ping""#,
    ] {
        client.send_text(text).await;
        assert_eq!(error_of(&mut client).await, 1002, "{text}");
    }
    client.quiet().await;
}

#[tokio::test]
async fn twenty_bad_frames_in_a_row_close_and_a_good_one_starts_anew() {
    let server = Server::start();
    let mut client = server.connect("alice").await;
    for _ in 0..19 {
        client.send_text("nonsense").await;
        assert_eq!(error_of(&mut client).await, 1002);
    }
    client.quiet().await;
    for _ in 0..20 {
        client.send_text("nonsense").await;
        assert_eq!(error_of(&mut client).await, 1002);
    }
    assert_eq!(client.closed().await.0, 1002);
}

#[tokio::test]
async fn binary_frames_are_read_as_text() {
    let server = Server::start();
    let mut client = server.connect("alice").await;
    client
        .send_raw(Message::binary(br#"{"event":"ping"}"#.to_vec()))
        .await;
    client.expect("pong").await;
    client
        .send_raw(Message::binary(
            br#"{"type":"ping","messageId":3}"#.to_vec(),
        ))
        .await;
    assert_eq!(client.json().await["ackId"], 3);
    client
        .send_raw(Message::binary(vec![b'{', 0xff, 0xfe, b'}']))
        .await;
    assert_eq!(client.closed().await.0, 1007);
}

#[tokio::test]
async fn acknowledgements_of_clients_are_dropped_silently() {
    let server = Server::start();
    let mut client = server.connect("alice").await;
    let mut peer = server.connect("alice").await;
    for message in [
        json!({ "event": "ack", "ackId": "x", "ack": { "ok": true } }),
        json!({ "event": "broadcast", "ackId": "x", "ack": null, "data": 1 }),
        json!({ "event": "ping", "ackId": 5, "ack": 0 }),
    ] {
        client.send(&message).await;
    }
    client.quiet().await;
    peer.quiet().await;
    // Without a correlation id an ack value is just another field, and the server form has none.
    client
        .send(&json!({ "event": "broadcast", "ack": 1, "data": 2 }))
        .await;
    assert_eq!(peer.expect("broadcast").await, 2);
    client
        .send(&json!({ "type": "broadcast", "messageId": "x", "ack": 1, "payload": 3 }))
        .await;
    assert_eq!(client.json().await["ack"]["delivered"], 1);
    assert_eq!(peer.expect("broadcast").await, 3);
}

#[tokio::test]
async fn output_is_always_the_client_form() {
    let server = Server::start();
    let mut client = server.connect("alice").await;
    let mut peer = server.connect("alice").await;
    client
        .send(&json!({
            "type": "broadcast", "payload": { "n": 1 }, "timestamp": 5, "messageId": "m"
        }))
        .await;
    assert_eq!(
        client.json().await,
        json!({ "event": "ack", "ackId": "m", "ack": { "success": true, "delivered": 1 } })
    );
    assert_eq!(
        peer.json().await,
        json!({ "event": "broadcast", "data": { "n": 1 } })
    );
}

#[tokio::test]
async fn payloads_pass_through_byte_for_byte() {
    let server = Server::start();
    let mut client = server.connect("alice").await;
    let mut peer = server.connect("alice").await;
    let data = r#"{ "n":1.50,"big":123456789012345678901234567890,"s":"\u00e9\ud83d\ude00","a":[ ] ,"a":2}"#;
    client
        .send_text(&format!(r#"{{"event":"broadcast","data":{data}}}"#))
        .await;
    assert_eq!(
        peer.text().await,
        format!(r#"{{"event":"broadcast","data":{data}}}"#)
    );
}

#[tokio::test]
async fn every_request_is_answered_exactly_once() {
    let server = Server::start();
    let mut client = server.connect("alice").await;
    let mut expected = Vec::new();
    let events = [
        "ping",
        "auth",
        "broadcast",
        "rpc-call",
        "rpc-request",
        "rpc-cancel",
        "rpc-register",
        "rpc-unregister",
        "connected",
        "auth-error",
        "error",
        "ack",
        "pong",
        "update",
        "ephemeral",
        "rpc-registered",
        "rpc-unregistered",
        "rpc-error",
        "session-revived",
        "unheard-of",
        "",
        "message",
        "update-metadata",
        "update-state",
        "machine-update-metadata",
        "machine-update-state",
        "session-alive",
        "session-end",
        "machine-alive",
        "artifact-read",
        "artifact-create",
        "artifact-update",
        "artifact-delete",
        "access-key-get",
        "usage-report",
        "update-usage-limits",
        "acp-session-update",
        "acp-permission-request",
        "acp-permission-response",
        "acp-session-command",
        "acp-session-list-response",
        "acp-session-command-response",
        "request-updates-since",
    ];
    let payloads = [
        None,
        Some(Value::Null),
        Some(json!(7)),
        Some(json!("text")),
        Some(json!([])),
        Some(json!({})),
        Some(json!({ "sid": 5, "machineId": [], "method": {}, "time": "x", "requestId": 1 })),
    ];
    for event in events {
        for (number, payload) in payloads.iter().enumerate() {
            let id = format!("{event}#{number}");
            let mut message = json!({ "event": event, "ackId": id });
            if let Some(payload) = payload {
                message["data"] = payload.clone();
            }
            client.send(&message).await;
            expected.push(id);
        }
    }
    // Registrations answer with a frame of their own, without an id, beside the ack.
    let mut answered = Vec::new();
    while answered.len() < expected.len() {
        let answer = client.json().await;
        match answer.get("ackId") {
            Some(id) => answered.push(id.as_str().unwrap().to_owned()),
            None => assert_eq!(answer["event"], "rpc-error", "{answer}"),
        }
    }
    // What needs the database is answered when it has answered.
    answered.sort();
    expected.sort();
    assert_eq!(answered, expected, "each once");
    client.quiet().await;
}

#[tokio::test]
async fn protocol_pings_are_answered_with_their_payload() {
    use crate::support::raw::{Seen, frame};
    let server = Server::start();
    let handshake = crate::support::Handshake::updates().query("token", &server.token("alice"));
    let mut raw = crate::support::Raw::open(server.address, &handshake).await;
    assert_eq!(raw.json().await["event"], "connected");
    for payload in [&b""[..], b"hello", &[0xff; 125]] {
        raw.write(&frame(0x89, payload)).await;
        assert_eq!(raw.next().await, Seen::Control(10, payload.to_vec()));
    }
    // A pong nobody asked for is fine, as is a ping between the fragments of a message.
    raw.write(&frame(0x8a, b"unasked")).await;
    raw.write(&frame(0x01, br#"{"event":"#)).await;
    raw.write(&frame(0x89, b"between")).await;
    raw.write(&frame(0x80, br#""ping"}"#)).await;
    assert_eq!(raw.next().await, Seen::Control(10, b"between".to_vec()));
    assert_eq!(raw.json().await["event"], "pong");
}

#[tokio::test]
async fn a_close_is_echoed_with_its_code_if_that_may_be_sent() {
    let server = Server::start();
    for (code, answer) in [(1000, 1000), (1001, 1001), (4001, 4001), (3000, 3000)] {
        let mut client = server.connect("alice").await;
        assert_eq!(client.close(code).await, Some(answer));
        assert!(client.next().await.is_none());
    }
    server.until_connections("alice", 0).await;
}
