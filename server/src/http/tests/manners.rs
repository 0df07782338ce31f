//! What every answer has in common (REST contract, sections 1.1, 1.4 and 1.5).

use super::client::Answer;
use super::server::TestServer;

const SECRET: (&str, &str) = ("auth.secret", "0123456789abcdef0123456789abcdef");
/// A good answer, a refusal, and one of the framework's own.
const PATHS: [&str; 3] = ["/health", "/v1/sessions", "/nothing"];

/// Whether a text is a number of milliseconds with so many decimals.
fn is_millis(text: &str, decimals: usize) -> bool {
    let is_digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    match text.split_once('.') {
        Some((whole, rest)) => is_digits(whole) && is_digits(rest) && rest.len() == decimals,
        None => decimals == 0 && is_digits(text),
    }
}

#[actix_rt::test]
async fn every_answer_says_which_request_it_is_for_and_how_long_it_took() {
    let server = TestServer::start(&[]).await;
    for path in PATHS {
        let longest = "~".repeat(128);
        for id in ["r", "a-1_2.3:4", &longest] {
            let request = server.request("GET", path).header("X-Request-ID", id);
            let answer = Answer::to(request.header("X-Correlation-ID", "c 1")).await;
            assert_eq!(answer.header("x-request-id"), Some(id), "{path}");
            assert_eq!(answer.header("x-correlation-id"), Some("c 1"), "{path}");
            if answer.status != 200 {
                assert_eq!(answer.json["requestId"], id, "{path}");
            }
        }
        for id in ["", "a b", &"x".repeat(129)] {
            let request = server.request("GET", path).header("X-Request-ID", id);
            let answer = Answer::to(request).await;
            let made = answer.header("x-request-id").unwrap();
            let is_hex = made.bytes().all(|byte| byte.is_ascii_hexdigit());
            assert!(made.len() == 8 && is_hex, "{path} {id}: {made}");
            assert_eq!(answer.header("x-correlation-id"), None, "{path}");
        }
        let answer = Answer::to(server.request("GET", path)).await;
        let took = answer.header("x-response-time").unwrap();
        let took = took.strip_suffix("ms").unwrap();
        assert!(is_millis(took, 0), "{path}: {took}");
        let timing = answer.header("server-timing").unwrap();
        let total = timing.strip_prefix("total;dur=").unwrap();
        let total = total.strip_suffix(";desc=\"Total request time\"").unwrap();
        assert!(is_millis(total, 1), "{path}: {timing}");
    }
    server.stop().await;
}

#[actix_rt::test]
async fn readiness_says_how_long_each_check_took() {
    let server = TestServer::start(&[]).await;
    let answer = Answer::to(server.request("GET", "/ready")).await;
    let timing = answer.header("server-timing").unwrap().to_owned();
    let parts: Vec<_> = timing.split(", ").skip(1).collect();
    let checks = answer.ok()["checks"].take();
    assert_eq!(parts.len(), checks.as_object().unwrap().len(), "{timing}");
    for part in parts {
        let (name, took) = part.split_once(";dur=").unwrap();
        assert!(checks[name].is_boolean(), "{timing}");
        assert!(is_millis(took, 1), "{timing}");
    }
    server.stop().await;
}

#[actix_rt::test]
async fn every_answer_is_protected() {
    for is_production in [false, true] {
        let settings: &[_] = if is_production { &[SECRET] } else { &[] };
        let server = TestServer::start(settings).await;
        for path in PATHS {
            let answer = Answer::to(server.request("GET", path)).await;
            for (name, value) in [
                ("x-content-type-options", "nosniff"),
                ("x-frame-options", "DENY"),
                ("referrer-policy", "strict-origin-when-cross-origin"),
                (
                    "permissions-policy",
                    "camera=(), microphone=(), geolocation=(), payment=()",
                ),
                (
                    "content-security-policy",
                    "default-src 'none'; frame-ancestors 'none'",
                ),
            ] {
                assert_eq!(answer.header(name), Some(value), "{path}");
            }
            let lasting = answer.header("strict-transport-security");
            assert_eq!(lasting, is_production.then_some("max-age=31536000"));
        }
        server.stop().await;
    }
}

