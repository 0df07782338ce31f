use serde_json::{Value, json};

use super::client::{Answer, Socket};
use super::server::TestServer;

const BROADCAST: &str = "/admin/v1/broadcast";

/// `a` (free) with a user-scoped and a session-scoped connection on two shards, `b` (pro) with a
/// user-scoped and a machine-scoped one.
struct Crowd {
    server: TestServer,
    a_user: Socket,
    a_session: Socket,
    b_user: Socket,
    b_machine: Socket,
}

impl Crowd {
    async fn gather() -> Self {
        let server = TestServer::start(&[
            ("tiers.free.connections_per_shard", "1"),
            ("tiers.free.max_shards", "2"),
        ])
        .await;
        let a = server.token_of_tier("a", "free");
        let b = server.token_of_tier("b", "pro");
        let a_user = server.connect_with(&a, "").await;
        let session = "clientType=session-scoped&sessionId=s";
        let a_session = server.connect_with(&a, session).await;
        let mut b_user = server.connect_with(&b, "").await;
        let machine = "clientType=machine-scoped&machineId=m&sessionId=s";
        let b_machine = server.connect_with(&b, machine).await;
        // The machine's presence is announced to user-scoped connections.
        for _ in 0..2 {
            assert_eq!(b_user.json().await["event"], "ephemeral");
        }
        Self {
            server,
            a_user,
            a_session,
            b_user,
            b_machine,
        }
    }

    async fn send(&self, payload: &Value, filter: &Value, to: &Value) -> Answer {
        let body = json!({
            "message": {"type": "notice", "payload": payload}, "filter": filter, "to": to
        });
        self.server
            .as_admin("POST", BROADCAST, &body.to_string())
            .await
    }

    /// Sends, and requires that exactly these connections get it.
    async fn reaches(&mut self, filter: Value, to: Value, expected: [bool; 4]) -> Value {
        let payload = json!([filter, to]);
        let answer = self.send(&payload, &filter, &to).await.ok();
        let count = expected.iter().filter(|gets| **gets).count();
        assert_eq!(
            (&answer["success"], &answer["delivered"]),
            (&json!(true), &json!(count)),
            "{to}"
        );
        let by_shard: u64 = answer["shards"]
            .as_array()
            .unwrap()
            .iter()
            .map(|shard| shard["delivered"].as_u64().unwrap())
            .sum();
        assert_eq!(by_shard, count as u64);
        for (socket, gets) in self.sockets().into_iter().zip(expected) {
            if gets {
                let got = socket.json().await;
                assert_eq!((&got["event"], &got["data"]), (&json!("notice"), &payload));
            } else {
                socket.has_nothing().await;
            }
        }
        answer
    }

    fn sockets(&mut self) -> [&mut Socket; 4] {
        [
            &mut self.a_user,
            &mut self.a_session,
            &mut self.b_user,
            &mut self.b_machine,
        ]
    }
}

#[actix_rt::test]
async fn each_kind_of_recipient_is_reached_alone() {
    let mut crowd = Crowd::gather().await;
    let all = Value::Null;
    let answer = crowd
        .reaches(
            all.clone(),
            json!({"user": "a"}),
            [true, true, false, false],
        )
        .await;
    let shards = json!([{"shard": "a", "delivered": 1}, {"shard": "a-1", "delivered": 1}]);
    assert_eq!(answer["shards"], shards);
    for (to, expected) in [
        (json!({"user": "nobody"}), [false; 4]),
        (
            json!({"user": "b", "tier": null, "more": 1}),
            [false, false, true, true],
        ),
        (json!({"tier": "free"}), [true, true, false, false]),
        (json!({"tier": "pro"}), [false, false, true, true]),
        (json!({"tier": "enterprise"}), [false; 4]),
        (
            json!({"clientType": "user-scoped"}),
            [true, false, true, false],
        ),
        (
            json!({"clientType": "session-scoped"}),
            [false, true, false, false],
        ),
        (
            json!({"clientType": "machine-scoped"}),
            [false, false, false, true],
        ),
        (json!({"everyone": true}), [true; 4]),
    ] {
        crowd.reaches(all.clone(), to, expected).await;
    }
    crowd.server.stop().await;
}

