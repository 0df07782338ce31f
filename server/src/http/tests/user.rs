use serde_json::{Value, json};

use super::client::{Answer, Socket};
use super::server::TestServer;
use crate::clock::unix_ms;

const STATS: &str = "/v1/websocket/stats";
const BROADCAST: &str = "/v1/websocket/broadcast";
const TICKET: &str = "/v1/websocket/ticket";
/// Two shards of two connections.
const SMALL: [(&str, &str); 3] = [
    ("auth.default_tier", "small"),
    ("tiers.small.connections_per_shard", "2"),
    ("tiers.small.max_shards", "2"),
];

fn small() -> Vec<(&'static str, &'static str)> {
    let promises = [
        ("tiers.small.latency_p95", "1s"),
        ("tiers.small.availability", "99.0"),
    ];
    SMALL.into_iter().chain(promises).collect()
}

#[actix_rt::test]
async fn statistics_of_nobody_are_empty() {
    let server = TestServer::start(&[]).await;
    let stats = server.as_user("alice", "GET", STATS, "").await.ok();
    assert!(stats["memoryUsage"].as_u64().unwrap() > 1 << 20, "{stats}");
    let by_type = json!({"user-scoped": 0, "session-scoped": 0, "machine-scoped": 0});
    assert_eq!(stats["totalConnections"], 0);
    assert_eq!(stats["byType"], by_type);
    assert_eq!(stats["oldestConnection"], Value::Null);
    assert_eq!(stats["messageQueueDepth"], 0);
    assert_eq!(stats["shards"], json!([]));
    server.stop().await;
}

#[actix_rt::test]
async fn statistics_are_those_of_the_callers_own_hub() {
    let server = TestServer::start(&small()).await;
    let before = unix_ms();
    let _sockets = [
        server.connect("alice", "").await,
        server
            .connect("alice", "clientType=session-scoped&sessionId=s1")
            .await,
        server
            .connect("alice", "clientType=session-scoped&sessionId=s1")
            .await,
        server
            .connect(
                "alice",
                "clientType=machine-scoped&machineId=m1&sessionId=s2",
            )
            .await,
        server
            .connect("bob", "clientType=session-scoped&sessionId=s9")
            .await,
    ];
    let stats = server.as_user("alice", "GET", STATS, "").await.ok();
    assert_eq!(stats["totalConnections"], 4);
    let by_type = json!({"user-scoped": 1, "session-scoped": 2, "machine-scoped": 1});
    assert_eq!(stats["byType"], by_type);
    assert_eq!(
        (&stats["activeSessions"], &stats["activeMachines"]),
        (&json!(2), &json!(1))
    );
    let oldest = stats["oldestConnection"].as_u64().unwrap();
    assert!((before..=unix_ms()).contains(&oldest), "{oldest}");
    let shards: Vec<_> = stats["shards"]
        .as_array()
        .unwrap()
        .iter()
        .map(|shard| {
            (
                shard["shard"].as_str().unwrap(),
                shard["connections"].as_u64().unwrap(),
            )
        })
        .collect();
    assert_eq!(shards, [("alice", 2), ("alice-1", 2)]);
    server.stop().await;
}

async fn broadcast(server: &TestServer, body: &Value) -> Answer {
    server
        .as_user("alice", "POST", BROADCAST, &body.to_string())
        .await
}

