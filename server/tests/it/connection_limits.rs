//! Caps before the upgrade: of a user's tier, of those who have not authenticated, and of a server
//! that is stopping (realtime contract, sections 2.3 and 13).

use std::time::Duration;

use serde_json::json;

use crate::support::raw::Response;
use crate::support::{Builder, Client, Handshake, Raw, Server, eventually};

async fn refusal(server: &Server, handshake: &Handshake) -> Response {
    Raw::request(server.address, &handshake.to_bytes()).await
}

#[tokio::test]
async fn a_user_at_the_cap_is_refused_with_tier_limit_and_count() {
    let server = Builder::default().tier("tiny", 2, 2).start();
    let token = server.token_of_tier("alice", "tiny");
    let mut clients = Vec::new();
    for _ in 0..4 {
        clients.push(server.connect_with(&token, &[]).await);
    }
    let handshake = Handshake::updates()
        .query("token", &token)
        .header("X-Request-ID", "r-1");
    let response = refusal(&server, &handshake).await;
    assert_eq!(response.status, 429, "{response:?}");
    let seconds: u64 = response.header("retry-after").unwrap().parse().unwrap();
    assert!((1..=60).contains(&seconds));
    assert_eq!(response.header("content-type"), Some("application/json"));
    let body = response.json();
    assert_eq!(
        (&body["tier"], &body["limit"], &body["connections"]),
        (&json!("tiny"), &json!(4), &json!(4))
    );
    assert_eq!(body["requestId"], "r-1");
    assert!(body["error"].as_str().unwrap().contains("tiny"), "{body}");
    assert!(body["timestamp"].as_str().unwrap().ends_with('Z'), "{body}");
    // Counted per tier and reason, and with the user's shard; nobody else is concerned.
    let key = ("tiny".to_owned(), "connection_limit");
    let rejected = server
        .sum(|report| report.counters.rejected.get(&key).copied().unwrap_or(0))
        .await;
    assert_eq!(rejected, 1);
    let stats = server.stats("alice").await;
    assert_eq!((stats.total_connections, stats.shards[0].rejected), (4, 1));
    server.connect("bob").await.quiet().await;

    // A place that becomes free is taken by the next.
    drop(clients.pop());
    server.until_connections("alice", 3).await;
    server.connect_with(&token, &[]).await.quiet().await;
}

#[tokio::test]
async fn many_at_once_never_pass_the_cap() {
    let server = Builder::default().tier("small", 5, 2).start();
    let token = server.token_of_tier("alice", "small");
    let handshake = Handshake::updates().query("token", &token);
    let attempts = (0..40).map(|_| Client::try_open(server.address, handshake.clone()));
    let outcomes = futures_util::future::join_all(attempts).await;
    let (open, refused): (Vec<_>, Vec<_>) = outcomes.into_iter().partition(Result::is_ok);
    assert_eq!((open.len(), refused.len()), (10, 30));
    for response in refused.into_iter().filter_map(Result::err) {
        assert_eq!(response.status(), 429);
    }
    assert_eq!(server.stats("alice").await.total_connections, 10);
}

#[tokio::test]
async fn earlier_faults_are_told_before_the_cap() {
    let server = Builder::default().tier("one", 1, 1).start();
    let token = server.token_of_tier("alice", "one");
    let _client = server.connect_with(&token, &[]).await;
    let full = Handshake::updates().query("token", &token);
    assert_eq!(refusal(&server, &full).await.status, 429);
    let cases = [
        (full.clone().without("Upgrade"), 426),
        (full.clone().without("Sec-WebSocket-Key"), 400),
        (full.clone().header("Sec-WebSocket-Version", "12"), 426),
        (full.clone().query("ticket", "bad"), 401),
        (full.clone().query("clientType", "phone"), 400),
        (full.clone().query("clientType", "session-scoped"), 400),
        (full.clone().query("clientType", "machine-scoped"), 400),
    ];
    for (handshake, status) in cases {
        let response = refusal(&server, &handshake).await;
        assert_eq!(response.status, status, "{handshake:?}");
    }
}

