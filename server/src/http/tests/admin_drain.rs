use serde_json::json;

use super::client::{Answer, Socket};
use super::server::TestServer;

const DRAIN: &str = "/admin/v1/drain";

#[actix_rt::test]
async fn draining_closes_everyone_and_takes_nobody() {
    let server = TestServer::start(&[]).await;
    let mut sockets = Vec::new();
    for user in ["a", "b", "c", "d"] {
        sockets.push(server.connect(user, "").await);
    }
    let answer = server.as_admin("POST", DRAIN, "").await.ok();
    assert_eq!(answer, json!({"success": true, "overMs": 0}));

    let ready = Answer::to(server.request("GET", "/ready")).await;
    assert_eq!(ready.status, 503);
    assert_eq!(
        (&ready.json["ready"], &ready.json["checks"]["realtime"]),
        (&json!(false), &json!(false))
    );
    assert!(ready.json["error"].as_str().unwrap().contains("stopping"));
    let ready = Answer::to(server.request("GET", "/health/ready")).await;
    assert_eq!(
        (ready.status, &ready.json["status"]),
        (503, &json!("unhealthy"))
    );
    assert_eq!(
        Answer::to(server.request("GET", "/health")).await.status,
        200
    );

    let path = format!("/v1/updates?token={}", server.token("e"));
    assert_eq!(Socket::open(server.main, &path).await.err(), Some(503));
    assert_eq!(
        Socket::open(server.main, "/v1/updates").await.err(),
        Some(503)
    );
    for socket in &mut sockets {
        assert_eq!(socket.closed().await.0, 1001);
    }
    drop(sockets);
    let path = "/admin/v1/overview";
    let overview = server
        .until(path, |answer| answer.json["connections"] == 0)
        .await
        .ok();
    assert_eq!(overview["draining"], true);
    let refusals = json!([{"tier": null, "reason": "draining", "count": 2}]);
    assert_eq!(overview["rejections"], refusals);
    server.stop().await;
}

#[actix_rt::test]
async fn draining_over_a_time_leaves_some_for_later() {
    let server = TestServer::start(&[("workers", "1")]).await;
    let mut first = server.connect("a", "").await;
    let mut second = server.connect("a", "").await;
    let answer = server
        .as_admin("POST", DRAIN, r#"{"overMs":3600000}"#)
        .await
        .ok();
    assert_eq!(answer["overMs"], 3_600_000);
    let stays = {
        let closed =
            futures_util::future::select(Box::pin(first.closed()), Box::pin(second.closed()));
        matches!(closed.await, futures_util::future::Either::Left(_))
    };
    // The other one has half an hour left.
    let other = if stays { &mut second } else { &mut first };
    other.has_nothing().await;
    // Asked again, without a time.
    server
        .as_admin("POST", DRAIN, r#"{"overMs":null}"#)
        .await
        .ok();
    assert_eq!(other.closed().await.0, 1001);
    server.stop().await;
}

#[actix_rt::test]
async fn bad_times_are_refused_and_drain_nothing() {
    let server = TestServer::start(&[]).await;
    for (body, part) in [
        (r#"{"overMs":3600001}"#, "0 to 3600000"),
        (r#"{"overMs":-1}"#, "overMs"),
        (r#"{"overMs":1.5}"#, "overMs"),
        (r#"{"overMs":"5"}"#, "overMs"),
        ("[5]", "object"),
        ("5", "object"),
        ("x", "body"),
    ] {
        server
            .as_admin("POST", DRAIN, body)
            .await
            .is_invalid(&[part]);
    }
    assert_eq!(
        Answer::to(server.request("GET", "/ready")).await.status,
        200
    );
    server.stop().await;
}
