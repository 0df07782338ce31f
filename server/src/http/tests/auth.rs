use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use ed25519_dalek::{Signer as _, SigningKey};
use serde_json::{Value, json};

use super::client::{Answer, Socket};
use super::server::TestServer;
use crate::auth::MintRequest;
use crate::clock::unix_ms;

fn base64(bytes: &[u8]) -> String {
    BASE64_STANDARD.encode(bytes)
}

/// What the holder of a key sends.
fn proof(number: u8) -> Value {
    let key = SigningKey::from_bytes(&[number; 32]);
    let challenge = b"a challenge";
    json!({
        "publicKey": base64(key.verifying_key().as_bytes()),
        "challenge": base64(challenge),
        "signature": base64(&key.sign(challenge).to_bytes()),
    })
}

impl TestServer {
    async fn post(&self, path: &str, token: Option<&str>, body: &Value) -> Answer {
        let request = self.request("POST", path).body(body.to_string());
        let request = match token {
            Some(token) => request.bearer_auth(token),
            None => request,
        };
        Answer::to(request).await
    }

    async fn sign_in(&self, number: u8) -> Answer {
        self.post("/v1/auth", None, &proof(number)).await
    }

    /// Whether a token opens a user's endpoints.
    async fn is_good(&self, token: &str) -> bool {
        let request = self.request("GET", "/v1/websocket/stats");
        Answer::to(request.bearer_auth(token)).await.status == 200
    }
}

fn token_of(answer: Answer) -> String {
    let answer = answer.ok();
    assert_eq!(answer["success"], true);
    answer["token"].as_str().unwrap().to_owned()
}

#[actix_rt::test]
async fn a_key_signs_in_to_its_one_account() {
    let server = TestServer::start(&[]).await;
    let answer = server.sign_in(1).await;
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    let (first, second) = (token_of(answer), token_of(server.sign_in(1).await));
    let user = |token: &str| server.state().verify_user(token).unwrap().user;
    assert_eq!(user(&first), user(&second));
    assert_ne!(first, second, "each can be revoked alone");
    assert_ne!(user(&token_of(server.sign_in(2).await)), user(&first));
    let socket = server.connect_with(&first, "").await;
    assert!(!socket.id.is_empty());
    server.stop().await;
}

#[actix_rt::test]
async fn what_proves_nothing_is_refused() {
    let server = TestServer::start(&[]).await;
    let with = |field: &str, value: Value| {
        let mut body = proof(1);
        body[field] = value;
        body
    };
    for (body, part) in [
        (with("publicKey", json!("")), "publicKey"),
        (with("publicKey", json!("%%%")), "publicKey must be base64"),
        (with("challenge", json!("a")), "challenge must be base64"),
        (with("signature", json!("=")), "signature must be base64"),
        (with("signature", Value::Null), "signature"),
        (json!({}), "publicKey"),
        (with("challenge", json!("A".repeat(16_388))), "too long"),
    ] {
        server
            .post("/v1/auth", None, &body)
            .await
            .is_invalid(&[part]);
    }
    for body in [
        with("publicKey", json!(base64(&[1; 31]))),
        with("signature", json!(base64(&[1; 64]))),
        with("signature", json!(base64(&[1; 63]))),
        with("challenge", json!(base64(b"another challenge"))),
        with("publicKey", proof(2)["publicKey"].clone()),
    ] {
        let answer = server.post("/v1/auth", None, &body).await;
        answer.is_error(401, &[]);
    }
    // A key of small order, under which a signature of zeros verifies without strictness.
    let mut weak = [0; 32];
    weak[0] = 1;
    let mut signature = [0; 64];
    signature[0] = 1;
    let body = json!({"publicKey": base64(&weak), "challenge": base64(b"x"),
                      "signature": base64(&signature)});
    server
        .post("/v1/auth", None, &body)
        .await
        .is_error(401, &[]);
    server.stop().await;
}

/// Calls until one is refused; more than two windows' worth cannot be admitted in the time.
async fn until_limited(most: usize, call: impl AsyncFn() -> Answer) -> Answer {
    for _ in 0..most {
        let answer = call().await;
        if answer.status == 429 {
            return answer;
        }
    }
    panic!("never limited");
}

