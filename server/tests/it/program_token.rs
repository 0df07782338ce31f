//! `dormouse token`: tokens that a running server takes.

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use serde_json::Value;

use crate::support::process::{Dormouse, run_dormouse, token};
use crate::support::{Client, Handshake, http};

fn claims(token: &str) -> Value {
    let payload = token.split('.').nth(1).unwrap();
    serde_json::from_slice(&BASE64_URL_SAFE_NO_PAD.decode(payload).unwrap()).unwrap()
}

#[tokio::test]
async fn a_token_says_what_it_was_asked_to() {
    let folder = tempfile::tempdir().unwrap();
    let plain = claims(&token(folder.path(), &["--user", "alice"]).await);
    assert_eq!(
        (&plain["sub"], &plain["user"]),
        (&"alice".into(), &"alice".into())
    );
    assert_eq!(plain["iss"], "dormouse");
    let lifetime = plain["exp"].as_u64().unwrap() - plain["iat"].as_u64().unwrap();
    assert_eq!(lifetime, 30 * 24 * 3600);
    assert_eq!((plain.get("tier"), plain.get("scope")), (None, None));
    let arguments = ["--user", "alice", "--tier", "pro", "--ttl", "90s"];
    let pro = claims(&token(folder.path(), &arguments).await);
    assert_eq!(pro["tier"], "pro");
    assert_eq!(
        pro["exp"].as_u64().unwrap() - pro["iat"].as_u64().unwrap(),
        90
    );
    let admin = claims(&token(folder.path(), &["--user", "root", "--admin"]).await);
    assert_eq!(admin["scope"], "admin");
    let configured = [
        "--user",
        "a",
        "--set",
        "auth.token_ttl=1h",
        "--set",
        "auth.issuer=me",
    ];
    let configured = claims(&token(folder.path(), &configured).await);
    assert_eq!(configured["iss"], "me");
    assert_eq!(
        configured["exp"].as_u64().unwrap() - configured["iat"].as_u64().unwrap(),
        3600
    );
}

#[tokio::test]
async fn a_running_server_takes_it_for_what_it_is() {
    let folder = tempfile::tempdir().unwrap();
    // Before the first start: the secret is made, and used by the server.
    let pro = token(folder.path(), &["--user", "alice", "--tier", "pro"]).await;
    let process = Dormouse::serve(folder.path(), &[]).await;
    let address = process.address();
    let admin = token(folder.path(), &["--user", "root", "--admin"]).await;
    let brief = token(folder.path(), &["--user", "brief", "--ttl", "1s"]).await;
    let open = |token: &str| Client::try_open(address, Handshake::updates().query("token", token));
    let mut client = open(&pro)
        .await
        .unwrap_or_else(|response| panic!("{response:?}"));
    client.greeted().await;
    let stats = http::get(address, "/v1/websocket/stats", Some(&pro))
        .await
        .json();
    assert_eq!(stats["shards"][0]["tier"], "pro");
    // Admins are no users and users no admins.
    assert_eq!(open(&admin).await.err().unwrap().status(), 401);
    let overview = "/admin/v1/overview";
    assert_eq!(http::get(address, overview, Some(&admin)).await.status, 200);
    assert_eq!(http::get(address, overview, Some(&pro)).await.status, 403);
    assert_eq!(http::get(address, overview, None).await.status, 401);
    assert_eq!(
        http::get(address, "/v1/websocket/stats", Some(&admin))
            .await
            .status,
        401
    );
    // Its time ends.
    crate::support::eventually("it expires", || async {
        let answer = http::get(address, "/v1/websocket/stats", Some(&brief)).await;
        (answer.status == 401).then_some(())
    })
    .await;
    // One of another folder's secret is a stranger's.
    let elsewhere = tempfile::tempdir().unwrap();
    let stranger = token(elsewhere.path(), &["--user", "alice"]).await;
    assert_eq!(open(&stranger).await.err().unwrap().status(), 401);
}

#[tokio::test]
async fn what_no_token_can_say_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let long = "x".repeat(129);
    let cases: [(&[&str], i32, &str); 9] = [
        (
            &["--user", "alice", "--tier", "gold"],
            1,
            "enterprise, free, pro",
        ),
        (
            &["--user", "alice", "--tier", ""],
            1,
            "enterprise, free, pro",
        ),
        (&["--user", ""], 1, "1 to 128 visible characters"),
        (&["--user", "two words"], 1, "1 to 128 visible characters"),
        (&["--user", &long], 1, "1 to 128 visible characters"),
        (&["--user", "alice", "--ttl", "soon"], 64, "--ttl"),
        (&["--user", "alice", "--ttl", "0s"], 1, "1 second"),
        (&["--user", "alice", "--ttl", "11years"], 1, "3650 days"),
        (
            &["--user", "alice", "--admin", "--tier", "pro"],
            64,
            "--tier",
        ),
    ];
    for (arguments, status, remedy) in cases {
        let ended = run_dormouse(folder.path(), &[&["token"], arguments].concat()).await;
        assert_eq!(ended.status, Some(status), "{arguments:?}: {ended:?}");
        assert!(ended.stderr.contains(remedy), "{arguments:?}: {ended:?}");
        assert_eq!(ended.stdout, "", "{arguments:?}");
    }
}
