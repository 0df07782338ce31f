//! Subscribers of events (contract events.md sections 6 and 7).

use std::time::Duration;

use dormouse_shard::settings::{ShardSettings, SubscriberSettings};
use dormouse_shard::subscriber::AccessRefused;
use serde_json::{Value, json};

use crate::support::client::frame;
use crate::support::clock::{TICK, settle, until};
use crate::support::events::{Publisher, arrive, arrive_on};
use crate::support::server::{Builder, Server, Who};
use crate::support::{Client, Seen};

fn server(workers: usize, subscribers: SubscriberSettings) -> Server {
    Builder {
        workers,
        settings: ShardSettings {
            subscribers,
            ..ShardSettings::default()
        },
        ..Builder::default()
    }
    .start()
}

async fn ask(client: &mut Client, request: Value) -> Value {
    client.send(&request.to_string()).await;
    client.json().await
}

/// The names of the events that are here, in order.
fn names(client: &mut Client) -> Vec<String> {
    let read = |seen| match seen {
        Seen::Text(text) => {
            let mut event: Value = serde_json::from_str(&text).unwrap();
            assert_eq!(event["type"], "event");
            assert_eq!(event["channel"], event["payload"]["event"]);
            event["channel"].take().as_str().unwrap().to_owned()
        }
        other => panic!("{other:?}"),
    };
    client.drain().into_iter().map(read).collect()
}

