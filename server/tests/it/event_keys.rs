//! Who may do what on the event side (contract events.md sections 2 and 10).

use dormouse_protocol::timestamp::parse_iso;
use dormouse_server::events::keys::{self, NewKey};
use dormouse_server::events::tenants;
use reqwest::Method;
use serde_json::{Map, json};

use crate::support::events::{KEY, TENANT, get, post, subscribed};
use crate::support::http::{self, Answer, send_with};
use crate::support::{Builder, Server, eventually};

const METRICS: &str = "/api/v1/reporting/metrics";
const CALL: &str = "/api/v1/demo/events/call";

fn code(answer: &Answer) -> String {
    answer.json()["error"]["code"].as_str().unwrap().to_owned()
}

fn message(answer: &Answer) -> String {
    answer.json()["error"]["message"]
        .as_str()
        .unwrap()
        .to_owned()
}

#[tokio::test]
async fn without_a_good_credential_nothing_is_done() {
    let server = Server::start();
    let ask = async |headers: &[(&str, &str)]| {
        send_with(Method::GET, server.address, METRICS, headers, None).await
    };
    for (headers, text) in [
        (&[][..], "Missing authentication (JWT token or API key)"),
        (&[("X-API-Key", "")], "Missing API key"),
        (&[("X-API-Key", "nonsense")], "Invalid API key"),
        (
            &[("Authorization", "Bearer nonsense")],
            "Invalid or expired token",
        ),
        (
            &[("Authorization", "Basic x"), ("X-API-Key", KEY)],
            "Invalid or expired token",
        ),
    ] {
        let answer = ask(headers).await;
        assert_eq!(answer.status, 401, "{headers:?}");
        assert_eq!(
            (code(&answer).as_str(), message(&answer).as_str()),
            ("UNAUTHORIZED", text)
        );
    }
    // A good token that names no tenant opens nothing here, nor does one of yesterday.
    for token in [
        server.token("alice"),
        server.token_expired_for("alice", 86_400),
    ] {
        let token = format!("Bearer {token}");
        assert_eq!(ask(&[("Authorization", &token)]).await.status, 401);
    }
    for name in ["x-api-key", "X-Api-Key", "X-API-KEY"] {
        assert_eq!(ask(&[(name, KEY)]).await.status, 200, "{name}");
    }
    for path in [
        CALL,
        "/api/v1/events",
        "/api/v1/demo/events/call/sequence",
        "/api/v1/demo/toggle",
    ] {
        let answer = send_with(Method::POST, server.address, path, &[], Some(&json!({}))).await;
        assert_eq!(answer.status, 401, "{path}");
    }
}

#[tokio::test]
async fn a_token_with_a_tenant_is_a_credential() {
    let server = Server::start();
    let extras: Map<_, _> = [("tenantId".to_owned(), json!("acme"))]
        .into_iter()
        .collect();
    let request = dormouse_server::auth::MintRequest {
        user: "alice",
        extras: Some(&extras),
        ..Default::default()
    };
    let now = dormouse_server::clock::unix_ms();
    let token = server
        .state()
        .verifier
        .mint(&request, now)
        .unwrap()
        .into_string();
    let answer = http::post(server.address, CALL, &token, &json!({})).await;
    assert_eq!(answer.json()["callState"]["tenantId"], "acme");
    for (is_active, status) in [(false, 403), (true, 200)] {
        let switching = server.state().database.write(async move |tx| {
            tenants::ensure(tx, "acme").await?;
            tenants::set_active(tx, "acme", is_active).await
        });
        switching.await.unwrap();
        let answer = http::post(server.address, CALL, &token, &json!({})).await;
        assert_eq!(answer.status, status);
        if !is_active {
            assert_eq!(message(&answer), "Tenant is not active");
        }
    }
    let admin = server.admin_token("root");
    let block = "/admin/v1/accounts/alice/block";
    let blocked = http::post(server.address, block, &admin, &json!({})).await;
    assert_eq!(blocked.status, 200, "{blocked:?}");
    let answer = eventually("she is refused", || async {
        let answer = http::post(server.address, CALL, &token, &json!({})).await;
        (answer.status != 200).then_some(answer)
    })
    .await;
    assert_eq!((answer.status, &*code(&answer)), (403, "FORBIDDEN"));
    assert_eq!(message(&answer), "User account is not active");
}

#[tokio::test]
async fn asserted_tenants_must_be_the_credentials() {
    let server = Server::start();
    let ask = async |method: Method, path: &str, headers: &[(&str, &str)]| {
        let headers = [&[("x-api-key", KEY)], headers].concat();
        let body = json!({});
        let body = (method == Method::POST).then_some(&body);
        send_with(method, server.address, path, &headers, body).await
    };
    let equal = [("X-Tenant-Id", TENANT), ("X-Demo-Tenant-Id", TENANT)];
    assert_eq!(ask(Method::GET, METRICS, &equal).await.status, 200);
    assert_eq!(ask(Method::POST, CALL, &equal).await.status, 200);
    for headers in [[("X-Tenant-Id", "other")], [("X-Demo-Tenant-Id", "other")]] {
        for (method, path) in [(Method::GET, METRICS), (Method::POST, CALL)] {
            let answer = ask(method, path, &headers).await;
            assert_eq!(answer.status, 403, "{headers:?} {path}");
            assert_eq!(code(&answer), "TENANT_MISMATCH");
        }
    }
    let answer = post(server.address, CALL, KEY, &json!({"tenantId": "other"})).await;
    assert_eq!(
        (answer.status, code(&answer).as_str()),
        (403, "TENANT_MISMATCH")
    );
}

