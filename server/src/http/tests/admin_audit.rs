use serde_json::json;

use super::client::Answer;
use super::server::TestServer;

async fn entries(server: &TestServer, query: &str) -> serde_json::Value {
    let path = format!("/admin/v1/audit{query}");
    server.as_admin("GET", &path, "").await.ok()
}

#[actix_rt::test]
async fn every_action_is_on_record_with_who_and_how_it_ended() {
    let server = TestServer::start(&[]).await;
    assert_eq!(entries(&server, "").await["entries"], json!([]));
    let mut alice = server.connect("alice", "").await;
    let second = server.connect("alice", "").await;
    let message = json!({
        "message": {"type": "notice", "payload": {"secret": "5551"}},
        "filter": {"type": "user-scoped-only"}, "to": {"user": "alice"}
    });
    let acts = [
        (
            "POST",
            "/admin/v1/broadcast".to_owned(),
            message.to_string(),
        ),
        (
            "DELETE",
            format!("/admin/v1/connections/{}", second.id),
            String::new(),
        ),
        (
            "PUT",
            "/admin/v1/users/alice/tier".to_owned(),
            r#"{"tier":"pro"}"#.to_owned(),
        ),
        (
            "DELETE",
            "/admin/v1/users/alice/tier".to_owned(),
            String::new(),
        ),
        (
            "POST",
            "/admin/v1/users/alice/disconnect".to_owned(),
            r#"{"code":4000}"#.to_owned(),
        ),
        (
            "POST",
            "/admin/v1/drain".to_owned(),
            r#"{"overMs":1}"#.to_owned(),
        ),
    ];
    for (method, path, body) in &acts {
        server.as_admin(method, path, body).await.ok();
    }
    assert_eq!(alice.json().await["event"], "notice");
    let nobody = server
        .as_admin("POST", "/admin/v1/users/nobody/disconnect", "")
        .await;
    nobody.is_error(404, &["no connection"]);
    let log = entries(&server, "").await;
    assert!(!log.to_string().contains("5551"), "no contents of messages");
    assert_eq!(log["nextBefore"], json!(null));
    let seen: Vec<_> = log["entries"]
        .as_array()
        .unwrap()
        .iter()
        .rev()
        .map(|entry| {
            assert_eq!(entry["admin"], "root");
            assert!(entry["at"].as_u64().unwrap() > 1_700_000_000_000);
            json!([
                entry["action"],
                entry["target"],
                entry["outcome"],
                entry["result"]
            ])
        })
        .collect();
    assert_eq!(
        seen,
        [
            json!(["broadcast", "user \"alice\"", "done", {"delivered": 2}]),
            json!(["close-connection", second.id, "done", {"closed": 1}]),
            json!(["set-tier", "alice", "done", {"limit": 200}]),
            json!(["clear-tier", "alice", "done", {}]),
            json!(["disconnect-user", "alice", "done", {"closed": 1}]),
            json!(["drain", "server", "done", {}]),
            json!([
                "disconnect-user",
                "nobody",
                "failed",
                "the user has no connection"
            ]),
        ]
    );
    let sent = &log["entries"][6]["detail"];
    assert_eq!(
        (&sent["event"], &sent["filter"]["type"]),
        (&json!("notice"), &json!("user-scoped-only"))
    );
    server.stop().await;
}

#[actix_rt::test]
async fn what_concerns_accounts_is_on_record_without_codes() {
    let server = TestServer::start(&[]).await;
    let body = json!({"note": "for bob"}).to_string();
    let invite = server
        .as_admin("POST", "/admin/v1/invites", &body)
        .await
        .ok();
    let id = invite["invite"]["id"].as_str().unwrap();
    let path = format!("/admin/v1/invites/{id}");
    server.as_admin("DELETE", &path, "").await.ok();
    let block = "/admin/v1/accounts/mallory/block";
    server.as_admin("POST", block, "").await.ok();
    let approve = "/admin/v1/accounts/nobody/approve";
    assert_eq!(server.as_admin("POST", approve, "").await.status, 404);
    let delete = "/admin/v1/accounts/mallory";
    let deleted = server.as_admin("DELETE", delete, "").await;
    let log = entries(&server, "").await;
    assert!(!log.to_string().contains(invite["code"].as_str().unwrap()));
    let seen: Vec<_> = log["entries"]
        .as_array()
        .unwrap()
        .iter()
        .rev()
        .map(|entry| json!([entry["action"], entry["target"], entry["outcome"]]))
        .collect();
    let deletion = if deleted.status == 200 {
        "done"
    } else {
        "failed"
    };
    assert_eq!(
        seen,
        [
            json!(["create-invite", "accounts", "done"]),
            json!(["revoke-invite", id, "done"]),
            json!(["block-account", "mallory", "done"]),
            json!(["approve-account", "nobody", "failed"]),
            json!(["delete-account", "mallory", deletion]),
        ]
    );
    server.stop().await;
}

#[actix_rt::test]
async fn pages_go_back_in_time_and_refused_requests_leave_no_trace() {
    let server = TestServer::start(&[]).await;
    for tier in ["free", "pro", "enterprise"] {
        let body = json!({"tier": tier}).to_string();
        server
            .as_admin("PUT", "/admin/v1/users/a/tier", &body)
            .await
            .ok();
    }
    let bad = server
        .as_admin("PUT", "/admin/v1/users/a/tier", r#"{"tier":"x"}"#)
        .await;
    bad.is_invalid(&["no tier"]);
    let user = server.as_user("a", "POST", "/admin/v1/drain", "").await;
    assert_eq!(user.status, 403);
    let first = entries(&server, "?limit=2").await;
    assert_eq!(first["entries"].as_array().unwrap().len(), 2);
    assert_eq!(first["nextBefore"], 2);
    let second = entries(&server, "?limit=2&before=2").await;
    assert_eq!(second["entries"][0]["detail"]["tier"], "free");
    assert_eq!(second["nextBefore"], json!(null));
    for query in ["?limit=0", "?limit=201", "?before=x"] {
        let path = format!("/admin/v1/audit{query}");
        assert_eq!(
            server.as_admin("GET", &path, "").await.status,
            400,
            "{query}"
        );
    }
    let answer = Answer::to(server.request("GET", "/admin/v1/audit")).await;
    answer.is_error(401, &["token"]);
    server.stop().await;
}
