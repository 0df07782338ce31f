//! `/admin/v1/api-keys`: keys of tenants.

use serde_json::json;

use super::server::TestServer;

const PATH: &str = "/admin/v1/api-keys";

#[actix_rt::test]
async fn keys_are_made_listed_and_revoked_on_record() {
    let server = TestServer::start(&[]).await;
    let none = server.as_admin("GET", PATH, "").await.ok();
    assert_eq!(none, json!({"keys": [], "hasMore": false}));
    let body = json!({"tenant": "acme", "name": "billing", "expiresIn": 60}).to_string();
    let made = server.as_admin("POST", PATH, &body).await.ok();
    let key = made["key"].as_str().unwrap();
    assert!(key.starts_with(made["prefix"].as_str().unwrap()));
    assert!(made["expiresAt"].is_u64());
    let plain = json!({"tenant": "acme"}).to_string();
    let plain = server.as_admin("POST", PATH, &plain).await.ok();
    assert_eq!(plain["expiresAt"], json!(null));

    let listed = server.as_admin("GET", PATH, "").await.ok();
    let keys = listed["keys"].as_array().unwrap();
    let seen: Vec<_> = keys
        .iter()
        .map(|key| json!([key["tenant"], key["name"], key["status"], key["lastUsedAt"]]))
        .collect();
    assert_eq!(
        seen,
        [
            json!(["acme", "billing", "ACTIVE", null]),
            json!(["acme", "unnamed", "ACTIVE", null]),
        ]
    );
    assert!(!listed.to_string().contains(key), "the key is shown once");

    let one = format!("{PATH}/{}", keys[0]["id"].as_str().unwrap());
    server.as_admin("DELETE", &one, "").await.ok();
    server.as_admin("DELETE", &one, "").await.is_error(404, &[]);
    let listed = server.as_admin("GET", PATH, "").await.ok();
    assert_eq!(listed["keys"][0]["status"], "REVOKED");

    let log = server.as_admin("GET", "/admin/v1/audit", "").await.ok();
    assert!(!log.to_string().contains(key));
    let entries = log["entries"].as_array().unwrap();
    let seen: Vec<_> = entries
        .iter()
        .rev()
        .map(|entry| json!([entry["action"], entry["outcome"]]))
        .collect();
    assert_eq!(
        seen,
        [
            json!(["create-api-key", "done"]),
            json!(["create-api-key", "done"]),
            json!(["revoke-api-key", "done"]),
            json!(["revoke-api-key", "failed"]),
        ]
    );
    server.stop().await;
}

#[actix_rt::test]
async fn what_can_be_no_key_is_refused() {
    let server = TestServer::start(&[]).await;
    let long = "x".repeat(129);
    for (body, field) in [
        (json!({}), "tenant"),
        (json!({"tenant": ""}), "tenant"),
        (json!({"tenant": "a b"}), "tenant"),
        (json!({"tenant": "x".repeat(65)}), "tenant"),
        (json!({"tenant": "a", "name": long}), "name"),
        (json!({"tenant": "a", "name": "\0"}), "name"),
        (json!({"tenant": "a", "expiresIn": 0}), "expiresIn"),
        (
            json!({"tenant": "a", "expiresIn": 315_360_001}),
            "expiresIn",
        ),
    ] {
        let answer = server.as_admin("POST", PATH, &body.to_string()).await;
        answer.is_invalid(&[field]);
    }
    for id in ["none", "%00", "%FF"] {
        let path = format!("{PATH}/{id}");
        let status = server.as_admin("DELETE", &path, "").await.status;
        assert!(matches!(status, 400 | 404), "{id}: {status}");
    }
    for (method, path) in [
        ("GET", PATH),
        ("POST", PATH),
        ("DELETE", "/admin/v1/api-keys/x"),
    ] {
        server
            .as_user("alice", method, path, "")
            .await
            .is_error(403, &[]);
    }
    server.stop().await;
}
