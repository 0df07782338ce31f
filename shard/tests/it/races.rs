//! Messages that come in the very turn in which a shard falls asleep.

use std::time::Duration;

use dormouse_protocol::{CloseCode, Filter};
use dormouse_shard::frame::Frame;
use serde_json::json;

use crate::support::Seen;
use crate::support::client::frame;
use crate::support::clock::{breathe, until};
use crate::support::server::{Builder, Server, Who, tier};

fn ping(id: usize) -> Vec<u8> {
    frame(
        0x81,
        format!(r#"{{"event":"ping","ackId":{id}}}"#).as_bytes(),
    )
}

/// Brings a shard to the point where its time is over, and lets it run this far.
async fn nod_off(server: &Server, rounds: usize) {
    tokio::time::advance(server.hibernate_after + Duration::from_millis(2)).await;
    breathe(rounds).await;
}

#[actix_rt::test]
async fn a_message_is_never_lost_however_it_meets_falling_asleep() {
    let server = Server::start();
    let (mut client, _) = server.connect(Who::user("alice")).await;
    for round in 0..600 {
        // What could not be stored in time is stored later: the turns differ from run to run.
        nod_off(&server, round % 30).await;
        client.write_now(&ping(round));
        breathe(round / 30).await;
        let reply = client.json().await;
        assert_eq!(reply["ackId"], round);
        client.drain();
    }
    let report = server.report().await;
    assert!(report.counters.sleeps > 50, "{}", report.counters.sleeps);
    assert_eq!((report.counters.wake_failures, report.connections), (0, 1));
}

#[actix_rt::test]
async fn a_message_between_storing_and_sleeping_is_answered() {
    let server = Server::start();
    let (mut client, _) = server.connect(Who::user("alice")).await;
    let store = server.store.clone();
    for round in 0..200 {
        let held = store.hold();
        nod_off(&server, 10).await;
        client.write_now(&ping(round));
        // Before, while and after the outcome is on its way.
        breathe(round % 10).await;
        drop(held);
        assert_eq!(client.json().await["ackId"], round);
        client.drain();
    }
    assert_eq!(server.report().await.connections, 1);
}

#[actix_rt::test]
async fn deliveries_arrivals_and_departures_meet_it_too() {
    let server = Builder {
        workers: 2,
        tiers: vec![tier("small", 2, 2)],
        ..Builder::default()
    }
    .start();
    let (mut client, _) = server.connect(Who::user("alice")).await;
    for round in 0..300 {
        nod_off(&server, round % 25).await;
        client.drain();
        match round % 3 {
            0 => {
                let text = format!(r#"{{"event":"b","data":{round}}}"#);
                let frame = Frame::text(&text);
                let delivered = server.workers.deliver("alice", Filter::All, frame).await;
                assert_eq!(delivered.len(), 1, "{round}");
                assert_eq!(delivered[0].delivered, 1, "{round}");
                assert_eq!(client.next().await, Seen::Text(text));
            }
            1 => {
                let (mut other, id) = server.connect(Who::machine("alice", "m")).await;
                assert_eq!(client.event().await.1["online"], true);
                nod_off(&server, round % 25).await;
                if round % 2 == 0 {
                    drop(other);
                } else {
                    let code = CloseCode::POLICY;
                    assert!(server.workers.close_connection(id, code, "").await);
                    while !matches!(other.next().await, Seen::Close(Some(1008), _)) {}
                }
                let offline = loop {
                    let (_, data) = client.event().await;
                    if data["online"].is_boolean() {
                        break data;
                    }
                };
                assert_eq!(offline["online"], false);
            }
            _ => {
                let found = server.workers.user("alice").await.unwrap();
                assert_eq!(found.connections.len(), 1, "{round}");
            }
        }
    }
    let report = server.report().await;
    assert_eq!((report.connections, report.counters.wake_failures), (1, 0));
    assert!(report.counters.wakes > 20, "{}", report.counters.wakes);
}

#[actix_rt::test]
async fn a_shard_that_empties_as_it_falls_asleep_is_forgotten() {
    let server = Server::start();
    for round in 0..200 {
        let (client, _) = server.connect(Who::machine("alice", "m")).await;
        nod_off(&server, round % 20).await;
        drop(client);
        breathe(round / 20).await;
        until("it is gone", || async {
            server.report().await.connections == 0
        })
        .await;
    }
    server.clock.advance(server.hibernate_after * 2).await;
    server.emptied().await;
    until("no record is left", || async { server.store.len() == 0 }).await;
    let presence = server.application.take_presence();
    let online = presence.iter().filter(|heard| heard.2).count();
    assert_eq!((presence.len(), online), (400, 200));
    assert_eq!(json!(server.report().await.counters.wake_failures), 0);
}
