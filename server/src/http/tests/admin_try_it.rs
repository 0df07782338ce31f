use serde_json::json;

use super::server::TestServer;

const TRY_IT: &str = "/admin/v1/try-it";

#[actix_rt::test]
async fn a_test_user_connects_like_any_other() {
    let server = TestServer::start(&[]).await;
    let answer = server.as_admin("POST", TRY_IT, "").await;
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    let answer = answer.ok();
    assert_eq!(
        (&answer["user"], &answer["expiresIn"]),
        (&json!("try-it"), &json!(300))
    );
    let mut socket = server
        .connect_with(answer["token"].as_str().unwrap(), "")
        .await;
    socket.has_nothing().await;
    let body = json!({"name": "two", "tier": "free"}).to_string();
    let answer = server.as_admin("POST", TRY_IT, &body).await.ok();
    let _socket = server
        .connect_with(answer["token"].as_str().unwrap(), "")
        .await;
    let user = server.as_admin("GET", "/admin/v1/users/try-two", "").await;
    assert_eq!(user.ok()["tier"], "free");
    let log = server.as_admin("GET", "/admin/v1/audit", "").await.ok();
    assert_eq!(log["entries"][0]["target"], "try-two");
    assert!(!log.to_string().contains(answer["token"].as_str().unwrap()));
    server.stop().await;
}

#[actix_rt::test]
async fn no_other_users_token_can_be_had() {
    let server = TestServer::start(&[]).await;
    let long = "x".repeat(125);
    for (body, part) in [
        (json!({"name": "with space"}), "visible"),
        (json!({"name": long}), "128"),
        (json!({"tier": "x"}), "no tier"),
    ] {
        let answer = server.as_admin("POST", TRY_IT, &body.to_string()).await;
        answer.is_invalid(&[part]);
    }
    let user = server.as_user("alice", "POST", TRY_IT, "").await;
    assert_eq!(user.status, 403);
    server.stop().await;
}
