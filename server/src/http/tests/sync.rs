//! The sync API over HTTP, on both databases: every row of sections 4 to 7 and 12 of the REST
//! contract.

use serde_json::{Value, json};

use super::client::{Answer, Socket};
use super::server::{TestServer, on_both_servers};

mod access_keys;
mod artifacts;
mod attachments;
mod lengths;
mod machines;
mod message_batches;
mod messages;
mod push_events;
mod sessions;
mod usage;

const ALICE: &str = "alice";
const BOB: &str = "bob";

impl TestServer {
    async fn send(&self, user: &str, method: &str, path: &str, body: Value) -> Answer {
        self.as_user(user, method, path, &body.to_string()).await
    }

    async fn get(&self, user: &str, path: &str) -> Answer {
        self.as_user(user, "GET", path, "").await
    }

    async fn session(&self, user: &str, tag: &str) -> Value {
        let body = json!({ "tag": tag, "metadata": "m" });
        self.send(user, "POST", "/v1/sessions", body).await.ok()["session"].take()
    }

    async fn session_id(&self, user: &str, tag: &str) -> String {
        self.session(user, tag).await["id"]
            .as_str()
            .unwrap()
            .to_owned()
    }

    async fn machine(&self, user: &str, id: &str) -> Value {
        let body = json!({ "id": id, "metadata": "m" });
        self.send(user, "POST", "/v1/machines", body).await.ok()["machine"].take()
    }

    async fn message(&self, user: &str, session: &str, text: &str) -> Value {
        let path = format!("/v1/sessions/{session}/messages");
        let body = json!({ "content": { "t": "encrypted", "c": text } });
        self.send(user, "POST", &path, body).await.ok()["message"].take()
    }

    /// Requires a validation error for each body.
    async fn refuses(&self, method: &str, path: &str, bodies: impl IntoIterator<Item = Value>) {
        for body in bodies {
            let answer = self.send(ALICE, method, path, body.clone()).await;
            assert_eq!(answer.status, 400, "{body}: {}", answer.text);
            answer.is_error(400, &[]);
            assert_eq!(answer.json["code"], "VALIDATION_FAILED", "{body}");
        }
    }
}

impl Socket {
    /// The body of the update that must come next, and its number.
    async fn update(&mut self) -> (i64, Value) {
        let mut frame = self.json().await;
        assert_eq!(frame["event"], "update", "{frame}");
        let seq = frame["data"]["seq"].as_i64().unwrap();
        (seq, frame["data"]["body"].take())
    }
}

#[actix_rt::test]
async fn every_route_needs_a_token() {
    let server = TestServer::start(&[]).await;
    for endpoint in crate::http::sync::endpoints() {
        let path = endpoint.path().replace(['{', '}'], "");
        for method in endpoint.methods() {
            let answer = Answer::to(server.request(method.as_str(), &path)).await;
            answer.is_error(401, &["Missing authorization header"]);
        }
    }
    server.stop().await;
}

#[actix_rt::test]
async fn ids_that_nothing_can_have_are_not_found() {
    let server = TestServer::start(&[]).await;
    let long = "x".repeat(129);
    for id in ["none", "a%00b", &long, "%F0%9F%92%A9", "a%2Fb"] {
        for path in [
            format!("/v1/sessions/{id}"),
            format!("/v1/sessions/{id}/messages"),
            format!("/v2/sessions/{id}/messages"),
            format!("/v1/machines/{id}"),
            format!("/v1/artifacts/{id}"),
            format!("/v1/access-keys/{id}/m"),
        ] {
            let answer = server.get(ALICE, &path).await;
            assert_eq!(answer.status, 404, "{path}: {}", answer.text);
        }
    }
    server.stop().await;
}

#[actix_rt::test]
async fn a_database_that_is_gone_answers_503_and_sockets_stay() {
    let server = TestServer::start(&[]).await;
    let mut socket = server.connect(ALICE, "").await;
    server.state().database.close().await;
    let answer = server.get(ALICE, "/v1/sessions").await;
    answer.is_error(503, &["database"]);
    let body = json!({ "tag": "t", "metadata": "m" });
    let answer = server.send(ALICE, "POST", "/v1/sessions", body).await;
    answer.is_error(503, &["database"]);
    let ready = Answer::to(server.request("GET", "/ready")).await;
    assert_eq!(
        (ready.status, &ready.json["checks"]["database"]),
        (503, &json!(false))
    );
    // Never an error, whatever is wrong.
    let limits = server.get(ALICE, "/v1/usage/limits").await.ok();
    assert_eq!(limits["limitsAvailable"], false);
    for (event, data, failed) in [
        (
            "update-metadata",
            json!({ "sid": "s", "metadata": "m", "expectedVersion": 1 }),
            json!({ "result": "error", "message": "the database is not available; try again" }),
        ),
        (
            "message",
            json!({ "sid": "s", "message": "c" }),
            json!({ "ok": false, "error": "the database is not available; try again" }),
        ),
        (
            "request-updates-since",
            json!({ "sessions": 0, "machines": 0, "artifacts": 0 }),
            json!({ "success": false, "error": "the database is not available; try again" }),
        ),
    ] {
        let request = json!({ "event": event, "ackId": "1", "data": data });
        socket.say(&request.to_string()).await;
        let answer = socket.json().await;
        assert_eq!(answer["ack"], failed, "{event}");
    }
    // What does not need it goes on: a machine's presence is told, though it is not stored.
    let machine = server
        .connect(ALICE, "clientType=machine-scoped&machineId=m")
        .await;
    for kind in ["machine-status", "machine-activity"] {
        let frame = socket.json().await;
        assert_eq!(
            (&frame["event"], &frame["data"]["type"]),
            (&json!("ephemeral"), &json!(kind))
        );
    }
    drop(machine);
    for kind in ["machine-status", "machine-activity"] {
        assert_eq!(socket.json().await["data"]["type"], kind);
    }
    socket.has_nothing().await;
    server.stop().await;
}