#[actix_rt::test]
async fn pages_of_allowed_origins_may_read_answers() {
    const LISTED: &str = "https://app.example.com";
    const OTHER: &str = "https://localhost.evil.example";
    for is_production in [false, true] {
        let mut settings = vec![("http.cors_origins", LISTED)];
        settings.extend(is_production.then_some(SECRET));
        let server = TestServer::start(&settings).await;
        for path in PATHS {
            let ask = |origin: Option<&str>| {
                let request = server.request("GET", path);
                Answer::to(match origin {
                    Some(origin) => request.header("Origin", origin),
                    None => request,
                })
            };
            let answer = ask(None).await;
            assert_eq!(answer.header("access-control-allow-origin"), Some("*"));
            assert_eq!(answer.header("access-control-allow-credentials"), None);
            for (origin, is_allowed) in [
                (LISTED, true),
                ("http://localhost:5173", true),
                ("http://127.0.0.1:3000", true),
                (OTHER, !is_production),
            ] {
                let answer = ask(Some(origin)).await;
                let allowed = answer.header("access-control-allow-origin");
                assert_eq!(allowed, is_allowed.then_some(origin), "{path}");
                let credentials = answer.header("access-control-allow-credentials");
                assert_eq!(credentials, is_allowed.then_some("true"), "{path} {origin}");
                assert_eq!(answer.header("vary"), Some("Origin"), "{path} {origin}");
                let exposed = answer.header("access-control-expose-headers").unwrap();
                for name in [
                    "Content-Length",
                    "X-Request-Id",
                    "X-RateLimit-Limit",
                    "X-RateLimit-Remaining",
                    "Retry-After",
                    "X-Response-Time",
                    "Server-Timing",
                    "X-Correlation-Id",
                ] {
                    assert!(exposed.split(", ").any(|one| one == name), "{name}");
                }
            }
        }
        server.stop().await;
    }
}

#[actix_rt::test]
async fn preflights_need_no_token_and_no_path_that_is_served() {
    let server = TestServer::start(&[SECRET]).await;
    for path in ["/v1/sessions", "/admin/v1/overview", "/nothing", "/"] {
        let request = server.request("OPTIONS", path);
        let request = request.header("Access-Control-Request-Method", "POST");
        let answer = Answer::to(request.header("Origin", "http://localhost:5173")).await;
        assert_eq!((answer.status, &*answer.text), (204, ""), "{path}");
        let methods = answer.header("access-control-allow-methods");
        assert_eq!(methods, Some("GET, POST, PUT, DELETE, PATCH, OPTIONS"));
        assert_eq!(answer.header("access-control-max-age"), Some("86400"));
        let origin = answer.header("access-control-allow-origin");
        assert_eq!(origin, Some("http://localhost:5173"));
        let allowed = answer.header("access-control-allow-headers").unwrap();
        for name in [
            "Content-Type",
            "Authorization",
            "X-Requested-With",
            "X-Request-Id",
            "X-Client-Version",
            "X-Correlation-Id",
        ] {
            assert!(allowed.split(", ").any(|one| one == name), "{name}");
        }
    }
    server.stop().await;
}

#[actix_rt::test]
async fn what_nobody_knows_in_a_query_or_a_body_is_ignored() {
    let server = TestServer::start(&[]).await;
    let body = r#"{"tag":"t","metadata":"m","agentState":null,"more":{"of":[1]}}"#;
    let path = "/v1/sessions?more=1&more=2";
    let made = server.as_user("alice", "POST", path, body).await.ok();
    let listed = server.as_user("alice", "GET", path, "").await.ok();
    assert_eq!(listed["sessions"][0], made["session"]);
    server.stop().await;
}
