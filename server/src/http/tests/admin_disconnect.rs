use serde_json::json;

use super::client::Answer;
use super::server::TestServer;

const USUAL: (u16, &str) = (1008, "closed by an administrator");

#[actix_rt::test]
async fn one_connection_is_closed_and_others_stay() {
    let server = TestServer::start(&[]).await;
    let mut closed = server.connect("alice", "").await;
    let mut stays = server.connect("alice", "").await;
    let path = format!("/admin/v1/connections/{}", closed.id);
    let answer = server.as_admin("DELETE", &path, "").await.ok();
    assert_eq!(answer, json!({"success": true, "closed": 1}));
    let (code, reason) = closed.closed().await;
    assert_eq!((code, &*reason), USUAL);
    stays.has_nothing().await;
    let again = server.as_admin("DELETE", &path, "").await;
    again.is_error(404, &["no connection"]);
    server.stop().await;
}

#[actix_rt::test]
async fn all_connections_of_a_user_are_closed_on_all_shards() {
    let server = TestServer::start(&[
        ("auth.default_tier", "free"),
        ("tiers.free.connections_per_shard", "1"),
        ("tiers.free.max_shards", "3"),
    ])
    .await;
    let mut sockets = Vec::new();
    for _ in 0..3 {
        sockets.push(server.connect("alice", "").await);
    }
    let mut other = server.connect("bob", "").await;
    let path = "/admin/v1/users/alice/disconnect";
    let answer = server.as_admin("POST", path, "{}").await.ok();
    assert_eq!(answer, json!({"success": true, "closed": 3}));
    for socket in &mut sockets {
        let (code, reason) = socket.closed().await;
        assert_eq!((code, &*reason), USUAL);
    }
    other.has_nothing().await;
    drop(sockets);
    server
        .until("/admin/v1/users/alice", |answer| answer.status == 404)
        .await;
    server
        .as_admin("POST", path, "")
        .await
        .is_error(404, &["no connection"]);
    server.stop().await;
}

#[actix_rt::test]
async fn code_and_reason_come_from_the_body_or_the_query() {
    let server = TestServer::start(&[]).await;
    for (query, body, code, reason) in [
        ("", r#"{"code":4321,"reason":"bye"}"#, 4321, "bye"),
        ("?code=3000&reason=so+long", "", 3000, "so long"),
        (
            "?code=3000&reason=so",
            r#"{"code":4000,"reason":null}"#,
            4000,
            "so",
        ),
        ("?reason=x", r#"{"reason":"y","unknown":1}"#, 1008, "y"),
        ("?code=1001", "", 1001, USUAL.1),
        ("", r#"{"reason":""}"#, 1008, ""),
    ] {
        for by_user in [false, true] {
            let mut socket = server.connect("alice", "").await;
            let answer = if by_user {
                let path = format!("/admin/v1/users/alice/disconnect{query}");
                server.as_admin("POST", &path, body).await
            } else {
                let path = format!("/admin/v1/connections/{}{query}", socket.id);
                server.as_admin("DELETE", &path, body).await
            };
            assert_eq!(answer.ok()["closed"], 1);
            assert_eq!(
                socket.closed().await,
                (code, reason.to_owned()),
                "{query} {body}"
            );
            drop(socket);
            server
                .until("/admin/v1/users/alice", |answer| answer.status == 404)
                .await;
        }
    }
    server.stop().await;
}

#[actix_rt::test]
async fn bad_codes_and_reasons_are_refused_and_close_nothing() {
    let server = TestServer::start(&[]).await;
    let mut socket = server.connect("alice", "").await;
    let long = "x".repeat(124);
    let (in_body, in_query) = (
        json!({"reason": long}).to_string(),
        format!("?reason={long}"),
    );
    let paths = [
        ("DELETE", format!("/admin/v1/connections/{}", socket.id)),
        ("POST", "/admin/v1/users/alice/disconnect".to_owned()),
    ];
    for (method, path) in &paths {
        for (query, body, part) in [
            ("", r#"{"code":1005}"#, "may be sent"),
            ("", r#"{"code":1006}"#, "may be sent"),
            ("", r#"{"code":0}"#, "may be sent"),
            ("", r#"{"code":66544}"#, "may be sent"),
            ("", r#"{"code":"1000"}"#, "code"),
            ("", r#"{"code":-1}"#, "code"),
            ("", r#"{"reason":5}"#, "reason"),
            ("", "[1000]", "object"),
            ("", "x", "body"),
            ("?code=999", "", "may be sent"),
            ("?code=1e3", "", "code"),
            ("?code=", "", "code"),
            ("?code=1000&code=1001", "", "more than once"),
            ("", &in_body, "124 bytes"),
            (&in_query, "", "124 bytes"),
        ] {
            let answer = server
                .as_admin(method, &format!("{path}{query}"), body)
                .await;
            answer.is_invalid(&[part]);
        }
    }
    socket.has_nothing().await;
    server.stop().await;
}

#[actix_rt::test]
async fn what_is_no_connection_is_not_found() {
    let server = TestServer::start(&[]).await;
    for id in [
        "01010101-0101-4101-8101-010101010101",
        "0101010101014101810101010101010101",
        "alice",
        "%00",
    ] {
        let path = format!("/admin/v1/connections/{id}");
        server
            .as_admin("DELETE", &path, "")
            .await
            .is_error(404, &["no connection"]);
    }
    let request = server.request("DELETE", "/admin/v1/connections/");
    let answer = Answer::to(request.bearer_auth(server.admin_token())).await;
    answer.is_error(404, &["nothing is served"]);
    server.stop().await;
}
