use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use dormouse_shard::store::{Backend, Changes, StoreError};
use serde_json::{Value, json};

use super::client::Socket;
use super::server::TestServer;

const USER: &str = "/admin/v1/users/alice";
const TIER: &str = "/admin/v1/users/alice/tier";

#[actix_rt::test]
async fn an_override_decides_over_tokens_until_it_is_cleared() {
    let server = TestServer::start(&[
        ("tiers.free.connections_per_shard", "1"),
        ("tiers.free.max_shards", "1"),
    ])
    .await;
    let token = server.token_of_tier("alice", "pro");
    let _first = server.connect_with(&token, "").await;
    let answer = server
        .as_admin("PUT", TIER, r#"{"tier":"free"}"#)
        .await
        .ok();
    let expected = json!({"success": true, "user": "alice", "tier": "free", "limit": 1});
    assert_eq!(answer, expected);
    let user = server.as_admin("GET", USER, "").await.ok();
    assert_eq!(
        (&user["tier"], &user["tierSource"]),
        (&json!("free"), &json!("override"))
    );
    assert_eq!(
        (&user["limit"], &user["totalConnections"]),
        (&json!(1), &json!(1))
    );
    let path = format!("/v1/updates?token={token}");
    assert_eq!(Socket::open(server.main, &path).await.err(), Some(429));

    let expected = json!({"success": true, "user": "alice", "tier": null, "limit": null});
    for _ in 0..2 {
        assert_eq!(server.as_admin("DELETE", TIER, "").await.ok(), expected);
    }
    let _second = server.connect_with(&token, "").await;
    let user = server.as_admin("GET", USER, "").await.ok();
    assert_eq!(
        (&user["tier"], &user["tierSource"]),
        (&json!("pro"), &json!("token"))
    );
    server.stop().await;
}

#[actix_rt::test]
async fn an_override_survives_a_restart() {
    let disk = Arc::new(Disk::default());
    let server = TestServer::start_on(disk.clone(), &[]).await;
    server.as_admin("PUT", TIER, r#"{"tier":"pro"}"#).await.ok();
    server.stop().await;
    let server = TestServer::start_on(disk.clone(), &[]).await;
    assert_eq!(server.as_admin("GET", USER, "").await.ok()["tier"], "pro");
    server.as_admin("DELETE", TIER, "").await.ok();
    server.as_admin("GET", USER, "").await.is_error(404, &[]);
    server.stop().await;
    assert!(disk.tiers().unwrap().is_empty());
}

#[actix_rt::test]
async fn unknown_tiers_and_impossible_users_are_refused() {
    let server = TestServer::start(&[]).await;
    for (body, part) in [
        (r#"{"tier":"gold"}"#, "enterprise, free, pro"),
        (r#"{"tier":""}"#, "enterprise, free, pro"),
        (r#"{"tier":null}"#, "tier"),
        (r#"{"tier":5}"#, "tier"),
        ("{}", "tier"),
        ("", "body"),
        (r#"["pro"]"#, "object"),
    ] {
        server.as_admin("PUT", TIER, body).await.is_invalid(&[part]);
    }
    for user in ["a%20b", "%00", "x%E2%80%8By", &"x".repeat(129)] {
        let path = format!("/admin/v1/users/{user}/tier");
        let answer = server.as_admin("PUT", &path, r#"{"tier":"pro"}"#).await;
        answer.is_invalid(&["visible characters"]);
        server
            .as_admin("DELETE", &path, "")
            .await
            .is_invalid(&["visible characters"]);
    }
    server.as_admin("GET", USER, "").await.is_error(404, &[]);
    server.stop().await;
}

/// A store that outlives its servers, until it is full.
#[derive(Default)]
struct Disk {
    tiers: Mutex<BTreeMap<String, String>>,
    is_full: bool,
}

impl Backend for Disk {
    fn scan(&self, _: &[u8]) -> Result<Vec<(Vec<u8>, Vec<u8>)>, StoreError> {
        Ok(Vec::new())
    }

    fn apply(&self, _: Changes) -> Result<(), StoreError> {
        Err(StoreError::new("this disk keeps tiers alone"))
    }

    fn tiers(&self) -> Result<BTreeMap<String, String>, StoreError> {
        Ok(self.tiers.lock().unwrap().clone())
    }

    fn set_tier(&self, user: &str, tier: Option<&str>) -> Result<(), StoreError> {
        if self.is_full {
            return Err(StoreError::new("no space left on device"));
        }
        let mut tiers = self.tiers.lock().unwrap();
        match tier {
            Some(tier) => tiers.insert(user.to_owned(), tier.to_owned()),
            None => tiers.remove(user),
        };
        Ok(())
    }
}

#[actix_rt::test]
async fn what_cannot_be_stored_is_not_in_force() {
    let disk = Disk {
        tiers: Mutex::new([("bob".to_owned(), "pro".to_owned())].into()),
        is_full: true,
    };
    let server = TestServer::start_on(Arc::new(disk), &[]).await;
    let answer = server.as_admin("PUT", TIER, r#"{"tier":"pro"}"#).await;
    answer.is_error(503, &["nothing has changed", "no space left", "try again"]);
    server.as_admin("GET", USER, "").await.is_error(404, &[]);
    let bob = "/admin/v1/users/bob";
    let answer = server.as_admin("DELETE", &format!("{bob}/tier"), "").await;
    answer.is_error(503, &["nothing has changed"]);
    let user: Value = server.as_admin("GET", bob, "").await.ok();
    assert_eq!(user["tier"], "pro");
    server.stop().await;
}
