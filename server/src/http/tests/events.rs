//! The event side without its database (contract events.md sections 11 and 14).

use serde_json::json;

use super::client::{Answer, Socket};
use super::server::TestServer;

const KEY: &str = "test-api-key";

#[actix_rt::test]
async fn without_a_database_requests_are_answered_with_503_and_sockets_stay() {
    let server = TestServer::start(&[]).await;
    let path = format!("/ws/events?apiKey={KEY}");
    let mut socket = Socket::open_unasked(server.main, &path).await.unwrap();
    assert_eq!(socket.json().await["type"], "connected");
    server.state().database.close().await;
    for (method, path, key) in [
        ("POST", "/api/v1/demo/events/call", KEY),
        ("POST", "/api/v1/demo/events/call/sequence", KEY),
        ("GET", "/api/v1/events", KEY),
        ("GET", "/api/v1/reporting/metrics", KEY),
        ("GET", "/api/v1/reporting/calls", KEY),
        ("GET", "/api/v1/demo/status", KEY),
        // Nobody can say whether it is one.
        ("GET", "/api/v1/reporting/metrics", "unknown"),
    ] {
        let request = server.request(method, path).header("X-API-Key", key);
        let answer = Answer::to(request).await;
        assert_eq!(answer.status, 503, "{method} {path}: {}", answer.text);
        let error = &answer.json["error"];
        assert!(error["requestId"].is_string(), "{error}");
        assert!(!answer.text.contains("sqlx"), "{error}");
    }
    let ready = Answer::to(server.request("GET", "/health/ready")).await;
    assert_eq!(
        (ready.status, &ready.json["status"]),
        (503, &json!("unhealthy"))
    );
    let database = &ready.json["checks"]["database"];
    assert_eq!(database["status"], "error");
    assert!(database["error"].is_string() && database["latency"].is_f64());
    for path in ["/health", "/health/live", "/metrics"] {
        let answer = Answer::to(server.request("GET", path)).await;
        assert_eq!(answer.status, 200, "{path}");
    }
    socket.send(&json!({"type": "ping"}).to_string()).await;
    assert_eq!(socket.json().await["type"], "pong");
    server.stop().await;
}