#[actix_rt::test]
async fn sign_ins_are_limited_by_key_whether_they_succeed_or_not() {
    let server = TestServer::start(&[]).await;
    let refused = until_limited(11, async || server.sign_in(1).await).await;
    refused.is_error(429, &["sign-ins with one key", "5"]);
    assert_eq!(refused.header("x-ratelimit-limit"), Some("5"));
    assert_eq!(refused.header("x-ratelimit-remaining"), Some("0"));
    let seconds = refused.json["retryAfter"].as_u64().unwrap();
    assert!((1..=60).contains(&seconds));
    assert_eq!(refused.header("retry-after"), Some(&*seconds.to_string()));
    let mut bad = proof(2);
    bad["signature"] = json!(base64(&[1; 64]));
    let bad = &bad;
    until_limited(11, async || server.post("/v1/auth", None, bad).await).await;
    assert_eq!(
        server.sign_in(3).await.status,
        200,
        "other keys are not limited"
    );
    let any = async || {
        server
            .post(
                "/v1/auth",
                None,
                &json!({"publicKey": "AA==",
        "challenge": "AA==", "signature": "AA=="}),
            )
            .await
    };
    let refused = until_limited(121, any).await;
    refused.is_error(429, &["one address"]);
    server.stop().await;
}

#[actix_rt::test]
async fn an_agent_is_paired_with_the_account_that_answers() {
    let server = TestServer::start(&[]).await;
    let app = token_of(server.sign_in(1).await);
    let key = base64(&[0xfb; 32]);
    let path = "/v1/auth/request";
    let ask = json!({"publicKey": key, "supportsV2": true});
    let status = || async {
        let query = form_urlencoded::byte_serialize(key.as_bytes()).collect::<String>();
        let path = format!("/v1/auth/request/status?publicKey={query}");
        Answer::to(server.request("GET", &path)).await.ok()
    };
    let respond = json!({"publicKey": key, "response": "Y2lwaGVy"});
    let answer = server.post("/v1/auth/response", Some(&app), &respond).await;
    answer.is_error(404, &["Request not found"]);
    let none = json!({"status": "not_found", "supportsV2": false});
    assert_eq!(status().await, none);
    for _ in 0..3 {
        let asked = server.post(path, None, &ask).await.ok();
        assert_eq!(asked, json!({"state": "requested"}));
    }
    let pending = json!({"status": "pending", "supportsV2": true});
    assert_eq!(status().await, pending);
    let answer = server.post("/v1/auth/response", None, &respond).await;
    answer.is_error(401, &[]);
    for _ in 0..2 {
        let answer = server.post("/v1/auth/response", Some(&app), &respond).await;
        assert_eq!(answer.ok(), json!({"success": true}));
    }
    let other = token_of(server.sign_in(2).await);
    let late = json!({"publicKey": key, "response": "bGF0ZQ=="});
    server
        .post("/v1/auth/response", Some(&other), &late)
        .await
        .ok();
    let authorized = json!({"status": "authorized", "supportsV2": false});
    assert_eq!(status().await, authorized);
    let answer = server
        .post(path, None, &json!({"publicKey": key, "supportsV2": null}))
        .await;
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    let answer = answer.ok();
    assert_eq!(
        (&answer["state"], &answer["response"]),
        (&json!("authorized"), &json!("Y2lwaGVy"))
    );
    let agent = answer["token"].as_str().unwrap();
    let identity = server.state().verify_user(agent).unwrap();
    assert_eq!(
        identity.user,
        server.state().verify_user(&app).unwrap().user
    );
    assert!(identity.extras.unwrap()["session"].is_string());
    let days = (identity.expires_at_ms - unix_ms()) / 86_400_000;
    assert!(days > 1800, "agents never refresh: {days}");
    // The device of the same key is another request, and its token names no session.
    let device = json!({"publicKey": key});
    let asked = server
        .post("/v1/auth/account/request", None, &device)
        .await
        .ok();
    assert_eq!(asked["state"], "requested");
    server
        .post("/v1/auth/account/response", Some(&app), &respond)
        .await
        .ok();
    let asked = server
        .post("/v1/auth/account/request", None, &device)
        .await
        .ok();
    let identity = server
        .state()
        .verify_user(asked["token"].as_str().unwrap())
        .unwrap();
    assert_eq!(identity.extras, None);
    assert!(identity.expires_at_ms - unix_ms() <= 30 * 86_400_000);
    server.stop().await;
}

