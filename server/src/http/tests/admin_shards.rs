use serde_json::{Value, json};

use super::client::Socket;
use super::server::TestServer;

const SHARDS: &str = "/admin/v1/shards";

fn names(page: &Value) -> Vec<&str> {
    let shards = page["shards"].as_array().unwrap();
    shards
        .iter()
        .map(|shard| shard["shard"].as_str().unwrap())
        .collect()
}

/// Users `a` with 2 shards (2 and 1 connections), `b` with 2 connections, `c-1` with one.
async fn busy() -> (TestServer, Vec<Socket>) {
    let server = TestServer::start(&[
        ("tiers.pro.connections_per_shard", "2"),
        ("tiers.pro.max_shards", "2"),
    ])
    .await;
    let mut sockets = Vec::new();
    for (user, tier, count) in [("a", "pro", 3), ("b", "free", 2), ("c-1", "free", 1)] {
        let token = server.token_of_tier(user, tier);
        for _ in 0..count {
            sockets.push(server.connect_with(&token, "").await);
        }
    }
    (server, sockets)
}

#[actix_rt::test]
async fn shards_are_listed_with_all_that_is_known_of_them() {
    let (server, _sockets) = busy().await;
    let page = server.as_admin("GET", SHARDS, "").await.ok();
    assert_eq!(
        names(&page),
        ["a", "b", "a-1", "c-1"],
        "most connections first"
    );
    assert_eq!(page["nextCursor"], Value::Null);
    let shard = &page["shards"][2];
    assert_eq!(
        (&shard["user"], &shard["tier"]),
        (&json!("a"), &json!("pro"))
    );
    assert_eq!(
        (&shard["state"], &shard["connections"]),
        (&json!("awake"), &json!(1))
    );
    assert_eq!(shard["byType"]["user-scoped"], 1);
    for number in [
        "worker",
        "oldestConnection",
        "lastActivityAt",
        "queuedBytes",
        "rejected",
        "sleeps",
        "wakes",
    ] {
        assert!(shard[number].is_u64(), "{number}: {shard}");
    }
    server.stop().await;
}

#[actix_rt::test]
async fn shards_are_chosen_by_user_tier_state_and_worker() {
    let (server, _sockets) = busy().await;
    for (query, expected) in [
        ("user=a", &["a", "a-1"][..]),
        ("user=-1&sort=name", &["c-1"]),
        ("user=nobody", &[]),
        (
            "user=&tier=&state=&sort=&cursor=",
            &["a", "b", "a-1", "c-1"],
        ),
        ("tier=pro&sort=-name", &["a-1", "a"]),
        ("tier=free&user=b", &["b"]),
        ("state=awake&tier=enterprise", &[]),
        ("state=asleep", &[]),
        ("state=awake&sort=name&unknown=x", &["a", "a-1", "b", "c-1"]),
    ] {
        let page = server
            .as_admin("GET", &format!("{SHARDS}?{query}"), "")
            .await
            .ok();
        assert_eq!(names(&page), expected, "{query}");
    }
    let mut seen = Vec::new();
    for worker in 0..2 {
        let query = format!("{SHARDS}?worker={worker}");
        let page = server.as_admin("GET", &query, "").await.ok();
        for shard in page["shards"].as_array().unwrap() {
            assert_eq!(shard["worker"], worker);
            seen.push(shard["shard"].as_str().unwrap().to_owned());
        }
    }
    seen.sort_unstable();
    assert_eq!(seen, ["a", "a-1", "b", "c-1"]);
    server.stop().await;
}

#[actix_rt::test]
async fn pages_follow_each_other_in_every_order() {
    let (server, _sockets) = busy().await;
    for (sort, expected) in [
        ("connections", &["a-1", "c-1", "a", "b"]),
        ("-connections", &["a", "b", "a-1", "c-1"]),
        ("rejected", &["a", "a-1", "b", "c-1"]),
        ("-queuedBytes", &["a", "a-1", "b", "c-1"]),
        ("-name", &["c-1", "b", "a-1", "a"]),
    ] {
        for limit in 1..=4_usize {
            let mut seen = Vec::new();
            let mut cursor = String::new();
            loop {
                let query = format!("{SHARDS}?sort={sort}&limit={limit}&cursor={cursor}");
                let page = server.as_admin("GET", &query, "").await.ok();
                seen.extend(names(&page).into_iter().map(str::to_owned));
                match page["nextCursor"].as_str() {
                    Some(next) => {
                        assert_eq!(page["shards"].as_array().unwrap().len(), limit);
                        cursor = next.to_owned();
                    }
                    None => break,
                }
            }
            assert_eq!(seen, *expected, "{sort} by {limit}");
        }
    }
    server.stop().await;
}

#[actix_rt::test]
async fn bad_parameters_are_refused() {
    let (server, _sockets) = busy().await;
    let query = format!("{SHARDS}?sort=name&limit=1");
    let page = server.as_admin("GET", &query, "").await.ok();
    let cursor = page["nextCursor"].as_str().unwrap();
    let of_another_order = format!("cursor={cursor}");
    let of_another_direction = format!("cursor={cursor}&sort=-name");
    for (query, part) in [
        ("tier=gold", "free, pro"),
        ("state=dozing", "awake or asleep"),
        ("sort=size", "connections, lastActivity"),
        ("sort=--name", "sort must be"),
        ("limit=0", "1 to 500"),
        ("limit=501", "1 to 500"),
        ("limit=", "1 to 500"),
        ("limit=5x", "1 to 500"),
        ("limit=-5", "1 to 500"),
        ("limit=1&limit=1", "more than once"),
        ("worker=2", "0 to 1"),
        ("worker=-1", "0 to 1"),
        ("cursor=abc", "no cursor"),
        ("cursor=e30", "no cursor"),
        ("cursor=cursor_v1_5", "no cursor"),
        (&of_another_order, "another order"),
        (&of_another_direction, "another order"),
    ] {
        let answer = server
            .as_admin("GET", &format!("{SHARDS}?{query}"), "")
            .await;
        answer.is_invalid(&[part]);
    }
    server.stop().await;
}

#[actix_rt::test]
async fn looking_at_sleeping_shards_wakes_none() {
    let server = TestServer::start(&[("shard.hibernate_after", "100ms")]).await;
    let _socket = server.connect("alice", "").await;
    let path = format!("{SHARDS}?state=asleep");
    let page = server
        .until(&path, |page| !names(&page.json).is_empty())
        .await
        .ok();
    let before = page["shards"][0].clone();
    assert_eq!(
        (&before["shard"], &before["sleeps"]),
        (&json!("alice"), &json!(1))
    );
    for path in [SHARDS, "/admin/v1/overview"] {
        server.as_admin("GET", path, "").await.ok();
    }
    server
        .as_user("alice", "GET", "/v1/websocket/stats", "")
        .await
        .ok();
    let page = server.as_admin("GET", &path, "").await.ok();
    assert_eq!(page["shards"][0], before);
    let overview = server.as_admin("GET", "/admin/v1/overview", "").await.ok();
    assert_eq!(
        overview["shards"],
        json!({"total": 1, "awake": 0, "asleep": 1})
    );
    // Its connections are known to the shard alone.
    let user = server
        .as_admin("GET", "/admin/v1/users/alice", "")
        .await
        .ok();
    assert_eq!(user["connections"].as_array().unwrap().len(), 1);
    let page = server
        .as_admin("GET", &format!("{SHARDS}?user=alice"), "")
        .await
        .ok();
    assert_eq!(page["shards"][0]["wakes"], 1);
    server.stop().await;
}
