//! The built binary: keys by the command line, and what survives a sudden end.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use reqwest::Method;
use serde_json::json;

use crate::support::events::{KEY, TENANT, get, handshake, post, subscribed, subscriber};
use crate::support::http::send_with;
use crate::support::process::{Dormouse, run_dormouse};
use crate::support::{Client, eventually, within};

const METRICS: &str = "/api/v1/reporting/metrics";

#[tokio::test]
async fn keys_are_made_listed_and_revoked_while_the_server_runs() {
    let folder = tempfile::tempdir().unwrap();
    let server = Dormouse::serve(folder.path(), &[]).await;
    let made = run_dormouse(
        folder.path(),
        &[
            "apikey",
            "create",
            "--tenant",
            "acme",
            "--name",
            "ci",
            "--rate-limit",
            "1000",
        ],
    )
    .await;
    assert_eq!(made.status, Some(0), "{made:?}");
    let key = made.stdout.trim_end();
    assert!(key.starts_with("dm_") && key.len() == 46, "{key}");
    let answer = get(server.address(), METRICS, key).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(answer.header("x-ratelimit-limit"), Some("1000"));
    assert_eq!(answer.header("x-ratelimit-remaining"), Some("999"));
    let mut client = subscribed(server.address(), key, &["call.*"]).await;
    let listed = run_dormouse(folder.path(), &["apikey", "list"])
        .await
        .stdout;
    assert!(listed.contains("ACTIVE") && listed.contains("acme") && listed.contains("ci"));
    assert!(!listed.contains(key), "the key is never shown again");
    // Nor is it anywhere on disk.
    for file in std::fs::read_dir(folder.path().join("data")).unwrap() {
        let path = file.unwrap().path();
        if path.is_file() {
            let bytes = std::fs::read(&path).unwrap();
            let found = bytes
                .windows(key.len())
                .any(|window| window == key.as_bytes());
            assert!(!found, "{}", path.display());
        }
    }
    let unknown = run_dormouse(folder.path(), &["apikey", "revoke", "dm_nobody"]).await;
    assert_eq!(unknown.status, Some(1));
    let revoked = run_dormouse(folder.path(), &["apikey", "revoke", &key[..8]]).await;
    assert_eq!(revoked.status, Some(0), "{revoked:?}");
    // The server looks every few seconds.
    assert_eq!(client.closed().await, (1008, "Unauthorized".to_owned()));
    let answer = get(server.address(), METRICS, key).await;
    assert_eq!(answer.status, 401);
    assert_eq!(answer.json()["error"]["message"], "API key is not active");
}

#[tokio::test]
async fn a_suspended_tenant_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let made = run_dormouse(
        folder.path(),
        &["tenant", "create", "--id", "acme", "--slug", "demo"],
    );
    assert_eq!(made.await.stdout, "acme\n");
    let again = run_dormouse(folder.path(), &["tenant", "create", "--slug", "demo"]).await;
    assert_eq!(again.status, Some(1), "{again:?}");
    let key = run_dormouse(folder.path(), &["apikey", "create", "--tenant", "acme"])
        .await
        .stdout;
    let key = key.trim_end();
    let server = Dormouse::serve(folder.path(), &[]).await;
    let address = server.address();
    // Others may read the demo tenant.
    let headers = [("X-API-Key", KEY), ("X-Demo-Tenant-Id", "acme")];
    let read = send_with(Method::GET, address, METRICS, &headers, None);
    assert_eq!(read.await.status, 200);
    let stats = get(address, "/api/v1/demo/stats", KEY).await.json();
    assert_eq!(
        stats["calls"],
        json!({"total": 0, "completed": 0, "completionRate": 0.0})
    );
    let suspended = run_dormouse(folder.path(), &["tenant", "suspend", "acme"]).await;
    assert_eq!(suspended.status, Some(0), "{suspended:?}");
    let answer = get(address, METRICS, key).await;
    assert_eq!(answer.status, 403, "{answer:?}");
    let error = &answer.json()["error"];
    assert_eq!(
        (&error["code"], &error["message"]),
        (&json!("FORBIDDEN"), &json!("Tenant is not active"))
    );
    let mut client = Client::open(address, handshake(key)).await;
    assert_eq!(client.closed().await.0, 1008);
}