#[actix_rt::test]
async fn pairing_refuses_what_is_no_key_and_limits_new_requests_but_not_polls() {
    let server = TestServer::start(&[]).await;
    let app = server.token("alice");
    for path in ["/v1/auth/request", "/v1/auth/account/request"] {
        let bad = json!({"publicKey": "%"});
        server
            .post(path, None, &bad)
            .await
            .is_invalid(&["publicKey"]);
        let short = json!({"publicKey": base64(&[1; 16])});
        server
            .post(path, None, &short)
            .await
            .is_error(401, &["Invalid public key"]);
    }
    for path in ["/v1/auth/response", "/v1/auth/account/response"] {
        let key = base64(&[1; 32]);
        let bad = json!({"publicKey": "%", "response": "AA=="});
        server
            .post(path, Some(&app), &bad)
            .await
            .is_invalid(&["publicKey"]);
        let short = json!({"publicKey": base64(&[1; 16]), "response": "AA=="});
        server
            .post(path, Some(&app), &short)
            .await
            .is_error(401, &["Invalid public key"]);
        for response in [String::new(), "x".repeat(16_385)] {
            let body = json!({"publicKey": key, "response": response});
            server
                .post(path, Some(&app), &body)
                .await
                .is_invalid(&["response"]);
        }
    }
    for query in ["", "?publicKey=", "?publicKey=%25", "?publicKey=AAAA"] {
        let path = format!("/v1/auth/request/status{query}");
        let answer = Answer::to(server.request("GET", &path)).await.ok();
        assert_eq!(answer, json!({"status": "not_found", "supportsV2": false}));
    }
    // One that is polled every second is not stopped; the eleventh new one of a minute or two is.
    let ask = |number: u8| json!({"publicKey": base64(&[number; 32])});
    for _ in 0..40 {
        let answer = server.post("/v1/auth/request", None, &ask(100)).await;
        assert_eq!(answer.ok()["state"], "requested");
    }
    let number = std::cell::Cell::new(0);
    let refused = until_limited(11, async || {
        number.set(number.get() + 1);
        server
            .post("/v1/auth/request", None, &ask(number.get()))
            .await
    })
    .await;
    refused.is_error(429, &["pairing requests of one address"]);
    server.post("/v1/auth/request", None, &ask(100)).await.ok();
    let polls = async || server.post("/v1/auth/request", None, &ask(100)).await;
    until_limited(241, polls)
        .await
        .is_error(429, &["polls", "120"]);
    server.stop().await;
}

#[actix_rt::test]
async fn a_token_is_refreshed_until_a_week_after_its_end() {
    let server = TestServer::start(&[]).await;
    let mint = |age_s: u64| {
        let mut extras = serde_json::Map::new();
        extras.insert("session".into(), "s".into());
        let request = MintRequest {
            user: "alice",
            tier: Some("pro"),
            ttl: Some(std::time::Duration::from_secs(3600)),
            extras: Some(&extras),
            ..MintRequest::default()
        };
        let made_at = unix_ms() - age_s * 1000;
        let token = server.state().verifier.mint(&request, made_at).unwrap();
        token.into_string()
    };
    const DAY: u64 = 24 * 3600;
    for age in [0, 2 * 3600, 7 * DAY] {
        let old = mint(age);
        let answer = server
            .post("/v1/auth/refresh", Some(&old), &json!({}))
            .await;
        let answer = answer.ok();
        assert_eq!(
            (&answer["success"], &answer["expiresIn"]),
            (&json!(true), &json!(2_592_000))
        );
        let identity = server
            .state()
            .verify_user(answer["token"].as_str().unwrap())
            .unwrap();
        assert_eq!(
            (&*identity.user, identity.tier.as_deref()),
            ("alice", Some("pro"))
        );
        assert_eq!(identity.extras.unwrap()["session"], "s");
        assert_eq!(server.is_good(&old).await, age == 0);
    }
    let refused = async |token: Option<&str>, code: &str| {
        let answer = server.post("/v1/auth/refresh", token, &json!({})).await;
        answer.is_error(401, &[]);
        assert_eq!(
            (&answer.json["code"], &answer.json["success"]),
            (&json!(code), &json!(false))
        );
    };
    refused(Some(&mint(9 * DAY)), "TOKEN_EXPIRED").await;
    refused(None, "TOKEN_INVALID").await;
    refused(Some("a.b.c"), "TOKEN_INVALID").await;
    refused(Some(&server.admin_token()), "TOKEN_INVALID").await;
    let token = mint(0);
    server
        .post("/v1/auth/logout", Some(&token), &json!({}))
        .await
        .ok();
    refused(Some(&token), "TOKEN_REVOKED").await;
    server.stop().await;
}

