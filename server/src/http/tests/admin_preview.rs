use serde_json::json;

use super::server::TestServer;

const PREVIEW: &str = "/admin/v1/broadcast/preview";

#[actix_rt::test]
async fn a_preview_counts_whom_a_broadcast_would_reach_and_sends_nothing() {
    let server = TestServer::start(&[
        ("tiers.free.connections_per_shard", "1"),
        ("tiers.free.max_shards", "2"),
        ("shard.hibernate_after", "100ms"),
    ])
    .await;
    let (a, b) = (
        server.token_of_tier("a", "free"),
        server.token_of_tier("b", "pro"),
    );
    let mut sockets = [
        server.connect_with(&a, "").await,
        server
            .connect_with(&a, "clientType=session-scoped&sessionId=s")
            .await,
        server
            .connect_with(&b, "clientType=session-scoped&sessionId=s")
            .await,
        server
            .connect_with(&b, "clientType=machine-scoped&machineId=m")
            .await,
    ];
    server
        .until("/admin/v1/overview", |answer| {
            answer.json["shards"]["awake"] == 0 && answer.json["connections"] == 4
        })
        .await;
    let session = json!({"type": "session", "sessionId": "s"});
    let users = json!({"type": "user-scoped-only"});
    let exclude = json!({"type": "exclude", "connectionId": sockets[3].id});
    let machine = json!({"type": "machine-scoped-only", "machineId": "m"});
    // What, for whom, how many, and whether it can be told without waking anybody.
    for (filter, to, expected, asleep) in [
        (json!(null), json!({"everyone": true}), 4, true),
        (json!(null), json!({"tier": "free"}), 2, true),
        (json!(null), json!({"tier": "enterprise"}), 0, true),
        (
            json!(null),
            json!({"clientType": "session-scoped"}),
            2,
            true,
        ),
        (users.clone(), json!({"everyone": true}), 1, true),
        (users.clone(), json!({"clientType": "user-scoped"}), 1, true),
        (
            users.clone(),
            json!({"clientType": "machine-scoped"}),
            0,
            true,
        ),
        (json!(null), json!({"user": "nobody"}), 0, true),
        (session.clone(), json!({"everyone": true}), 2, false),
        (session.clone(), json!({"tier": "pro"}), 1, false),
        (session, json!({"clientType": "user-scoped"}), 0, false),
        (exclude, json!({"everyone": true}), 3, false),
        (machine.clone(), json!({"everyone": true}), 2, false),
        (machine, json!({"clientType": "machine-scoped"}), 1, false),
        (json!(null), json!({"user": "a"}), 2, false),
        (users, json!({"user": "b"}), 0, false),
    ] {
        let body = json!({"filter": filter, "to": to}).to_string();
        let before = server.as_admin("GET", "/admin/v1/overview", "").await.ok();
        let answer = server.as_admin("POST", PREVIEW, &body).await.ok();
        assert_eq!(answer, json!({"connections": expected}), "{body}");
        if asleep && before["shards"]["awake"] == 0 {
            let after = server.as_admin("GET", "/admin/v1/overview", "").await.ok();
            assert_eq!(after["shards"]["awake"], 0, "{body}");
        }
    }
    for socket in &mut sockets {
        socket.has_nothing().await;
    }
    for (body, part) in [
        (json!({"to": {}}), "exactly one"),
        (json!({"to": {"tier": "x"}}), "no tier"),
        (
            json!({"to": {"everyone": true}, "filter": {"type": "x"}}),
            "unknown filter",
        ),
        (json!({}), "to"),
    ] {
        let answer = server.as_admin("POST", PREVIEW, &body.to_string()).await;
        answer.is_invalid(&[part]);
    }
    let user = server.as_user("a", "POST", PREVIEW, "{}").await;
    assert_eq!(user.status, 403);
    server.stop().await;
}
