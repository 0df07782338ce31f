//! Replay from the log, and the seam between the past and the present (contract events.md
//! section 8).

use std::time::Duration;

use proptest::prelude::*;
use serde_json::{Value, json};

use crate::support::Client;
use crate::support::clock::{settle, until};
use crate::support::events::Publisher;
use crate::support::server::Server;

async fn subscribe(client: &mut Client, channels: &[&str], since: &str) {
    let request = json!({"type": "subscribe", "channels": channels, "since": since});
    client.send(&request.to_string()).await;
}

/// The next event: its cursor, and whether it is a replay. The number in its payload is its cursor.
async fn event(client: &mut Client) -> (u64, bool) {
    let event = client.json().await;
    assert_eq!(event["type"], "event", "{event}");
    let cursor = event["cursor"].as_str().unwrap().parse().unwrap();
    assert_eq!(event["payload"]["number"], json!(cursor));
    (cursor, event["replay"] == Value::Bool(true))
}

#[actix_rt::test]
async fn the_past_comes_first_then_the_present_with_cursors() {
    let server = Server::start();
    let publisher = Publisher::default();
    for name in ["call.started", "billing.paid", "call.answered"] {
        publisher.publish(&server, "t", name);
    }
    let mut client = publisher.subscriber(&server, "t").await;
    subscribe(&mut client, &["call.*"], "0").await;
    let answer = client.json().await;
    assert_eq!(
        answer,
        json!({"type": "subscribed", "channels": ["call.*"], "cursor": "0"})
    );
    assert_eq!(event(&mut client).await, (1, true));
    assert_eq!(event(&mut client).await, (3, true));
    publisher.publish(&server, "t", "call.completed");
    assert_eq!(event(&mut client).await, (4, false));
}

#[actix_rt::test]
async fn now_replays_nothing_and_tells_where_it_is() {
    let server = Server::start();
    let publisher = Publisher::default();
    publisher.publish(&server, "t", "call.started");
    let mut client = publisher.subscriber(&server, "t").await;
    publisher.log.hold();
    subscribe(&mut client, &["call.*"], "$").await;
    until("the log is asked", async || publisher.log.is_asked()).await;
    publisher.publish(&server, "t", "call.answered");
    settle().await;
    publisher.log.open();
    let answer = client.json().await;
    assert_eq!(answer["type"], "subscribed");
    assert_eq!(answer["cursor"], "1", "where the log was when it was read");
    assert_eq!(event(&mut client).await, (2, false));
}

#[actix_rt::test]
async fn a_long_log_comes_whole() {
    let server = Server::start();
    let publisher = Publisher::default();
    for _ in 0..3_000 {
        publisher.store("t", "call.play");
    }
    let mut client = publisher.subscriber(&server, "t").await;
    subscribe(&mut client, &["call.play"], "17").await;
    assert_eq!(client.json().await["cursor"], "17");
    for cursor in 18..=3_000 {
        assert_eq!(event(&mut client).await, (cursor, true));
    }
    publisher.publish(&server, "t", "call.play");
    assert_eq!(event(&mut client).await, (3_001, false));
}