#[tokio::test]
async fn the_demo_tenant_is_read_by_others_only_and_only_while_it_likes() {
    let folder = tempfile::tempdir().unwrap();
    let made = run_dormouse(
        folder.path(),
        &["tenant", "create", "--id", "acme", "--slug", "demo"],
    );
    made.await;
    let create = ["apikey", "create", "--tenant", "acme"];
    let made = run_dormouse(folder.path(), &create).await.stdout;
    let key = made.trim_end();
    let server = Dormouse::serve(folder.path(), &[]).await;
    let address = server.address();
    let as_other = async |method: Method, path: &str| {
        let headers = [("X-API-Key", KEY), ("X-Demo-Tenant-Id", "acme")];
        let body = json!({});
        let body = (method == Method::POST).then_some(&body);
        let answer = send_with(method, address, path, &headers, body).await;
        let code = answer.json()["error"]["code"].clone();
        (answer.status, code)
    };
    let mismatch = (403, json!("TENANT_MISMATCH"));
    assert_eq!(as_other(Method::GET, METRICS).await.0, 200);
    for path in ["/api/v1/demo/events/call", "/api/v1/events"] {
        assert_eq!(as_other(Method::POST, path).await, mismatch, "{path}");
    }
    let toggle = "/api/v1/demo/toggle";
    let close = json!({"enabled": false});
    let refused = post(address, toggle, KEY, &close).await;
    assert_eq!(
        (refused.status, refused.json()["error"]["code"].clone()),
        mismatch
    );
    assert_eq!(post(address, toggle, key, &json!({})).await.status, 400);
    let closed = post(address, toggle, key, &close).await.json();
    assert_eq!(
        closed,
        json!({"enabled": false, "tenantId": "acme", "message": "Demo mode disabled"})
    );
    let status = get(address, "/api/v1/demo/status", KEY).await.json();
    assert_eq!(status, json!({"enabled": false, "tenantId": "acme"}));
    assert_eq!(as_other(Method::GET, METRICS).await, mismatch);
    let stats = get(address, "/api/v1/demo/stats", KEY).await;
    assert_eq!(stats.status, 404);
    let data = json!({"callId": "c", "cost": 1.5, "buyerId": "b", "campaignId": "x"});
    let event = json!({"event": "call.completed", "data": data});
    assert_eq!(
        post(address, "/api/v1/events", key, &event).await.status,
        200
    );
    let stats = get(address, "/api/v1/demo/stats", key).await.json();
    assert_eq!(
        stats,
        json!({
            "calls": {"total": 1, "completed": 1, "completionRate": 1.0},
            "publishers": 0, "buyers": 1, "campaigns": 1, "invoices": 0, "revenue": 1.5,
        })
    );
}

#[tokio::test]
async fn made_up_calls_are_reported() {
    let folder = tempfile::tempdir().unwrap();
    let seed = ["tenant", "seed", "--records", "70", "--days", "7"];
    let seeded = run_dormouse(folder.path(), &seed).await;
    assert_eq!(seeded.status, Some(0), "{seeded:?}");
    assert!(seeded.stdout.starts_with("70 records of 7 days in "));
    let server = Dormouse::serve(folder.path(), &[]).await;
    for (query, calls) in [
        ("startDate=2020-01-01T00:00:00Z", 70),
        ("startDate=2020-01-01T00:00:00Z&campaignId=campaign-none", 0),
    ] {
        let path = format!("{METRICS}?{query}");
        let report = get(server.address(), &path, KEY).await.json();
        assert_eq!(report["metrics"]["totalCalls"], calls, "{query}");
    }
}

#[tokio::test]
async fn every_acknowledged_event_survives_a_sudden_end() {
    let folder = tempfile::tempdir().unwrap();
    let mut server = Dormouse::serve(folder.path(), &[]).await;
    let address = server.address();
    let acked = Arc::<Mutex<BTreeSet<String>>>::default();
    let is_over = Arc::<AtomicBool>::default();
    let publishers: Vec<_> = (0..8)
        .map(|publisher| {
            let (acked, is_over) = (acked.clone(), is_over.clone());
            tokio::spawn(async move {
                let http = reqwest::Client::builder().no_proxy().build().unwrap();
                for number in 0.. {
                    let call = format!("{publisher}-{number}");
                    let sent = http
                        .post(format!("http://{address}/api/v1/demo/events/call"))
                        .header("X-API-Key", KEY)
                        .json(&json!({"callId": call, "eventType": "call.completed"}))
                        .send()
                        .await;
                    match sent {
                        Ok(answer) if answer.status() == 200 => {
                            acked.lock().unwrap().insert(call);
                        }
                        _ if is_over.load(Ordering::SeqCst) => return,
                        other => panic!("{other:?}"),
                    }
                }
            })
        })
        .collect();
    eventually("many are acknowledged", || async {
        (acked.lock().unwrap().len() >= 300).then_some(())
    })
    .await;
    is_over.store(true, Ordering::SeqCst);
    server.kill().await;
    for publisher in publishers {
        within("a publisher ends", publisher).await.unwrap();
    }
    let acked = std::mem::take(&mut *acked.lock().unwrap());
    let server = Dormouse::serve(folder.path(), &[]).await;
    let mut client = subscriber(server.address(), KEY).await;
    client
        .send(&json!({"type": "subscribe", "channels": ["call.*"], "since": "0"}))
        .await;
    assert_eq!(client.json().await["type"], "subscribed");
    client
        .send(&json!({"type": "subscribe", "channels": ["billing.*"]}))
        .await;
    let mut replayed = BTreeSet::new();
    loop {
        let frame = client.json().await;
        if frame["type"] == "subscribed" {
            break;
        }
        let call = frame["payload"]["data"]["callId"]
            .as_str()
            .unwrap()
            .to_owned();
        assert!(replayed.insert(call), "twice: {frame}");
    }
    let missing: Vec<_> = acked.difference(&replayed).collect();
    assert!(
        missing.is_empty(),
        "{} of {} are missing",
        missing.len(),
        acked.len()
    );
    let report = get(server.address(), METRICS, KEY).await.json();
    assert_eq!(
        report["metrics"]["totalCalls"],
        replayed.len(),
        "each left its record"
    );
    assert_eq!(TENANT.len(), 36);
}
