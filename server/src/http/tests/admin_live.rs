use serde_json::{Value, json};

use super::client::Socket;
use super::server::TestServer;

const LIVE: &str = "/admin/v1/live";

fn auth(token: &str) -> String {
    json!({"event": "auth", "data": {"token": token}}).to_string()
}

async fn page(server: &TestServer) -> (Socket, Value) {
    let mut page = Socket::open_unasked(server.main, LIVE).await.unwrap();
    page.send(auth(&server.admin_token())).await;
    let history = page.json().await;
    assert_eq!(history["event"], "history", "{history}");
    (page, history["data"].clone())
}

async fn until(page: &mut Socket, is_wanted: impl Fn(&Value) -> bool) -> Value {
    loop {
        let update = page.json().await;
        assert_eq!(update["event"], "update", "{update}");
        if is_wanted(&update["data"]) {
            return update["data"].clone();
        }
    }
}

#[actix_rt::test]
async fn pages_see_what_the_server_does() {
    let server = TestServer::start(&[]).await;
    let (mut first, about) = page(&server).await;
    assert_eq!(about["admin"], "root");
    assert_eq!(about["servesUsers"], true);
    assert!(about["points"].is_array());
    let (mut second, _) = page(&server).await;
    let mut alice = server.connect("alice", "").await;
    for page in [&mut first, &mut second] {
        let update = until(page, |update| update["point"]["connections"] == 1).await;
        assert_eq!(update["point"]["users"], 1);
        assert_eq!(update["workers"].as_array().unwrap().len(), 2);
        assert_eq!(update["point"]["loads"].as_array().unwrap().len(), 2);
        assert_eq!(update["draining"], false);
        assert!(
            update["point"]["memoryBytes"]
                .as_u64()
                .is_none_or(|bytes| bytes > 1_000_000)
        );
    }
    let body = json!({"message": {"type": "x"}, "to": {"everyone": true}}).to_string();
    let version = until(&mut first, |_| true).await["auditVersion"].clone();
    server
        .as_admin("POST", "/admin/v1/broadcast", &body)
        .await
        .ok();
    assert_eq!(alice.json().await["event"], "x");
    let update = until(&mut first, |update| {
        let tiers = update["tiers"].as_array().unwrap();
        tiers.iter().any(|tier| tier["deliveries"] == 1)
    })
    .await;
    assert_ne!(update["auditVersion"], version, "the log has changed");
    let tiers = update["tiers"].as_array().unwrap();
    let of = |name: &str| tiers.iter().find(|tier| tier["name"] == name).unwrap();
    assert_eq!(of("enterprise")["latencyKept"], true);
    assert_eq!(of("enterprise")["availabilityKept"], true);
    assert_eq!(of("enterprise")["promisedLatencyMs"], 100.0);
    assert_eq!(of("free")["latencyKept"], json!(null));
    assert!(update["point"]["p95Ms"].as_f64().unwrap() > 0.0);
    server.stop().await;
}

#[actix_rt::test]
async fn only_admins_are_told_anything() {
    let server = TestServer::start(&[]).await;
    let mut page = Socket::open_unasked(server.main, LIVE).await.unwrap();
    for (sent, event, code) in [
        ("nothing", "error", 1002),
        (r#"{"event":"ping"}"#, "auth-error", 4001),
        (r#"{"event":"auth"}"#, "auth-error", 4001),
        (r#"{"event":"auth","data":{"token":5}}"#, "auth-error", 4001),
    ] {
        page.send(sent).await;
        let answer = page.json().await;
        assert_eq!(
            (&answer["event"], &answer["data"]["code"]),
            (&json!(event), &json!(code)),
            "{sent}"
        );
    }
    page.send(auth(&server.token("alice"))).await;
    assert_eq!(page.json().await["event"], "auth-error");
    let (code, reason) = page.closed().await;
    assert_eq!(code, 4001);
    assert!(reason.contains("admin token"), "{reason}");
    server.stop().await;
}

#[actix_rt::test]
async fn tokens_in_the_url_and_silence_are_refused() {
    let server = TestServer::start(&[("auth.deadline", "50ms"), ("auth.max_pending", "1")]).await;
    for name in ["token", "ticket"] {
        let path = format!("{LIVE}?{name}={}", server.admin_token());
        assert_eq!(
            Socket::open_unasked(server.main, &path).await.err(),
            Some(400)
        );
    }
    let mut silent = Socket::open_unasked(server.main, LIVE).await.unwrap();
    assert_eq!(silent.json().await["data"]["code"], 4007);
    assert_eq!(silent.closed().await.0, 4007);
    server.stop().await;
}

#[actix_rt::test]
async fn pages_that_have_not_authenticated_are_few() {
    let server = TestServer::start(&[("auth.max_pending", "1")]).await;
    let mut waiting = Socket::open_unasked(server.main, LIVE).await.unwrap();
    assert_eq!(
        Socket::open_unasked(server.main, LIVE).await.err(),
        Some(429)
    );
    waiting.send(auth(&server.admin_token())).await;
    assert_eq!(waiting.json().await["event"], "history");
    // The place is free again.
    page(&server).await;
    server.stop().await;
}

#[actix_rt::test]
async fn a_page_may_say_auth_and_ping_and_no_more() {
    let server = TestServer::start(&[]).await;
    let skip_updates = async |page: &mut Socket| loop {
        let answer = page.json().await;
        if answer["event"] != "update" {
            return answer;
        }
    };
    let (mut page_, _) = page(&server).await;
    page_.send(r#"{"event":"ping","ackId":"7"}"#).await;
    let pong = skip_updates(&mut page_).await;
    assert_eq!(
        (&pong["event"], &pong["ackId"]),
        (&json!("pong"), &json!("7"))
    );
    page_.send(r#"{"event":"drain"}"#).await;
    assert_eq!(skip_updates(&mut page_).await["event"], "error");
    page_.send_binary(vec![1, 2, 3]).await;
    assert_eq!(page_.closed_after_texts().await.0, 1003);
    let (mut page_, _) = page(&server).await;
    page_.send("x".repeat(20_000)).await;
    assert_eq!(page_.closed_after_texts().await.0, 1009);
    server.stop().await;
}

#[actix_rt::test]
async fn the_feed_is_where_admins_are() {
    let server = TestServer::start(&[("admin.listen", "127.0.0.1:0")]).await;
    assert_eq!(
        Socket::open_unasked(server.main, LIVE).await.err(),
        Some(404)
    );
    let mut page = Socket::open_unasked(server.admin.unwrap(), LIVE)
        .await
        .unwrap();
    page.send(auth(&server.admin_token())).await;
    assert_eq!(page.json().await["data"]["servesUsers"], false);
    server.stop().await;
}
