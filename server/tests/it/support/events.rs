//! Requests and subscribers of the event side.

use std::net::SocketAddr;

use reqwest::Method;
use serde_json::{Value, json};

use super::http::{Answer, send_with};
use super::{Client, Handshake};

/// The key that development takes.
pub const KEY: &str = "test-api-key";
/// The tenant of that key.
pub const TENANT: &str = "00000000-0000-0000-0000-000000000000";

/// A request with a key.
pub async fn ask(
    method: Method,
    address: SocketAddr,
    path: &str,
    key: &str,
    body: Option<&Value>,
) -> Answer {
    send_with(method, address, path, &[("X-API-Key", key)], body).await
}

/// `POST` with a key.
pub async fn post(address: SocketAddr, path: &str, key: &str, body: &Value) -> Answer {
    ask(Method::POST, address, path, key, Some(body)).await
}

/// `GET` with a key.
pub async fn get(address: SocketAddr, path: &str, key: &str) -> Answer {
    ask(Method::GET, address, path, key, None).await
}

/// Publishes an event of a demonstration call; the answer's body.
pub async fn call(address: SocketAddr, key: &str, call: &str, event: &str) -> Value {
    let body = json!({"callId": call, "eventType": event});
    let answer = post(address, "/api/v1/demo/events/call", key, &body).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.json()
}

/// The handshake of a subscriber.
pub fn handshake(key: &str) -> Handshake {
    Handshake::to("/ws/events").query("apiKey", key)
}

/// A subscriber that is greeted.
pub async fn subscriber(address: SocketAddr, key: &str) -> Client {
    let mut client = Client::open(address, handshake(key)).await;
    let connected = client.json().await;
    assert_eq!(connected["type"], "connected", "{connected}");
    client
}

/// One with a set of channels.
pub async fn subscribed(address: SocketAddr, key: &str, channels: &[&str]) -> Client {
    let mut client = subscriber(address, key).await;
    client
        .send(&json!({"type": "subscribe", "channels": channels}))
        .await;
    let answer = client.json().await;
    assert_eq!(answer, json!({"type": "subscribed", "channels": channels}));
    client
}

/// Makes sure that nothing is on its way to a subscriber.
pub async fn quiet(client: &mut Client) {
    client.send(&json!({"type": "ping"})).await;
    let next = client.json().await;
    assert_eq!(next["type"], "pong", "{next}");
}