#[tokio::test]
async fn unauthenticated_connections_of_one_address_are_bounded() {
    let server = &Server::with("auth.max_pending_per_address", "3").start();
    let anonymous = Handshake::updates();
    let mut waiting = Vec::new();
    for _ in 0..3 {
        waiting.push(Client::open(server.address, anonymous.clone()).await);
    }
    let response = refusal(server, &anonymous).await;
    assert_eq!(response.status, 429, "{response:?}");
    assert_eq!(response.header("retry-after"), Some("5"));
    let kind = response.header("content-type");
    assert_eq!(kind, Some("text/plain; charset=utf-8"));
    assert_eq!(server.refused("pending_limit"), 1);
    assert_eq!(server.sum(|report| report.pending).await, 3);
    // Earlier faults are told first, and who brings a token is not concerned.
    let odd = anonymous.clone().query("clientType", "phone");
    assert_eq!(refusal(server, &odd).await.status, 400);
    server.connect("alice").await.quiet().await;

    // Both who authenticates and who leaves gives the place back.
    let mut first = waiting.pop().unwrap();
    first
        .tell("auth", &json!({ "token": server.token("bob") }))
        .await;
    first.expect("connected").await;
    let until_taken = |count| {
        eventually("a place comes back", move || async move {
            (server.state().pending.taken() == count).then_some(())
        })
    };
    until_taken(2).await;
    drop(waiting.pop());
    until_taken(1).await;
    let _again = Client::open(server.address, anonymous.clone()).await;
    let _and_again = Client::open(server.address, anonymous.clone()).await;
    assert_eq!(refusal(server, &anonymous).await.status, 429);
}

#[tokio::test]
async fn unauthenticated_connections_are_bounded_in_total() {
    let server = Server::with("auth.max_pending", "2")
        .set("http.trusted_proxies", "127.0.0.1")
        .start();
    // Behind a proxy, each has an address of its own.
    let from = |address: &str| Handshake::updates().header("X-Forwarded-For", address);
    let _first = Client::open(server.address, from("192.0.2.1")).await;
    let _second = Client::open(server.address, from("192.0.2.2")).await;
    let response = refusal(&server, &from("192.0.2.3")).await;
    assert_eq!(response.status, 429, "{response:?}");
    assert_eq!(server.refused("pending_limit"), 1);
}

#[tokio::test]
async fn none_may_wait_where_none_is_allowed_to() {
    let server = Server::with("auth.max_pending", "0").start();
    let response = refusal(&server, &Handshake::updates()).await;
    assert_eq!(response.status, 429, "{response:?}");
    server.connect("alice").await.quiet().await;
}

#[tokio::test]
async fn a_draining_server_refuses_last_of_all() {
    let server = Server::with("auth.max_pending_per_address", "1")
        .set("workers", "1")
        .tier("one", 1, 1)
        .start();
    let token = server.token_of_tier("alice", "one");
    // Draining goes through the table: within an hour these two are closed at its very end.
    let mut first = server.connect("first").await;
    let _full = server.connect_with(&token, &[]).await;
    let _waiting = Client::open(server.address, Handshake::updates()).await;
    server.state().workers.drain(Duration::from_secs(3600));
    assert_eq!(first.closed().await.0, 1001);
    let with_token = Handshake::updates().query("token", &server.token("bob"));
    for (handshake, status) in [
        (with_token.clone(), 503),
        (with_token.clone().without("Upgrade"), 426),
        (with_token.clone().without("Sec-WebSocket-Key"), 400),
        (with_token.clone().header("Sec-WebSocket-Version", "7"), 426),
        (with_token.clone().query("ticket", "bad"), 401),
        (with_token.clone().query("clientType", "phone"), 400),
        (Handshake::updates().query("token", "bad"), 401),
        (Handshake::updates().query("clientType", "phone"), 400),
        // The caps come before it, too.
        (Handshake::updates().query("token", &token), 429),
        (Handshake::updates(), 429),
    ] {
        let response = refusal(&server, &handshake).await;
        assert_eq!(response.status, status, "{handshake:?}: {response:?}");
        if status == 503 {
            assert_eq!(response.header("retry-after"), Some("1"));
        }
    }
    assert_eq!(
        server.stats("bob").await.shards,
        [],
        "nothing is left of who was refused"
    );
}

#[tokio::test]
async fn a_draining_server_takes_nobody_who_has_yet_to_authenticate() {
    let server = Server::start();
    let mut waiting = Client::open(server.address, Handshake::updates()).await;
    server.state().workers.drain(Duration::ZERO);
    assert_eq!(waiting.closed().await.0, 1001);
    let response = refusal(&server, &Handshake::updates()).await;
    assert_eq!(response.status, 503, "{response:?}");
    assert_eq!(response.header("retry-after"), Some("1"));
    server.until_nobody_waits().await;
}
