use serde_json::json;

use super::server::TestServer;

#[actix_rt::test]
async fn a_user_is_shown_with_shards_and_connections() {
    let server = TestServer::start(&[
        ("tiers.pro.connections_per_shard", "1"),
        ("tiers.pro.max_shards", "3"),
    ])
    .await;
    let token = server.token_of_tier("alice", "pro");
    let first = server.connect_with(&token, "").await;
    let query = "clientType=session-scoped&sessionId=s1&machineId=m1";
    let second = server.connect_with(&token, query).await;
    let _other = server.connect("bob", "").await;
    let user = server
        .as_admin("GET", "/admin/v1/users/alice", "")
        .await
        .ok();
    assert_eq!(
        (&user["user"], &user["tier"]),
        (&json!("alice"), &json!("pro"))
    );
    assert_eq!(
        (&user["tierSource"], &user["limit"]),
        (&json!("token"), &json!(3))
    );
    assert_eq!(user["totalConnections"], 2);
    assert_eq!(
        (&user["activeSessions"], &user["activeMachines"]),
        (&json!(1), &json!(1))
    );
    let shards = user["shards"].as_array().unwrap();
    let names: Vec<_> = shards
        .iter()
        .map(|shard| shard["shard"].as_str().unwrap())
        .collect();
    assert_eq!(names, ["alice", "alice-1"]);

    let mut connections = user["connections"].as_array().unwrap().clone();
    connections.sort_by_key(|connection| connection["clientType"] != "user-scoped");
    assert_eq!(connections.len(), 2);
    for (connection, id) in connections.iter().zip([&first.id, &second.id]) {
        assert_eq!(connection["connectionId"], **id);
        assert_eq!(
            (&connection["userId"], &connection["authState"]),
            (&json!("alice"), &json!("legacy"))
        );
        assert!(connection["connectedAt"].is_u64() && connection["lastActivityAt"].is_u64());
    }
    assert!(
        connections[0].get("sessionId").is_none(),
        "{}",
        connections[0]
    );
    assert_eq!(connections[1]["clientType"], "session-scoped");
    assert_eq!(connections[1]["sessionId"], "s1");
    assert_eq!(connections[1]["machineId"], "m1");
    server.stop().await;
}

#[actix_rt::test]
async fn user_ids_may_hold_any_visible_character() {
    let server = TestServer::start(&[]).await;
    for (user, encoded) in [
        ("a/b", "a%2Fb"),
        ("auth0|5f+7c%20", "auth0%7C5f%2B7c%2520"),
        ("用户", "%E7%94%A8%E6%88%B7"),
        ("..", "%2E%2E"),
        ("a?b#c", "a%3Fb%23c"),
    ] {
        let _socket = server.connect(user, "").await;
        // `..` would be folded by a client that normalises paths; the others pass as they are.
        if user == ".." {
            continue;
        }
        let path = format!("/admin/v1/users/{encoded}");
        let answer = server.as_admin("GET", &path, "").await.ok();
        assert_eq!(answer["user"], user);
        assert_eq!(answer["tierSource"], "default");
        assert_eq!(answer["totalConnections"], 1);
    }
    server.stop().await;
}

#[actix_rt::test]
async fn a_user_who_is_unknown_is_not_found() {
    let server = TestServer::start(&[]).await;
    for user in ["nobody", "%00", "%20"] {
        let answer = server
            .as_admin("GET", &format!("/admin/v1/users/{user}"), "")
            .await;
        answer.is_error(404, &["no connection", "no tier"]);
    }
    server.stop().await;
}

#[actix_rt::test]
async fn a_user_with_an_override_and_no_connection_has_empty_lists() {
    let server = TestServer::start(&[]).await;
    let path = "/admin/v1/users/alice";
    let body = r#"{"tier":"pro"}"#;
    server
        .as_admin("PUT", &format!("{path}/tier"), body)
        .await
        .ok();
    let user = server.as_admin("GET", path, "").await.ok();
    assert_eq!(
        (&user["tier"], &user["tierSource"]),
        (&json!("pro"), &json!("override"))
    );
    assert_eq!(
        (&user["limit"], &user["totalConnections"]),
        (&json!(200), &json!(0))
    );
    assert_eq!(
        (&user["shards"], &user["connections"]),
        (&json!([]), &json!([]))
    );
    server.stop().await;
}