#[actix_rt::test]
async fn a_broadcast_reaches_all_shards_of_the_caller_byte_for_byte() {
    let server = TestServer::start(&small()).await;
    let mut own: Vec<Socket> = Vec::new();
    for _ in 0..3 {
        own.push(server.connect("alice", "").await);
    }
    let mut other = server.connect("bob", "").await;
    let payload = r#"{ "n" : 1.50, "s":"\u00e9",  "list":[1 ,2] }"#;
    let body = format!(
        r#"{{"message":{{"type":"broadcast","payload":{payload},"timestamp":17,"x":1}},"y":[]}}"#
    );
    let answer = server.as_user("alice", "POST", BROADCAST, &body).await.ok();
    assert_eq!(answer, json!({"success": true, "delivered": 3}));
    let expected = format!(r#"{{"event":"broadcast","data":{payload},"timestamp":17}}"#);
    for socket in &mut own {
        assert_eq!(socket.text().await, expected);
    }
    other.has_nothing().await;
    server.stop().await;
}

#[actix_rt::test]
async fn what_is_optional_may_be_absent_or_null() {
    let server = TestServer::start(&[]).await;
    let mut socket = server.connect("alice", "").await;
    for body in [
        json!({"message": {"type": "a"}}),
        json!({"message": {"type": "a", "timestamp": null}, "filter": null}),
    ] {
        let before = unix_ms();
        assert_eq!(broadcast(&server, &body).await.ok()["delivered"], 1);
        let got = socket.json().await;
        assert_eq!(got["event"], "a");
        assert!(got.get("data").is_none(), "{got}");
        let timestamp = got["timestamp"].as_u64().unwrap();
        assert!((before..=unix_ms()).contains(&timestamp));
    }
    // A payload may be any value, and null is one.
    broadcast(&server, &json!({"message": {"type": "a", "payload": null}}))
        .await
        .ok();
    assert_eq!(socket.json().await.get("data"), Some(&Value::Null));
    server.stop().await;
}

#[actix_rt::test]
async fn every_filter_of_the_contract_chooses_its_connections() {
    let server = TestServer::start(&[]).await;
    let mut user = server.connect("alice", "").await;
    let mut session = server
        .connect("alice", "clientType=session-scoped&sessionId=s")
        .await;
    let mut machine = server
        .connect("alice", "clientType=machine-scoped&machineId=m")
        .await;
    // The machine's presence is announced to user-scoped connections.
    for _ in 0..2 {
        assert_eq!(user.json().await["event"], "ephemeral");
    }
    let cases = [
        (json!({"type": "all"}), [true, true, true]),
        (json!({"type": "user-scoped-only"}), [true, false, false]),
        (
            json!({"type": "session", "sessionId": "s"}),
            [false, true, false],
        ),
        (
            json!({"type": "machine", "machineId": "m"}),
            [false, false, true],
        ),
        (
            json!({"type": "machine-scoped-only", "machineId": "m"}),
            [true, false, true],
        ),
        (
            json!({"type": "all-interested-in-session", "sessionId": "s"}),
            [true, true, false],
        ),
        (
            json!({"type": "exclude", "connectionId": user.id}),
            [false, true, true],
        ),
        (json!({"type": "session", "sessionId": "other"}), [false; 3]),
    ];
    for (number, (filter, expected)) in cases.into_iter().enumerate() {
        let body = json!({
            "message": {"type": "n", "payload": number}, "filter": filter
        });
        let delivered = broadcast(&server, &body).await.ok()["delivered"].clone();
        let sockets = [&mut user, &mut session, &mut machine];
        assert_eq!(
            delivered,
            expected.iter().filter(|got| **got).count(),
            "{filter}"
        );
        for (socket, gets) in sockets.into_iter().zip(expected) {
            if gets {
                assert_eq!(socket.json().await["data"], number, "{filter}");
            }
        }
    }
    for socket in [&mut user, &mut session, &mut machine] {
        socket.has_nothing().await;
    }
    server.stop().await;
}

#[actix_rt::test]
async fn bad_broadcasts_are_refused_and_reach_nobody() {
    let server = TestServer::start(&[]).await;
    let mut socket = server.connect("alice", "").await;
    let message = json!({"type": "a"});
    for (body, part) in [
        (json!({}), "message"),
        (json!({"message": null}), "message"),
        (json!({"message": "a"}), "message"),
        (json!({"message": ["a"]}), "message"),
        (json!({"message": {}}), "type"),
        (json!({"message": {"type": null}}), "message.type"),
        (json!({"message": {"type": 1}}), "message.type"),
        (json!({"message": {"type": ""}}), "message.type"),
        (
            json!({"message": {"type": "a", "timestamp": "1"}}),
            "message.timestamp",
        ),
        (
            json!({"message": {"type": "a", "timestamp": -1}}),
            "message.timestamp",
        ),
        (
            json!({"message": {"type": "a", "timestamp": 1.5}}),
            "message.timestamp",
        ),
        (json!({"message": message, "filter": "all"}), "filter"),
        (json!({"message": message, "filter": {}}), "filter"),
        (
            json!({"message": message, "filter": {"type": "everyone"}}),
            "all-interested-in-session",
        ),
        (
            json!({"message": message, "filter": {"type": "session"}}),
            "sessionId",
        ),
        (
            json!({"message": message, "filter": {"type": "machine", "machineId": ""}}),
            "machineId",
        ),
        (
            json!({"message": message, "filter": {"type": "exclude"}}),
            "connectionId",
        ),
    ] {
        broadcast(&server, &body).await.is_invalid(&[part]);
    }
    socket.has_nothing().await;
    server.stop().await;
}

#[actix_rt::test]
async fn a_message_over_the_limit_of_messages_is_refused() {
    let server = TestServer::start(&[("limits.message", "1 KiB")]).await;
    let mut socket = server.connect("alice", "").await;
    let body = |bytes: usize| {
        let around = r#"{"event":"a","data":"","timestamp":1}"#.len();
        let payload = "x".repeat(bytes - around);
        json!({"message": {"type": "a", "payload": payload, "timestamp": 1}})
    };
    let answer = broadcast(&server, &body(1025)).await;
    answer.is_error(413, &["message", "1024"]);
    assert_eq!(answer.json["code"], "payload-too-large");
    assert_eq!(answer.json["maxSize"], 1024);
    socket.has_nothing().await;
    broadcast(&server, &body(1024)).await.ok();
    assert_eq!(socket.text().await.len(), 1024);
    server.stop().await;
}

#[actix_rt::test]
async fn a_ticket_admits_its_user_once() {
    let server = TestServer::start(&[]).await;
    let answer = server
        .as_user("alice", "POST", TICKET, "any body at all")
        .await;
    assert_eq!(answer.header("x-ratelimit-limit"), Some("10"));
    assert_eq!(answer.header("x-ratelimit-remaining"), Some("9"));
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    let ticket = answer.ok()["ticket"].as_str().unwrap().to_owned();
    let path = format!("/v1/websocket?ticket={ticket}");
    let _socket = Socket::open(server.main, &path).await.unwrap();
    let stats = server.as_user("alice", "GET", STATS, "").await.ok();
    assert_eq!(stats["totalConnections"], 1);
    assert_eq!(Socket::open(server.main, &path).await.err(), Some(401));
    server.stop().await;
}

#[actix_rt::test]
async fn a_ticket_carries_the_tier_of_its_token() {
    let server = TestServer::start(&[]).await;
    let request = server.request("POST", TICKET);
    let token = server.token_of_tier("alice", "pro");
    let answer = Answer::to(request.bearer_auth(token)).await.ok();
    let path = format!("/v1/updates?ticket={}", answer["ticket"].as_str().unwrap());
    let _socket = Socket::open(server.main, &path).await.unwrap();
    let stats = server.as_user("alice", "GET", STATS, "").await.ok();
    assert_eq!(stats["shards"][0]["tier"], "pro");
    server.stop().await;
}

#[actix_rt::test]
async fn tickets_are_limited_per_user_and_minute() {
    let server = TestServer::start(&[("auth.ticket_rate", "3")]).await;
    let mut remaining = Vec::new();
    // The minute may end once meanwhile.
    let refused = loop {
        assert!(remaining.len() <= 6, "never refused: {remaining:?}");
        let answer = server.as_user("alice", "POST", TICKET, "").await;
        if answer.status != 200 {
            break answer;
        }
        remaining.push(answer.header("x-ratelimit-remaining").unwrap().to_owned());
    };
    assert!(
        remaining.ends_with(&["2".to_owned(), "1".to_owned(), "0".to_owned()]),
        "{remaining:?}"
    );
    refused.is_error(429, &["3 tickets a minute"]);
    let seconds = refused.json["retryAfter"].as_u64().unwrap();
    assert!((1..=60).contains(&seconds), "{seconds}");
    assert_eq!(refused.header("retry-after"), Some(&*seconds.to_string()));
    assert_eq!(refused.header("x-ratelimit-limit"), Some("3"));
    assert_eq!(refused.header("x-ratelimit-remaining"), Some("0"));
    server.as_user("bob", "POST", TICKET, "").await.ok();
    server.stop().await;
}
