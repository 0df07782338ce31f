use std::collections::BTreeSet;

use super::client::Answer;
use super::server::TestServer;
use crate::http::routes::endpoints;
use crate::listeners::Surface;

fn concrete(path: &str) -> String {
    let steps = path.split('/').map(|step| match step {
        "{file}" => "main.js",
        "{vendor}" => "openai",
        step if step.starts_with('{') => "alice",
        step => step,
    });
    steps.collect::<Vec<_>>().join("/")
}

/// Whether a path is for WebSockets, which say in plain text or by Engine.IO's codes what they want.
fn is_socket(path: &str) -> bool {
    matches!(
        path,
        "/v1/updates" | "/v1/websocket" | "/ws/events" | "/socket.io" | "/admin/v1/live"
    )
}

#[actix_rt::test]
async fn other_methods_are_refused_with_those_that_are_allowed() {
    let server = TestServer::start(&[]).await;
    let mut checked = 0;
    for endpoint in endpoints(Surface::Main, false) {
        if is_socket(endpoint.path()) {
            continue;
        }
        let mut allowed: BTreeSet<&str> = endpoint.methods().iter().map(|m| m.as_str()).collect();
        if allowed.contains("GET") {
            allowed.insert("HEAD");
        }
        for method in ["GET", "POST", "PUT", "DELETE", "PATCH", "PURGE"] {
            if allowed.contains(method) {
                continue;
            }
            let path = concrete(endpoint.path());
            let answer = Answer::to(server.request(method, &path)).await;
            if path.starts_with("/api/v1/") {
                // The event side has a form of its own.
                assert_eq!(answer.status, 405, "{path}");
                assert!(answer.text.contains("METHOD_NOT_ALLOWED"), "{path}");
            } else {
                answer.is_error(405, &["not allowed", &path]);
            }
            let listed = answer.header("allow").unwrap();
            let listed: BTreeSet<&str> = listed.split(", ").collect();
            assert_eq!(listed, allowed, "{method} {path}");
            checked += 1;
        }
    }
    assert!(checked > 40, "{checked}");
    server.stop().await;
}

#[actix_rt::test]
async fn unknown_paths_are_refused_by_name() {
    let server = TestServer::start(&[]).await;
    for path in [
        "/nothing",
        "/v1",
        "/v1/websocket/other",
        "/admin/v1/nothing",
        "/admin/v1/users/alice/other",
    ] {
        for method in ["GET", "POST", "DELETE"] {
            let request = server
                .request(method, path)
                .bearer_auth(server.admin_token());
            Answer::to(request).await.is_error(404, &[path]);
        }
    }
    let head = Answer::to(server.request("HEAD", "/nothing")).await;
    assert_eq!((head.status, &*head.text), (404, ""));
    server.stop().await;
}

#[actix_rt::test]
async fn head_is_get_without_a_body() {
    let server = TestServer::start(&[]).await;
    let socket = server.connect("alice", "").await;
    let mut checked = 0;
    for endpoint in endpoints(Surface::Main, false) {
        // This one redirects.
        let is_special = is_socket(endpoint.path()) || endpoint.path() == "/admin";
        if is_special || !endpoint.methods().contains(&actix_web::http::Method::GET) {
            continue;
        }
        let path = concrete(endpoint.path());
        let token = if path.starts_with("/admin") {
            server.admin_token()
        } else if path.starts_with("/v1/dashboard") {
            server.token("dashboard")
        } else {
            server.token("alice")
        };
        let ask = |method| {
            let request = server.request(method, &path);
            Answer::to(if path.starts_with("/api/v1/") {
                request.header("X-API-Key", "test-api-key")
            } else {
                request.bearer_auth(&token)
            })
        };
        let (get, head) = (ask("GET").await, ask("HEAD").await);
        assert_eq!(get.status, head.status, "{path}");
        // What a path names by an id need not exist.
        let names = endpoint.path().contains('{')
            || path.ends_with("/bulk")
            || path == "/api/v1/demo/stats";
        let may_be_missing = get.status == 404 && names;
        // Its address carries the permission, which this one lacks.
        let is_refused = get.status == 403 && endpoint.path().ends_with("/attachments/{file}");
        assert!(
            get.status == 200 || may_be_missing || is_refused,
            "{path}: {}",
            get.status
        );
        assert_eq!(head.text, "", "{path}");
        assert_eq!(
            head.header("content-type"),
            get.header("content-type"),
            "{path}"
        );
        assert!(!get.text.is_empty(), "{path}");
        checked += 1;
    }
    assert!(checked >= 8, "{checked}");
    drop(socket);
    server.stop().await;
}