#[actix_rt::test]
async fn signing_out_ends_the_token_and_its_sockets_alone() {
    let server = TestServer::start(&[]).await;
    let (lost, kept) = (server.token("alice"), server.token("alice"));
    let mut by_token = server.connect_with(&lost, "").await;
    let request = server.request("POST", "/v1/websocket/ticket");
    let ticket = Answer::to(request.bearer_auth(&lost)).await.ok();
    let path = format!("/v1/updates?ticket={}", ticket["ticket"].as_str().unwrap());
    let mut by_ticket = Socket::open(server.main, &path).await.unwrap();
    let request = server.request("POST", "/v1/websocket/ticket");
    let unused = Answer::to(request.bearer_auth(&lost)).await.ok();
    let mut other = server.connect_with(&kept, "").await;
    let answer = server
        .post("/v1/auth/logout", Some(&lost), &json!({}))
        .await;
    assert_eq!(answer.ok(), json!({"success": true}));
    for socket in [&mut by_token, &mut by_ticket] {
        assert_eq!(socket.closed().await.0, 4001);
    }
    other.has_nothing().await;
    assert!(!server.is_good(&lost).await && server.is_good(&kept).await);
    let again = server
        .post("/v1/auth/logout", Some(&lost), &json!({}))
        .await;
    again.is_error(401, &[]);
    // Neither the token nor a ticket that was asked for with it opens anything any more.
    let path = format!("/v1/updates?token={lost}");
    assert_eq!(Socket::open(server.main, &path).await.err(), Some(401));
    let path = format!("/v1/updates?ticket={}", unused["ticket"].as_str().unwrap());
    assert_eq!(Socket::open(server.main, &path).await.err(), Some(401));
    server.stop().await;
}

#[actix_rt::test]
async fn an_account_waits_for_an_admin_and_is_blocked_and_deleted_by_one() {
    let server = TestServer::start(&[("auth.signup", "approval")]).await;
    let waiting = server.sign_in(1).await;
    waiting.is_error(403, &["approval"]);
    assert_eq!(waiting.json["code"], "ACCOUNT_PENDING");
    let id = waiting.json["accountId"].as_str().unwrap().to_owned();
    let list = "/admin/v1/accounts?status=pending";
    let listed = server.as_admin("GET", list, "").await.ok();
    assert_eq!(listed["accounts"][0]["id"], id);
    assert_eq!(
        (
            &listed["accounts"].as_array().unwrap().len(),
            &listed["nextCursor"]
        ),
        (&1, &Value::Null)
    );
    let path = |what: &str| format!("/admin/v1/accounts/{id}{what}");
    let approved = server.as_admin("POST", &path("/approve"), "").await.ok();
    assert_eq!(approved["account"]["status"], "active");
    let token = token_of(server.sign_in(1).await);
    let mut socket = server.connect_with(&token, "").await;
    let blocked = server.as_admin("POST", &path("/block"), "").await.ok();
    assert_eq!(
        (&blocked["account"]["status"], &blocked["closed"]),
        (&json!("blocked"), &json!(1))
    );
    assert_eq!(
        socket.closed().await,
        (4001, "the account is blocked".to_owned())
    );
    assert!(!server.is_good(&token).await);
    let refused = server.sign_in(1).await;
    assert_eq!(
        (refused.status, &refused.json["code"]),
        (403, &json!("ACCOUNT_BLOCKED"))
    );
    let refresh = server
        .post("/v1/auth/refresh", Some(&token), &json!({}))
        .await;
    assert_eq!(refresh.json["code"], "TOKEN_REVOKED");
    let upgrade = format!("/v1/updates?token={token}");
    assert_eq!(Socket::open(server.main, &upgrade).await.err(), Some(401));
    server.as_admin("POST", &path("/approve"), "").await.ok();
    assert!(server.is_good(&token).await);
    let mut socket = server.connect_with(&token, "").await;
    let deleted = server.as_admin("DELETE", &path(""), "").await.ok();
    assert_eq!(deleted["closed"], 1);
    assert_eq!(socket.closed().await.0, 4001);
    assert!(!server.is_good(&token).await);
    server
        .as_admin("GET", &path(""), "")
        .await
        .is_error(404, &[]);
    // A user whose tokens come from elsewhere can be blocked before anything is stored.
    let token = server.token("alice");
    let mut socket = server.connect_with(&token, "").await;
    server
        .as_admin("POST", "/admin/v1/accounts/alice/block", "")
        .await
        .ok();
    assert_eq!(socket.closed().await.0, 4001);
    assert!(!server.is_good(&token).await);
    server.stop().await;
}

