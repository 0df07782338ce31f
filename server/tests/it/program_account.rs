//! `dormouse account` and `dormouse invite`, beside a running server and without one.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use ed25519_dalek::{Signer as _, SigningKey};
use serde_json::{Value, json};

use crate::support::process::{Dormouse, run_dormouse, token};
use crate::support::{Client, Handshake, eventually, http};

async fn sign_in(address: std::net::SocketAddr, number: u8, query: &str) -> http::Answer {
    let key = SigningKey::from_bytes(&[number; 32]);
    let body = json!({
        "publicKey": BASE64_STANDARD.encode(key.verifying_key().as_bytes()),
        "challenge": BASE64_STANDARD.encode(b"x"),
        "signature": BASE64_STANDARD.encode(key.sign(b"x").to_bytes()),
    });
    let path = format!("/v1/auth{query}");
    http::send(reqwest::Method::POST, address, &path, None, Some(&body)).await
}

async fn account(folder: &std::path::Path, arguments: &[&str]) -> String {
    let ended = run_dormouse(folder, arguments).await;
    assert_eq!(ended.status, Some(0), "{ended:?}");
    ended.stdout
}

#[tokio::test]
async fn what_a_command_does_holds_in_a_running_server_within_seconds() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let mut process = Dormouse::serve(folder, &["--set", "auth.signup=approval"]).await;
    let address = process.address();
    let pending = sign_in(address, 1, "").await;
    assert_eq!(
        (pending.status, pending.json()["code"].clone()),
        (403, "ACCOUNT_PENDING".into())
    );
    let id = pending.json()["accountId"].as_str().unwrap().to_owned();
    let listed = account(folder, &["account", "list", "--status", "pending"]).await;
    assert!(listed.contains(&id), "{listed}");
    account(folder, &["account", "approve", &id]).await;
    let answer = sign_in(address, 1, "").await;
    let bearer = answer.json()["token"].as_str().unwrap().to_owned();
    let handshake = Handshake::updates().query("token", &bearer);
    let mut client = Client::open(address, handshake).await;
    client.greeted().await;
    account(folder, &["account", "block", &id]).await;
    assert_eq!(client.closed().await.0, 4001);
    let stats = "/v1/websocket/stats";
    assert_eq!(http::get(address, stats, Some(&bearer)).await.status, 401);
    account(folder, &["account", "approve", &id]).await;
    eventually("it is let in again", || async {
        (http::get(address, stats, Some(&bearer)).await.status == 200).then_some(())
    })
    .await;
    // Signed out and blocked stay so after a restart, and without a server commands work too.
    let out = http::post(address, "/v1/auth/logout", &bearer, &json!({})).await;
    assert_eq!(out.status, 200);
    process.stop().await;
    account(folder, &["account", "block", "carol"]).await;
    let carol = token(folder, &["--user", "carol"]).await;
    let process = Dormouse::serve(folder, &["--set", "auth.signup=approval"]).await;
    let address = process.address();
    for refused in [&bearer, &carol] {
        assert_eq!(http::get(address, stats, Some(refused)).await.status, 401);
    }
    let again = sign_in(address, 1, "").await.json()["token"]
        .as_str()
        .unwrap()
        .to_owned();
    assert_eq!(http::get(address, stats, Some(&again)).await.status, 200);
    account(folder, &["account", "delete", &id]).await;
    eventually("its token is refused", || async {
        (http::get(address, stats, Some(&again)).await.status == 401).then_some(())
    })
    .await;
    let listed = account(folder, &["account", "list", "--json"]).await;
    let listed: Vec<Value> = listed
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(listed.len(), 1, "{listed:?}");
    assert_eq!(
        (&listed[0]["id"], &listed[0]["status"]),
        (&json!("carol"), &json!("blocked"))
    );
}

#[tokio::test]
async fn an_invitation_of_a_command_lets_one_in() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    // Before the first start.
    let code = account(
        folder,
        &["invite", "create", "--note", "bob", "--ttl", "1h"],
    )
    .await;
    let process = Dormouse::serve(folder, &["--set", "auth.signup=invite"]).await;
    let address = process.address();
    assert_eq!(
        sign_in(address, 1, "").await.json()["code"],
        "INVITE_REQUIRED"
    );
    let query = format!("?invite={}", code.trim());
    assert_eq!(sign_in(address, 1, &query).await.status, 200);
    assert_eq!(
        sign_in(address, 2, &query).await.json()["code"],
        "INVITE_INVALID"
    );
    let code = account(folder, &["invite", "create"]).await;
    let listed = account(folder, &["invite", "list"]).await;
    let line = listed.lines().find(|line| line.contains(" open ")).unwrap();
    let id = line.split(' ').next().unwrap();
    assert!(
        listed.contains(" used ") && listed.contains("bob"),
        "{listed}"
    );
    account(folder, &["invite", "revoke", id]).await;
    let query = format!("?invite={}", code.trim());
    assert_eq!(
        sign_in(address, 2, &query).await.json()["code"],
        "INVITE_INVALID"
    );
}

#[tokio::test]
async fn commands_say_what_is_wrong() {
    let folder = tempfile::tempdir().unwrap();
    for (arguments, part) in [
        (&["account", "approve", "nobody"][..], "no account"),
        (&["account", "delete", "nobody"], "no account"),
        (
            &["account", "list", "--status", "gone"],
            "pending, active, blocked",
        ),
        (&["invite", "revoke", "none"], "no invitation"),
        (&["invite", "create", "--ttl", "2years"], "365 days"),
    ] {
        let ended = run_dormouse(folder.path(), arguments).await;
        assert_eq!(ended.status, Some(1), "{ended:?}");
        assert!(ended.stderr.contains(part), "{ended:?}");
    }
}