#[actix_rt::test]
async fn what_is_sent_before_the_key_is_verified_is_not_lost() {
    let server = Server::start();
    let publisher = Publisher::default();
    let early = frame(0x81, br#"{"type":"subscribe","channels":["call.*"]}"#);
    let (mut client, verdict, _) = arrive(&server, &early);
    client.accepted().await;
    client.send(r#"{"type":"ping"}"#).await;
    settle().await;
    assert_eq!(
        client.try_next(),
        None,
        "not a word before the key is verified"
    );
    verdict.tell(Ok(publisher.access("t")));
    let kinds = ["connected", "subscribed", "pong"];
    for kind in kinds {
        assert_eq!(client.json().await["type"], kind);
    }
    publisher.publish(&server, "t", "call.started");
    assert_eq!(client.json().await["channel"], "call.started");
}

#[actix_rt::test]
async fn too_many_messages_before_the_key_is_verified_close() {
    let server = Server::start();
    let (mut client, _verdict, _) = arrive(&server, &[]);
    client.accepted().await;
    for _ in 0..=16 {
        client.send(r#"{"type":"ping"}"#).await;
    }
    assert!(client.closed(1008).await.contains("too many messages"));
}

#[actix_rt::test]
async fn bad_keys_are_told_by_the_close_frame_alone() {
    let server = Server::start();
    for (refused, code, reason) in [
        (AccessRefused::Unauthorized, 1008, "Unauthorized"),
        (AccessRefused::Full, 1013, "Node over its connection limit"),
        (
            AccessRefused::Unavailable,
            1011,
            "cannot verify the key now; reconnect",
        ),
    ] {
        let (mut client, verdict, given_back) = arrive(&server, &[]);
        client.accepted().await;
        verdict.tell(Err(refused));
        assert_eq!(client.closed(code).await, reason);
        given_back.await.unwrap_err();
    }
    until("nobody is left", async || {
        server.report().await.subscribers == 0
    })
    .await;
}

#[actix_rt::test]
async fn sets_are_sets_in_the_order_of_insertion() {
    let server = Server::start();
    let mut client = Publisher::default().subscriber(&server, "t").await;
    let subscribe = |channels: Value| json!({"type": "subscribe", "channels": channels});
    let unsubscribe = |channels: Value| json!({"type": "unsubscribe", "channels": channels});
    let answer = ask(&mut client, subscribe(json!(["call.*", "billing.paid"]))).await;
    assert_eq!(
        answer,
        json!({"type": "subscribed", "channels": ["call.*", "billing.paid"]})
    );
    let answer = ask(&mut client, subscribe(json!(["a.b", "call.*", "c"]))).await;
    assert_eq!(
        answer["channels"],
        json!(["call.*", "billing.paid", "a.b", "c"])
    );
    let answer = ask(
        &mut client,
        unsubscribe(json!(["billing.paid", "unknown", "?"])),
    )
    .await;
    assert_eq!(
        answer,
        json!({"type": "unsubscribed", "channels": ["call.*", "a.b", "c"]})
    );
    let answer = ask(&mut client, unsubscribe(json!([]))).await;
    assert_eq!(answer["channels"], json!(["call.*", "a.b", "c"]));
}

#[actix_rt::test]
async fn a_set_has_at_most_a_hundred_entries_and_a_refusal_adds_nothing() {
    let server = Server::start();
    let publisher = Publisher::default();
    let longest = |number: usize| format!("call.{}{number:03}", "x".repeat(120));
    let channels: Vec<String> = (0..100).map(longest).collect();
    let mut client = publisher.subscriber(&server, "t").await;
    let answer = ask(
        &mut client,
        json!({"type": "subscribe", "channels": channels}),
    )
    .await;
    assert_eq!(answer["channels"].as_array().unwrap().len(), 100);
    for channels in [
        json!(["one.more"]),
        json!(["*"]),
        json!([7]),
        json!("call.*"),
    ] {
        let answer = ask(
            &mut client,
            json!({"type": "subscribe", "channels": channels}),
        )
        .await;
        assert_eq!(answer["type"], "error", "{channels}");
        assert_eq!(answer["code"], "BAD_CHANNELS", "{channels}");
    }
    // What is in the set may be named again.
    let answer = ask(
        &mut client,
        json!({"type": "subscribe", "channels": [longest(7)]}),
    )
    .await;
    assert_eq!(answer["type"], "subscribed");
    publisher.publish(&server, "t", "one.more");
    publisher.publish(&server, "t", &longest(99));
    assert_eq!(client.json().await["channel"], longest(99));
}

#[actix_rt::test]
async fn a_name_of_the_greatest_depth_is_delivered_once_whatever_matches_it() {
    let server = Server::start();
    let publisher = Publisher::default();
    // 128 bytes, and all its prefixes.
    let name = format!("call{}", ".a".repeat(62));
    let mut all: Vec<String> = (0..62)
        .map(|depth| format!("call{}.*", ".a".repeat(depth)))
        .collect();
    all.push(name.clone());
    let all: Vec<&str> = all.iter().map(String::as_str).collect();
    let mut client = publisher.subscribed(&server, "t", &all).await;
    publisher.publish(&server, "t", &name);
    publisher.publish(&server, "t", "call.a");
    settle().await;
    assert_eq!(names(&mut client), [&*name, "call.a"]);
    assert_eq!(server.report().await.counters.events_delivered, 2);
}

#[actix_rt::test]
async fn faults_are_told_and_the_connection_stays() {
    let server = Server::start();
    let mut client = Publisher::default().subscriber(&server, "t").await;
    for (text, code) in [
        ("hello", "BAD_FRAME"),
        (r#"{"event":"ping"}"#, "UNKNOWN_TYPE"),
        (r#"{"type":"subscribe"}"#, "BAD_CHANNELS"),
    ] {
        client.send(text).await;
        let answer = client.json().await;
        assert_eq!(answer["type"], "error", "{text}");
        assert_eq!(answer["code"], code, "{text}");
    }
    // A binary frame is read as text.
    client.write(&frame(0x82, br#"{"type":"ping"}"#)).await;
    assert_eq!(client.json().await["type"], "pong");
}

#[actix_rt::test]
async fn messages_over_64_kib_close() {
    let server = Server::start();
    let mut client = Publisher::default().subscriber(&server, "t").await;
    client.write(&frame(0x81, &vec![b' '; 65_537])).await;
    client.closed(1009).await;
}

#[actix_rt::test]
async fn only_what_matches_is_delivered_and_once() {
    let server = Server::start();
    let publisher = Publisher::default();
    let all = &["call.*", "call.queue.*", "call.queue.join", "call.started"];
    let mut greedy = publisher.subscribed(&server, "t", all).await;
    let mut exact = publisher
        .subscribed(&server, "t", &["call.queue.join"])
        .await;
    let mut none = publisher.subscriber(&server, "t").await;
    let mut other = publisher
        .subscribed(&server, "u", &["call.*", "call.queue.join"])
        .await;
    for name in [
        "call.started",
        "call.queue.join",
        "billing.paid",
        "callers.x",
        "call.ended",
    ] {
        publisher.publish(&server, "t", name);
    }
    settle().await;
    assert_eq!(
        names(&mut greedy),
        ["call.started", "call.queue.join", "call.ended"]
    );
    assert_eq!(names(&mut exact), ["call.queue.join"]);
    assert_eq!(names(&mut none), [""; 0]);
    assert_eq!(names(&mut other), [""; 0]);
    ask(
        &mut greedy,
        json!({"type": "unsubscribe", "channels": ["call.*"]}),
    )
    .await;
    publisher.publish(&server, "t", "call.ended");
    publisher.publish(&server, "t", "call.started");
    settle().await;
    assert_eq!(names(&mut greedy), ["call.started"]);
    let report = server.report().await;
    assert_eq!(report.counters.events_delivered, 5);
    assert_eq!(server.workers.events_waiting(), 0);
}

#[actix_rt::test]
async fn events_reach_subscribers_of_all_workers_in_order() {
    let server = server(3, SubscriberSettings::default());
    let publisher = Publisher::default();
    let mut clients = Vec::new();
    for _ in 0..30 {
        clients.push(publisher.subscribed(&server, "t", &["call.*"]).await);
    }
    let per_worker = server.workers.report(0).await;
    assert!(
        per_worker.iter().all(|report| report.subscribers > 0),
        "spread over the workers"
    );
    for _ in 0..200 {
        publisher.publish(&server, "t", "call.play");
    }
    for client in &mut clients {
        for number in 1..=200 {
            assert_eq!(client.json().await["payload"]["number"], number);
        }
    }
    settle().await;
    for client in &mut clients {
        assert_eq!(client.try_next(), None);
    }
}

#[actix_rt::test]
async fn pings_of_users_and_subscribers_are_not_confused() {
    let server = Server::start();
    let publisher = Publisher::default();
    let (mut user, _) = server.connect(Who::user("alice")).await;
    let mut client = publisher.subscribed(&server, "t", &["call.*"]).await;
    user.send(r#"{"event":"ping"}"#).await;
    assert_eq!(user.event().await.0, "pong");
    publisher.publish(&server, "t", "call.started");
    assert_eq!(client.json().await["channel"], "call.started");
    assert_eq!(user.try_next(), None);
}

/// A subscriber whose socket takes little at a time.
async fn narrow(server: &Server, publisher: &Publisher) -> Client {
    let (mut client, socket) = Client::pair();
    Client::narrow(&socket, 4_096);
    let early = frame(0x81, br#"{"type":"subscribe","channels":["call.*"]}"#);
    let (verdict, _) = arrive_on(server, socket, &early);
    verdict.tell(Ok(publisher.access("t")));
    client.accepted().await;
    assert_eq!(client.json().await["type"], "connected");
    assert_eq!(client.json().await["type"], "subscribed");
    client
}

#[actix_rt::test]
async fn who_does_not_read_is_closed_at_the_bound_and_harms_nobody() {
    let server = server(
        1,
        SubscriberSettings {
            outbox_frames: 100,
            ..SubscriberSettings::default()
        },
    );
    let publisher = Publisher::default();
    let mut slow = narrow(&server, &publisher).await;
    let mut quick = publisher.subscribed(&server, "t", &["call.*"]).await;
    let mut published = 0;
    while server.report().await.io.slow_consumers == 0 {
        published += 1;
        publisher.publish(&server, "t", "call.play");
        assert_eq!(quick.json().await["payload"]["number"], published);
        assert!(server.report().await.queued_frames <= 101);
    }
    let (mut received, mut last) = (0, None);
    loop {
        match slow.next().await {
            Seen::Text(_) => received += 1,
            Seen::Close(code, reason) => {
                last = Some((code, reason));
                slow.close(1013).await;
            }
            Seen::End => break,
            _ => {}
        }
    }
    assert_eq!(last, Some((Some(1013), "Slow consumer".to_owned())));
    let report = server.report().await;
    let dropped = report.io.events_dropped + report.counters.events_dropped;
    assert_eq!(
        received + dropped,
        published,
        "every event is accounted for"
    );
}

#[actix_rt::test]
async fn who_leaves_events_waiting_for_too_long_is_closed() {
    let server = Server::start();
    let publisher = Publisher::default();
    let mut slow = narrow(&server, &publisher).await;
    while server.report().await.queued_frames == 0 {
        publisher.publish(&server, "t", "call.play");
        settle().await;
    }
    server.clock.advance(Duration::from_secs(4)).await;
    assert_eq!(server.report().await.io.slow_consumers, 0);
    server
        .clock
        .advance(Duration::from_secs(2) + 4 * TICK)
        .await;
    assert_eq!(server.report().await.io.slow_consumers, 1);
    while !matches!(slow.next().await, Seen::Close(Some(1013), _)) {}
}

#[actix_rt::test]
async fn silence_is_borne_for_two_minutes_and_pings_are_sent() {
    let server = Server::start();
    let publisher = Publisher::default();
    let mut silent = publisher.subscribed(&server, "t", &["call.*"]).await;
    server.clock.advance(Duration::from_secs(118)).await;
    assert_eq!(server.report().await.subscribers, 1);
    let pings = silent
        .drain()
        .iter()
        .filter(|seen| **seen == Seen::Ping)
        .count();
    assert!((3..=4).contains(&pings), "{pings} pings");
    server.clock.advance(Duration::from_secs(4)).await;
    silent.closed(1001).await;
}

#[actix_rt::test]
async fn a_revoked_key_closes_its_connections() {
    let server = server(2, SubscriberSettings::default());
    let publisher = Publisher::default();
    let mut gone = Vec::new();
    for _ in 0..6 {
        gone.push(publisher.subscribed(&server, "t", &["call.*"]).await);
    }
    let mut kept = publisher.subscribed(&server, "u", &["call.*"]).await;
    server.workers.close_subscribers(&"key-of-t".into());
    for client in &mut gone {
        assert_eq!(client.closed(1008).await, "Unauthorized");
    }
    publisher.publish(&server, "u", "call.started");
    assert_eq!(kept.json().await["channel"], "call.started");
}

#[actix_rt::test]
async fn a_stopping_server_says_goodbye() {
    let server = Server::start();
    let mut client = Publisher::default()
        .subscribed(&server, "t", &["call.*"])
        .await;
    let workers = server.workers.clone();
    let stopping = actix_rt::spawn(async move { workers.stop(Duration::from_secs(5)).await });
    client.closed(1001).await;
    server.clock.advance(TICK).await;
    stopping.await.unwrap();
}