#[actix_rt::test]
async fn an_invitation_is_made_used_and_revoked() {
    let server = TestServer::start(&[("auth.signup", "invite")]).await;
    let refused = server.sign_in(1).await;
    assert_eq!(
        (refused.status, &refused.json["code"]),
        (403, &json!("INVITE_REQUIRED"))
    );
    let invites = "/admin/v1/invites";
    let make = async |body: &str| server.as_admin("POST", invites, body).await.ok();
    let first = make("").await;
    let code = first["code"].as_str().unwrap();
    let request = server
        .request("POST", "/v1/auth")
        .body(proof(1).to_string());
    token_of(Answer::to(request.header("X-Invite-Code", code)).await);
    let used = server
        .post(&format!("/v1/auth?invite={code}"), None, &proof(2))
        .await;
    assert_eq!(
        (used.status, &used.json["code"]),
        (403, &json!("INVITE_INVALID"))
    );
    let second = make(r#"{"note":"for bob","expiresIn":60}"#).await;
    let code = second["code"].as_str().unwrap();
    token_of(
        server
            .post(&format!("/v1/auth?invite={code}"), None, &proof(2))
            .await,
    );
    let third = make(r#"{"note":null}"#).await;
    let id = third["invite"]["id"].as_str().unwrap();
    server
        .as_admin("DELETE", &format!("{invites}/{id}"), "")
        .await
        .ok();
    let code = third["code"].as_str().unwrap();
    let revoked = server
        .post(&format!("/v1/auth?invite={code}"), None, &proof(3))
        .await;
    assert_eq!(revoked.json["code"], "INVITE_INVALID");
    let listed = server.as_admin("GET", invites, "").await;
    assert!(!listed.text.contains(code), "codes are shown once");
    let listed = listed.ok();
    let listed = listed["invites"].as_array().unwrap();
    assert_eq!(listed.len(), 3);
    assert_eq!(
        (&listed[1]["note"], listed[1]["usedAt"].is_u64()),
        (&json!("for bob"), true)
    );
    assert!(listed[0]["revokedAt"].is_u64());
    for body in [
        r#"{"expiresIn":0}"#,
        r#"{"expiresIn":31536001}"#,
        r#"{"note":5}"#,
    ] {
        server.as_admin("POST", invites, body).await.is_invalid(&[]);
    }
    let long = json!({"note": "x".repeat(201)}).to_string();
    server
        .as_admin("POST", invites, &long)
        .await
        .is_invalid(&["note"]);
    server
        .as_admin("DELETE", "/admin/v1/invites/none", "")
        .await
        .is_error(404, &[]);
    for (method, path) in [
        ("GET", invites),
        ("POST", invites),
        ("GET", "/admin/v1/accounts"),
    ] {
        server
            .as_user("alice", method, path, "")
            .await
            .is_error(403, &[]);
    }
    server.stop().await;
}

#[actix_rt::test]
async fn accounts_are_listed_in_pages() {
    let server = TestServer::start(&[]).await;
    for number in 1..=5 {
        server.sign_in(number).await.ok();
    }
    let mut seen = Vec::new();
    let mut path = "/admin/v1/accounts?limit=2".to_owned();
    loop {
        let page = server.as_admin("GET", &path, "").await.ok();
        let accounts = page["accounts"].as_array().unwrap();
        assert!(accounts.len() <= 2);
        seen.extend(accounts.iter().map(|account| account["id"].to_string()));
        match page["nextCursor"].as_str() {
            Some(cursor) => path = format!("/admin/v1/accounts?limit=2&cursor={cursor}"),
            None => break,
        }
    }
    assert_eq!(seen.len(), 5);
    assert!(seen.is_sorted());
    for query in ["status=gone", "limit=0", "limit=501", "limit=x"] {
        let path = format!("/admin/v1/accounts?{query}");
        server.as_admin("GET", &path, "").await.is_invalid(&[]);
    }
    server.stop().await;
}