#[actix_rt::test]
async fn what_cannot_be_replayed_is_told_and_nothing_is_subscribed() {
    let server = Server::start();
    let publisher = Publisher::default();
    for _ in 0..10 {
        publisher.store("t", "call.play");
    }
    publisher.log.trim("t", 6);
    let mut client = publisher.subscriber(&server, "t").await;
    for (since, code) in [
        ("4", "SINCE_TOO_OLD"),
        ("11", "BAD_SINCE"),
        ("x", "BAD_SINCE"),
    ] {
        subscribe(&mut client, &["call.*"], since).await;
        let answer = client.json().await;
        assert_eq!(
            (&answer["type"], &answer["code"]),
            (&json!("error"), &json!(code)),
            "{since}"
        );
    }
    publisher.publish(&server, "t", "call.play");
    client.send(r#"{"type":"unsubscribe","channels":[]}"#).await;
    let answer = client.json().await;
    assert_eq!(answer, json!({"type": "unsubscribed", "channels": []}));
    // The whole log is what is left of it, and its last forgotten place is good.
    for since in ["0", "5"] {
        let mut client = publisher.subscriber(&server, "t").await;
        subscribe(&mut client, &["call.*"], since).await;
        assert_eq!(client.json().await["type"], "subscribed");
        assert_eq!(event(&mut client).await, (6, true));
    }
    // A replay is for an empty set.
    let mut client = publisher.subscribed(&server, "t", &["call.started"]).await;
    subscribe(&mut client, &["call.*"], "0").await;
    assert_eq!(client.json().await["code"], "BAD_SINCE");
    publisher.log.break_down();
    let mut client = publisher.subscriber(&server, "t").await;
    subscribe(&mut client, &["call.*"], "0").await;
    assert_eq!(client.json().await["code"], "REPLAY_UNAVAILABLE");
}

#[actix_rt::test]
async fn requests_during_a_replay_are_answered_after_it_in_order() {
    let server = Server::start();
    let publisher = Publisher::default();
    publisher.store("t", "call.play");
    let mut client = publisher.subscriber(&server, "t").await;
    publisher.log.hold();
    subscribe(&mut client, &["call.*"], "0").await;
    client
        .send(r#"{"type":"subscribe","channels":["billing.*"]}"#)
        .await;
    client
        .send(r#"{"type":"unsubscribe","channels":["call.*"]}"#)
        .await;
    client.send(r#"{"type":"ping"}"#).await;
    assert_eq!(client.json().await["type"], "pong", "the server is there");
    publisher.log.open();
    assert_eq!(client.json().await["channels"], json!(["call.*"]));
    assert_eq!(event(&mut client).await, (1, true));
    assert_eq!(
        client.json().await["channels"],
        json!(["call.*", "billing.*"])
    );
    assert_eq!(client.json().await["channels"], json!(["billing.*"]));
}

#[actix_rt::test]
async fn a_replay_waits_for_its_reader_and_is_closed_when_it_never_reads() {
    let server = Server::start();
    let publisher = Publisher::default();
    for _ in 0..50_000 {
        publisher.store("t", "call.play");
    }
    let client = {
        let mut client = publisher.subscriber(&server, "t").await;
        subscribe(&mut client, &["call.*"], "0").await;
        client
    };
    until("something waits", async || {
        server.report().await.queued_frames > 0
    })
    .await;
    settle().await;
    let waiting = server.report().await.queued_frames;
    assert!(waiting <= 257, "a page at a time: {waiting}");
    server.clock.advance(Duration::from_secs(8)).await;
    assert_eq!(server.report().await.io.slow_consumers, 1);
    drop(client);
}

#[actix_rt::test]
async fn what_was_replayed_before_it_is_told_is_not_told_again() {
    let server = Server::start();
    let publisher = Publisher::default();
    let mut client = publisher.subscriber(&server, "t").await;
    publisher.log.hold();
    subscribe(&mut client, &["call.*"], "0").await;
    until("the log is asked", async || publisher.log.is_asked()).await;
    let stored = vec![
        publisher.store("t", "call.started"),
        publisher.store("t", "call.answered"),
    ];
    // The replay sees both, and ends, before workers hear of them.
    publisher.log.open();
    assert_eq!(client.json().await["type"], "subscribed");
    assert_eq!(event(&mut client).await, (1, true));
    assert_eq!(event(&mut client).await, (2, true));
    server.workers.publish_events(stored);
    publisher.publish(&server, "t", "call.completed");
    assert_eq!(event(&mut client).await, (3, false));
    // The next replay begins with an empty set, and ends elsewhere.
    client
        .send(r#"{"type":"unsubscribe","channels":["call.*"]}"#)
        .await;
    assert_eq!(client.json().await["type"], "unsubscribed");
    subscribe(&mut client, &["call.*"], "2").await;
    assert_eq!(client.json().await["cursor"], "2");
    assert_eq!(event(&mut client).await, (3, true));
    publisher.publish(&server, "t", "call.ended");
    assert_eq!(event(&mut client).await, (4, false));
}

#[actix_rt::test]
async fn a_log_that_loses_its_beginning_under_a_replay_ends_it() {
    let server = Server::start();
    let publisher = Publisher::default();
    for _ in 0..400 {
        publisher.store("t", "call.play");
    }
    let mut client = publisher.subscriber(&server, "t").await;
    publisher.log.hold();
    subscribe(&mut client, &["call.*"], "0").await;
    until("the log is asked", async || publisher.log.is_asked()).await;
    publisher.log.trim("t", 300);
    publisher.log.release();
    assert_eq!(client.json().await["type"], "subscribed");
    for cursor in 1..=256 {
        assert_eq!(event(&mut client).await, (cursor, true));
    }
    until("the log is asked again", async || publisher.log.is_asked()).await;
    publisher.log.open();
    // It was told that the replay has begun, so it must learn that there is a gap.
    assert!(client.closed(1011).await.contains("no longer holds"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Whatever is published while the log is read: each event once, in order, none missing. Of
    /// every `rarity` events one is meant, and another tenant publishes as much.
    #[test]
    fn the_seam_has_no_gap_and_no_duplicate(
        before in 0_usize..600,
        since in 0_u64..600,
        rarity in prop::sample::select(vec![1_u64, 1, 2, 7, 500]),
        steps in prop::collection::vec((0_usize..40, 0..4), 1..12),
    ) {
        let since = since.min(before as u64);
        actix_rt::System::new().block_on(async move {
            let server = Server::start();
            let publisher = Publisher::default();
            let mut last = 0;
            let mut store = || {
                last += 1;
                let is_meant = last % rarity == 0;
                let name = if is_meant { "call.play" } else { "billing.paid" };
                [publisher.store("t", name), publisher.store("u", "call.play")]
            };
            for _ in 0..before {
                store();
            }
            let mut client = publisher.subscriber(&server, "t").await;
            publisher.log.hold();
            subscribe(&mut client, &["call.*", "call.play"], &since.to_string()).await;
            until("the log is asked", async || publisher.log.is_asked()).await;
            for (count, reads_between) in steps {
                let stored: Vec<_> = (0..count).flat_map(|_| store()).collect();
                // The log may be read between storing and telling, to its end and beyond the seam.
                for _ in 0..reads_between {
                    publisher.log.release();
                    settle().await;
                }
                server.workers.publish_events(stored);
                settle().await;
                publisher.log.release();
                settle().await;
            }
            publisher.log.open();
            assert_eq!(client.json().await["type"], "subscribed");
            for cursor in (since + 1..=last).filter(|cursor| cursor % rarity == 0) {
                assert_eq!(event(&mut client).await.0, cursor);
            }
            settle().await;
            assert_eq!(client.try_next(), None, "nothing twice");
        });
    }
}
