use super::client::Answer;
use super::server::TestServer;

const USER_ROUTES: [(&str, &str); 3] = [
    ("GET", "/v1/websocket/stats"),
    ("POST", "/v1/websocket/broadcast"),
    ("POST", "/v1/websocket/ticket"),
];

const ADMIN_ROUTES: [(&str, &str); 9] = [
    ("GET", "/admin/v1/overview"),
    ("GET", "/admin/v1/shards"),
    ("GET", "/admin/v1/users/alice"),
    ("POST", "/admin/v1/users/alice/disconnect"),
    ("PUT", "/admin/v1/users/alice/tier"),
    ("DELETE", "/admin/v1/users/alice/tier"),
    (
        "DELETE",
        "/admin/v1/connections/01010101-0101-4101-8101-010101010101",
    ),
    ("POST", "/admin/v1/broadcast"),
    ("POST", "/admin/v1/drain"),
];

const TEST_TOKEN: &str = "test-auth-token";

#[actix_rt::test]
async fn every_route_refuses_callers_without_a_good_token() {
    let server = TestServer::start(&[]).await;
    let token = server.token("alice");
    let (head, signature) = token.rsplit_once('.').unwrap();
    // Another first character, whatever the signature begins with.
    let first = if signature.starts_with('A') { 'B' } else { 'A' };
    let forged = format!("Bearer {head}.{first}{}", &signature[1..]);
    for (method, path) in USER_ROUTES.into_iter().chain(ADMIN_ROUTES) {
        let request = || server.request(method, path).body("not json");
        let missing = Answer::to(request()).await;
        let text = if path.starts_with("/admin/") {
            "Authorization: Bearer"
        } else {
            "Missing authorization header"
        };
        missing.is_error(401, &[text]);
        assert_eq!(missing.header("www-authenticate"), Some("Bearer"), "{path}");
        for value in [
            "Bearer",
            "Basic YWxpY2U6eA==",
            "Bearer a b",
            &format!("Token {token}"),
            &token,
        ] {
            let answer = Answer::to(request().header("authorization", value)).await;
            answer.is_error(401, &["Authorization: Bearer"]);
        }
        let twice = request().bearer_auth(&token).bearer_auth(&token);
        Answer::to(twice)
            .await
            .is_error(401, &["one header `Authorization: Bearer"]);
        for value in ["Bearer abc", "Bearer a.b.c", &forged] {
            let answer = Answer::to(request().header("authorization", value)).await;
            answer.is_error(401, &["Invalid token"]);
        }
    }
    server.stop().await;
}

#[actix_rt::test]
async fn users_and_admins_are_different_callers() {
    let server = TestServer::start(&[("auth.insecure_test_token", TEST_TOKEN)]).await;
    for (method, path) in USER_ROUTES {
        let request = server.request(method, path);
        let answer = Answer::to(request.bearer_auth(server.admin_token())).await;
        answer.is_error(401, &["Invalid token"]);
    }
    for (method, path) in ADMIN_ROUTES {
        for token in [&*server.token("alice"), TEST_TOKEN] {
            let answer = Answer::to(server.request(method, path).bearer_auth(token)).await;
            answer.is_error(403, &["user's token", "--admin"]);
            let challenge = answer.header("www-authenticate").unwrap();
            assert!(challenge.contains("insufficient_scope"), "{challenge}");
        }
    }
    let stats = server.request("GET", "/v1/websocket/stats");
    Answer::to(stats.bearer_auth(TEST_TOKEN)).await.ok();
    server.as_admin("GET", "/admin/v1/overview", "").await.ok();
    assert!(
        !server.state().workers.is_draining(),
        "no refused call had an effect"
    );
    server.stop().await;
}

#[actix_rt::test]
async fn the_scheme_may_be_written_in_any_case() {
    let server = TestServer::start(&[]).await;
    let value = format!("bEARER {}", server.token("alice"));
    let request = server.request("GET", "/v1/websocket/stats");
    Answer::to(request.header("authorization", value))
        .await
        .ok();
    server.stop().await;
}
