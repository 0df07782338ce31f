use serde_json::{Value, json};

use super::client::{Answer, Socket};
use super::server::TestServer;

const OVERVIEW: &str = "/admin/v1/overview";

fn tier<'a>(overview: &'a Value, name: &str) -> &'a Value {
    let tiers = overview["tiers"].as_array().unwrap();
    tiers.iter().find(|tier| tier["name"] == name).unwrap()
}

#[actix_rt::test]
async fn the_overview_counts_what_is_there() {
    let server = TestServer::start(&[]).await;
    let (free, pro) = (
        server.token_of_tier("alice", "free"),
        server.token_of_tier("bob", "pro"),
    );
    let _sockets = [
        server.connect_with(&free, "").await,
        server
            .connect_with(&free, "clientType=machine-scoped&machineId=m")
            .await,
        server.connect_with(&pro, "").await,
    ];
    let overview = server.as_admin("GET", OVERVIEW, "").await.ok();
    assert_eq!(
        (&overview["connections"], &overview["users"]),
        (&json!(3), &json!(2))
    );
    let by_type = json!({"user-scoped": 2, "session-scoped": 0, "machine-scoped": 1});
    assert_eq!(overview["byType"], by_type);
    assert_eq!(
        overview["shards"],
        json!({"total": 2, "awake": 2, "asleep": 0})
    );
    assert_eq!(
        (&overview["pending"], &overview["draining"]),
        (&json!(0), &json!(false))
    );
    assert!(overview["memoryBytes"].as_u64().unwrap() > 1 << 20);
    assert!(overview["uptimeMs"].is_u64() && overview["version"].is_string());

    let workers = overview["workers"].as_array().unwrap();
    let ids: Vec<_> = workers
        .iter()
        .map(|worker| worker["id"].as_u64().unwrap())
        .collect();
    assert_eq!(ids, [0, 1]);
    let sum = |field: &str| -> u64 {
        workers
            .iter()
            .map(|worker| worker[field].as_u64().unwrap())
            .sum()
    };
    assert_eq!(
        (sum("connections"), sum("shards"), sum("queuedBytes")),
        (3, 2, 0)
    );

    let expected = json!({
        "name": "free", "limit": 20, "users": 1, "connections": 2, "rejected": 0
    });
    assert_eq!(*tier(&overview, "free"), expected);
    assert_eq!(tier(&overview, "pro")["connections"], 1);
    assert_eq!(tier(&overview, "enterprise")["users"], 0);
    assert_eq!(overview["rejections"], json!([]));
    server.stop().await;
}

#[actix_rt::test]
async fn the_overview_counts_refusals_by_tier_and_reason() {
    let server = TestServer::start(&[
        ("tiers.free.connections_per_shard", "1"),
        ("auth.default_tier", "free"),
    ])
    .await;
    let _socket = server.connect("alice", "").await;
    let path = format!("/v1/updates?token={}", server.token("alice"));
    for _ in 0..2 {
        assert_eq!(Socket::open(server.main, &path).await.err(), Some(429));
    }
    assert_eq!(
        Socket::open(server.main, "/v1/updates?token=x").await.err(),
        Some(401)
    );
    assert_eq!(
        Answer::to(server.request("GET", "/v1/updates"))
            .await
            .status,
        426
    );
    let overview = server.as_admin("GET", OVERVIEW, "").await.ok();
    assert_eq!(
        overview["rejections"],
        json!([
            {"tier": null, "reason": "not_upgrade", "count": 1},
            {"tier": null, "reason": "token", "count": 1},
            {"tier": "free", "reason": "connection_limit", "count": 2},
        ])
    );
    assert_eq!(tier(&overview, "free")["rejected"], 2);
    server.stop().await;
}