#[actix_rt::test]
async fn websocket_endpoints_say_in_plain_text_what_they_want() {
    let server = TestServer::start(&[]).await;
    for path in [
        "/v1/updates",
        "/v1/updates/",
        "/v1/websocket",
        "/v1/websocket/",
        "/admin/v1/live",
    ] {
        let path = format!("{path}?token={}", server.token("alice"));
        let answer = Answer::to(server.request("GET", &path)).await;
        assert_eq!(answer.status, 426, "{}", answer.text);
        assert_eq!(answer.header("upgrade"), Some("websocket"));
        assert_eq!(
            answer.header("content-type"),
            Some("text/plain; charset=utf-8")
        );
        assert!(answer.text.contains("upgrade"), "{}", answer.text);
    }
    server.stop().await;
}

#[actix_rt::test]
async fn service_routes_say_what_the_contract_says() {
    let server = TestServer::start(&[]).await;
    let get = |path| Answer::to(server.request("GET", path));
    let root = get("/").await.ok();
    assert!(root["message"].as_str().unwrap().contains("Happy Server"));
    assert_eq!(root["environment"], "development");
    let health = get("/health").await.ok();
    assert_eq!(health["status"], "healthy");
    assert_eq!(health["version"], root["version"]);
    let ready = get("/ready").await.ok();
    assert_eq!(ready["ready"], true);
    assert!(ready.get("error").is_none(), "{ready}");
    for (check, passes) in ready["checks"].as_object().unwrap() {
        assert_eq!(passes, true, "{check}");
    }
    for body in [root, health, ready] {
        let timestamp = body["timestamp"].as_str().unwrap();
        assert!(
            timestamp.len() == 24 && timestamp.ends_with('Z'),
            "{timestamp}"
        );
    }
    server.stop().await;
}

#[actix_rt::test]
async fn the_description_is_served_to_everyone() {
    let server = TestServer::start(&[]).await;
    let answer = Answer::to(server.request("GET", "/openapi.json")).await;
    assert_eq!(answer.header("content-type"), Some("application/json"));
    let document = answer.ok();
    assert!(document["openapi"].as_str().unwrap().starts_with("3.1"));
    assert!(document["paths"]["/v1/websocket/stats"]["get"].is_object());
    server.stop().await;
}

#[actix_rt::test]
async fn admins_with_an_address_of_their_own_are_served_there_alone() {
    let server = TestServer::start(&[("admin.listen", "127.0.0.1:0")]).await;
    let admin = server.admin.unwrap();
    let ask = |address, path| {
        let request = server.request_at(address, "GET", path);
        Answer::to(request.bearer_auth(server.admin_token()))
    };
    ask(server.main, "/admin/v1/overview")
        .await
        .is_error(404, &["/admin/v1/overview"]);
    ask(admin, "/admin/v1/overview").await.ok();
    ask(admin, "/v1/websocket/stats").await.is_error(404, &[]);
    ask(admin, "/v1/updates").await.is_error(404, &[]);
    for path in ["/", "/health", "/ready", "/openapi.json"] {
        ask(server.main, path).await.ok();
        ask(admin, path).await.ok();
    }
    // Tokens are asked for there as well.
    Answer::to(server.request_at(admin, "GET", "/admin/v1/overview"))
        .await
        .is_error(401, &[]);
    server.stop().await;
}
