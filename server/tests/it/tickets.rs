//! Tickets: fetched over HTTP, good for one connection (realtime contract, section 3).

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use dormouse_server::clock::unix_ms;
use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::support::http::Answer;
use crate::support::{Client, Handshake, Server, http};

const PATH: &str = "/v1/websocket/ticket";

async fn fetch(server: &Server, user: &str) -> Answer {
    http::post(
        server.address,
        PATH,
        &server.token(user),
        &json!({ "body": "ignored" }),
    )
    .await
}

async fn ticket(server: &Server, user: &str) -> String {
    let answer = fetch(server, user).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.json()["ticket"].as_str().unwrap().to_owned()
}

async fn present(server: &Server, ticket: &str) -> Result<Client, u16> {
    let handshake = Handshake::updates().query("ticket", ticket);
    let opened = Client::try_open(server.address, handshake).await;
    opened.map_err(|response| response.status().as_u16())
}

#[tokio::test]
async fn a_ticket_opens_one_connection_of_its_user() {
    let server = Server::start();
    let answer = fetch(&server, "alice").await;
    assert_eq!(answer.header("x-ratelimit-limit"), Some("10"));
    assert_eq!(answer.header("x-ratelimit-remaining"), Some("9"));
    let ticket = answer.json()["ticket"].as_str().unwrap().to_owned();
    let mut client = present(&server, &ticket).await.ok().unwrap();
    assert_eq!(client.greeted().await["userId"], "alice");
    assert_eq!(
        present(&server, &ticket).await.err(),
        Some(401),
        "it was used"
    );
    // The connection that it opened is not concerned.
    client.quiet().await;
    assert_eq!(server.refused("ticket"), 1);
}

#[tokio::test]
async fn a_ticket_has_the_contracts_form() {
    let server = Server::start();
    let before = unix_ms();
    let ticket = ticket(&server, "alice").await;
    let (payload, signature) = ticket.split_once('.').unwrap();
    let decode = |part| BASE64_URL_SAFE_NO_PAD.decode(part).unwrap();
    assert_eq!(decode(signature).len(), 32);
    let payload: Value = serde_json::from_slice(&decode(payload)).unwrap();
    assert_eq!(payload["userId"], "alice");
    let exp = payload["exp"].as_u64().unwrap();
    assert!(
        (before + 30_000..=unix_ms() + 30_000).contains(&exp),
        "{payload}"
    );
    assert!(uuid::Uuid::parse_str(payload["nonce"].as_str().unwrap()).is_ok());
}

#[tokio::test]
async fn of_many_who_present_one_ticket_one_is_let_in() {
    let server = Server::start();
    let ticket = ticket(&server, "alice").await;
    let outcomes = join_all((0..20).map(|_| present(&server, &ticket))).await;
    assert_eq!(outcomes.iter().filter(|outcome| outcome.is_ok()).count(), 1);
    assert!(
        outcomes
            .iter()
            .filter_map(|outcome| outcome.as_ref().err())
            .all(|status| *status == 401)
    );
}

#[tokio::test]
async fn only_tickets_of_this_server_and_this_time_are_good() {
    let server = Server::start();
    let stranger = Server::start();
    let good = ticket(&server, "alice").await;
    let (payload, signature) = good.split_once('.').unwrap();
    let for_bob = {
        let bytes = BASE64_URL_SAFE_NO_PAD.decode(payload).unwrap();
        let text = String::from_utf8(bytes).unwrap().replace("alice", "bob");
        BASE64_URL_SAFE_NO_PAD.encode(text)
    };
    let now = unix_ms();
    for bad in [
        format!("{for_bob}.{signature}"),
        format!("{payload}.{}", BASE64_URL_SAFE_NO_PAD.encode([0; 32])),
        format!("{payload}."),
        format!(".{signature}"),
        format!("{payload}.{signature}."),
        format!("{payload}.{signature}.{signature}"),
        format!("{payload}=.{signature}"),
        payload.to_owned(),
        ".".to_owned(),
        "x".repeat(50_000),
        server.token("alice"),
        stranger.ticket("alice"),
        // 30 s and 5 s of forgiveness.
        server.ticket_made_at("alice", now - 35_500),
    ] {
        assert_eq!(present(&server, &bad).await.err(), Some(401), "{bad:.60}");
    }
    let late = server.ticket_made_at("alice", unix_ms() - 31_000);
    assert!(
        present(&server, &late).await.is_ok(),
        "within the forgiveness"
    );
    // None of that has used up the good one.
    assert!(present(&server, &good).await.is_ok());
}

#[tokio::test]
async fn tickets_keep_the_tier_of_their_token() {
    let server = Server::start();
    let token = server.token_of_tier("alice", "pro");
    let answer = http::post(server.address, PATH, &token, &json!({})).await;
    let ticket = answer.json()["ticket"].as_str().unwrap().to_owned();
    let mut client = present(&server, &ticket).await.ok().unwrap();
    client.greeted().await;
    assert_eq!(server.stats("alice").await.shards[0].tier, "pro");
}

#[tokio::test]
async fn ten_a_minute_are_the_limit_of_a_user() {
    let server = Server::start();
    // The rate counts by the clock's minutes: what begins in one and ends in another is no proof.
    let mut users = (0..).map(|number| format!("alice-{number}"));
    let answers = loop {
        let (user, minute) = (users.next().unwrap(), unix_ms() / 60_000);
        let answers = join_all((0..15).map(|_| fetch(&server, &user))).await;
        if unix_ms() / 60_000 == minute {
            break answers;
        }
    };
    let (good, refused): (Vec<_>, Vec<_>) =
        answers.into_iter().partition(|answer| answer.status == 200);
    assert_eq!(
        (good.len(), refused.len()),
        (10, 5),
        "exactly, however they race"
    );
    let remaining: std::collections::BTreeSet<&str> = good
        .iter()
        .map(|answer| answer.header("x-ratelimit-remaining").unwrap())
        .collect();
    assert_eq!(remaining.len(), 10, "{remaining:?}");
    for answer in &refused {
        assert_eq!(answer.status, 429, "{answer:?}");
        assert_eq!(answer.header("x-ratelimit-limit"), Some("10"));
        assert_eq!(answer.header("x-ratelimit-remaining"), Some("0"));
        let body = answer.json();
        let seconds = body["retryAfter"].as_u64().unwrap();
        assert!((1..=60).contains(&seconds), "{body}");
        assert_eq!(answer.header("retry-after"), Some(&*seconds.to_string()));
        assert!(body["error"].is_string(), "{body}");
    }
    // Others have limits of their own, and a ticket that was fetched is good.
    assert_eq!(fetch(&server, "bob").await.status, 200);
    let fetched = good[0].json()["ticket"].as_str().unwrap().to_owned();
    assert!(present(&server, &fetched).await.is_ok());
}

#[tokio::test]
async fn without_a_good_token_there_is_no_ticket() {
    let server = Server::start();
    for token in [
        "rubbish".to_owned(),
        server.admin_token("root"),
        server.token_expired_for("a", 9),
    ] {
        let answer = http::post(server.address, PATH, &token, &json!({})).await;
        assert_eq!(answer.status, 401, "{answer:?}");
        assert!(answer.json()["error"].is_string(), "{answer:?}");
    }
    let without = http::send(reqwest::Method::POST, server.address, PATH, None, None).await;
    assert_eq!(without.status, 401, "{without:?}");
    let get = http::get(server.address, PATH, Some(&server.token("alice"))).await;
    assert!(matches!(get.status, 404 | 405), "{get:?}");
}