#[actix_rt::test]
async fn filters_apply_within_the_recipients() {
    let mut crowd = Crowd::gather().await;
    let session = json!({"type": "session", "sessionId": "s"});
    let interested = json!({"type": "all-interested-in-session", "sessionId": "s"});
    let exclude = json!({"type": "exclude", "connectionId": crowd.b_user.id});
    for (filter, to, expected) in [
        (
            session.clone(),
            json!({"everyone": true}),
            [false, true, false, true],
        ),
        (
            session.clone(),
            json!({"clientType": "machine-scoped"}),
            [false, false, false, true],
        ),
        (session, json!({"clientType": "user-scoped"}), [false; 4]),
        (
            interested,
            json!({"clientType": "session-scoped"}),
            [false, true, false, false],
        ),
        (
            exclude.clone(),
            json!({"clientType": "user-scoped"}),
            [true, false, false, false],
        ),
        (exclude, json!({"tier": "pro"}), [false, false, false, true]),
        (
            json!({"type": "user-scoped-only"}),
            json!({"user": "b"}),
            [false, false, true, false],
        ),
    ] {
        crowd.reaches(filter, to, expected).await;
    }
    crowd.server.stop().await;
}

#[actix_rt::test]
async fn bad_broadcasts_are_refused_and_reach_nobody() {
    let mut crowd = Crowd::gather().await;
    for (to, part) in [
        (Value::Null, "to"),
        (json!("everyone"), "to"),
        (json!({}), "exactly one"),
        (json!({"everyone": false}), "exactly one"),
        (json!({"user": null}), "exactly one"),
        (json!({"user": "a", "tier": "free"}), "exactly one"),
        (json!({"user": "a", "everyone": true}), "exactly one"),
        (
            json!({"tier": "free", "clientType": "user-scoped"}),
            "exactly one",
        ),
        (json!({"tier": "gold"}), "use one of"),
        (json!({"tier": ""}), "use one of"),
        (json!({"clientType": "phone"}), "machine-scoped"),
        (json!({"user": 5}), "to.user"),
        (json!({"everyone": "yes"}), "to.everyone"),
    ] {
        let answer = crowd.send(&Value::Null, &Value::Null, &to).await;
        answer.is_invalid(&[part]);
    }
    let everyone = json!({"everyone": true});
    let unknown = json!({"type": "tall"});
    crowd
        .send(&Value::Null, &unknown, &everyone)
        .await
        .is_invalid(&["unknown filter"]);
    let nameless = json!({"type": "machine"});
    crowd
        .send(&Value::Null, &nameless, &everyone)
        .await
        .is_invalid(&["machineId"]);
    for body in [
        "",
        "{}",
        r#"{"to":{"everyone":true}}"#,
        r#"{"message":{"type":"a"}}"#,
    ] {
        crowd
            .server
            .as_admin("POST", BROADCAST, body)
            .await
            .is_invalid(&[]);
    }
    for socket in crowd.sockets() {
        socket.has_nothing().await;
    }
    crowd.server.stop().await;
}

#[actix_rt::test]
async fn a_message_over_the_limit_of_messages_is_refused() {
    let server = TestServer::start(&[("limits.message", "1 KiB")]).await;
    let body = json!({
        "message": {"type": "a", "payload": "x".repeat(1024)}, "to": {"everyone": true}
    });
    let answer = server.as_admin("POST", BROADCAST, &body.to_string()).await;
    answer.is_error(413, &["message"]);
    assert_eq!(answer.json["maxSize"], 1024);
    server.stop().await;
}