#[tokio::test]
async fn requests_without_a_good_key_are_counted_by_address_and_others_are_not() {
    let server = Server::with("events.unauthenticated_rate", "3").start();
    let mut subscriber = subscribed(server.address, KEY, &["call.*"]).await;
    let mut statuses = Vec::new();
    for _ in 0..20 {
        statuses.push(get(server.address, METRICS, "nonsense").await.status);
    }
    let refused = get(server.address, METRICS, "nonsense").await;
    // A minute may end meanwhile, but not three of them.
    assert!(
        statuses.iter().filter(|status| **status == 401).count() <= 9,
        "{statuses:?}"
    );
    assert_eq!(
        (refused.status, code(&refused).as_str()),
        (429, "RATE_LIMIT_EXCEEDED")
    );
    assert!(refused.json()["error"]["retryAfter"].as_u64().unwrap() >= 1);
    for name in [
        "x-ratelimit-limit",
        "x-ratelimit-remaining",
        "x-ratelimit-reset",
        "retry-after",
    ] {
        assert!(refused.header(name).is_some(), "{name}");
    }
    let reset = refused.header("x-ratelimit-reset").unwrap();
    assert!(parse_iso(reset).unwrap().is_multiple_of(60_000), "{reset}");
    for _ in 0..20 {
        assert_eq!(get(server.address, METRICS, KEY).await.status, 200);
    }
    // Nor are these asked how often they came.
    for path in ["/health", "/health/live", "/health/ready", "/metrics"] {
        let answer = http::get(server.address, path, None).await;
        assert_eq!(answer.status, 200, "{path}");
    }
    post(server.address, CALL, KEY, &json!({})).await;
    assert_eq!(subscriber.json().await["channel"], "call.started");
}

#[tokio::test]
async fn a_key_has_its_own_limit() {
    let server = Server::start();
    let new = NewKey {
        tenant: "acme".to_owned(),
        name: "slow".to_owned(),
        scopes: Vec::new(),
        rate_limit: Some(2),
        expires_at: None,
    };
    let making = server
        .state()
        .database
        .write(async move |tx| keys::create(tx, &new).await);
    let key = making.await.unwrap();
    let mut answers = Vec::new();
    for _ in 0..7 {
        answers.push(get(server.address, METRICS, &key).await);
    }
    // A minute may end meanwhile, but not three of them.
    let admitted = answers.iter().filter(|answer| answer.status == 200).count();
    assert!((2..=6).contains(&admitted), "{admitted}");
    assert_eq!(answers[0].header("x-ratelimit-limit"), Some("2"));
    let refused = answers.iter().find(|answer| answer.status != 200).unwrap();
    assert_eq!(
        (refused.status, &*code(refused)),
        (429, "RATE_LIMIT_EXCEEDED")
    );
    assert!((1..=60).contains(&refused.json()["error"]["retryAfter"].as_u64().unwrap()));
    assert_eq!(refused.header("x-ratelimit-remaining"), Some("0"));
    // Another key is another count.
    assert_eq!(get(server.address, METRICS, KEY).await.status, 200);
}

#[tokio::test]
async fn production_knows_no_test_key() {
    let server = Builder::default()
        .set("auth.secret", "0123456789abcdef0123456789abcdef")
        .set(
            "events.api_keys",
            "0123456789abcdef0123456789abcdef-key, and-another-0123456789abcdef0123",
        )
        .start();
    assert_eq!(get(server.address, METRICS, KEY).await.status, 401);
    for key in [
        "0123456789abcdef0123456789abcdef-key",
        "and-another-0123456789abcdef0123",
    ] {
        assert_eq!(get(server.address, METRICS, key).await.status, 200);
    }
}

#[tokio::test]
async fn the_demo_tenant_may_be_read_while_it_is_open() {
    let server = Server::start();
    let missing = get(server.address, "/api/v1/demo/stats", KEY).await;
    assert_eq!(
        (missing.status, code(&missing).as_str()),
        (404, "DEMO_NOT_FOUND")
    );
    let status = get(server.address, "/api/v1/demo/status", KEY).await.json();
    assert_eq!(status, json!({"enabled": false, "tenantId": null}));
    let answer = post(
        server.address,
        "/api/v1/demo/toggle",
        KEY,
        &json!({"enabled": true}),
    )
    .await;
    assert_eq!(answer.status, 404);
}
