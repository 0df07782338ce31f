//! `/ws/events` (contract events.md sections 6 to 8).

use serde_json::json;
use tokio_tungstenite::tungstenite::Message;

use crate::support::events::{KEY, TENANT, call, handshake, quiet, subscribed, subscriber};
use crate::support::{Client, Handshake, Raw, Server, eventually, http};

#[tokio::test]
async fn keys_come_in_the_query_or_the_header_and_the_query_counts() {
    let server = Server::start();
    let to = || Handshake::to("/ws/events");
    for good in [
        to().query("apiKey", KEY),
        to().header("X-API-Key", KEY),
        to().query("apiKey", KEY).header("X-API-Key", "nonsense"),
    ] {
        let mut client = Client::open(server.address, good).await;
        let connected = client.json().await;
        assert_eq!(connected["type"], "connected");
        assert_eq!(connected["tenantId"], TENANT);
        assert_eq!(connected["timestamp"].as_str().unwrap().len(), 24);
    }
    for bad in [
        to(),
        to().query("apiKey", ""),
        to().query("apiKey", "nonsense"),
        to().query("apiKey", "nonsense").header("X-API-Key", KEY),
        to().bearer(&server.token("alice")),
    ] {
        let mut client = Client::open(server.address, bad).await;
        assert_eq!(client.closed().await, (1008, "Unauthorized".to_owned()));
    }
}

#[tokio::test]
async fn a_handshake_that_is_none_is_refused_before_the_upgrade() {
    let server = Server::start();
    let old = handshake(KEY).header("Sec-WebSocket-Version", "7");
    let answer = Raw::request(server.address, &old.to_bytes()).await;
    assert_eq!(answer.status, 426);
    let short = handshake(KEY).header("Sec-WebSocket-Key", "short");
    let answer = Raw::request(server.address, &short.to_bytes()).await;
    assert_eq!(answer.status, 400);
    let plain = http::get(server.address, "/ws/events", None).await;
    assert_eq!(plain.status, 426);
}

#[tokio::test]
async fn frames_sent_with_the_handshake_are_not_lost() {
    let server = Server::start();
    let mut raw = Raw::connect(server.address).await;
    let mut bytes = handshake(KEY).to_bytes();
    let subscribe = br#"{"type":"subscribe","channels":["call.*"]}"#;
    bytes.extend(crate::support::raw::frame(0x81, subscribe));
    raw.write(&bytes).await;
    assert_eq!(raw.response().await.status, 101);
    assert_eq!(raw.json().await["type"], "connected");
    assert_eq!(raw.json().await["type"], "subscribed");
    call(server.address, KEY, "c", "call.started").await;
    assert_eq!(raw.json().await["channel"], "call.started");
}

#[tokio::test]
async fn the_past_is_replayed_from_the_database_and_the_present_follows() {
    let server = Server::start();
    for number in 0..300 {
        call(server.address, KEY, &format!("c{number}"), "call.started").await;
    }
    let mut client = subscriber(server.address, KEY).await;
    let request = json!({"type": "subscribe", "channels": ["call.*"], "since": "290"});
    client.send(&request).await;
    assert_eq!(client.json().await["cursor"], "290");
    call(server.address, KEY, "c300", "call.started").await;
    for cursor in 291..=301 {
        let event = client.json().await;
        assert_eq!(event["cursor"], cursor.to_string(), "{event}");
        assert_eq!(
            event["payload"]["data"]["callId"],
            format!("c{}", cursor - 1)
        );
    }
    quiet(&mut client).await;
}

#[tokio::test]
async fn the_node_has_only_so_many_places() {
    let server = Server::with("events.max_subscribers", "2").start();
    let first = subscribed(server.address, KEY, &["call.*"]).await;
    let _second = subscribed(server.address, KEY, &["call.*"]).await;
    let mut third = Client::open(server.address, handshake(KEY)).await;
    assert_eq!(third.closed().await.0, 1013);
    drop(first);
    server
        .until("one has gone", |report| report.subscribers, 1)
        .await;
    eventually("its place is free", || async {
        let mut client = Client::open(server.address, handshake(KEY)).await;
        matches!(client.next().await, Some(Message::Text(_))).then_some(())
    })
    .await;
}

#[tokio::test]
async fn users_and_subscribers_live_side_by_side() {
    let server = Server::start();
    let mut alice = server.connect("alice").await;
    let mut client = subscribed(server.address, KEY, &["call.*"]).await;
    call(server.address, KEY, "c", "call.started").await;
    assert_eq!(client.json().await["channel"], "call.started");
    alice.quiet().await;
    assert_eq!(server.sum(|report| report.connections).await, 1);
    assert_eq!(server.sum(|report| report.subscribers).await, 1);
}
