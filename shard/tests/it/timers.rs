//! What happens by itself: pings and idle timeouts.

use std::time::Duration;

use crate::support::client::frame;
use crate::support::clock::settle;
use crate::support::server::{Server, Who};
use crate::support::{Client, Seen};

const SECOND: Duration = Duration::from_secs(1);

#[actix_rt::test]
async fn the_server_pings_every_thirty_seconds_and_pongs_keep_a_connection() {
    let server = Server::start();
    let mut clients: Vec<Client> = Vec::new();
    for _ in 0..5 {
        clients.push(server.connect(Who::user("alice")).await.0);
    }
    let mut pinged = [const { Vec::new() }; 5];
    for second in 1..=400_u32 {
        server.clock.advance(SECOND).await;
        settle().await;
        for (client, pinged) in clients.iter_mut().zip(&mut pinged) {
            for seen in client.drain() {
                assert_eq!(seen, Seen::Ping);
                pinged.push(second);
                client.write_now(&frame(0x8a, b""));
            }
        }
    }
    for pinged in &pinged {
        assert!(
            (15..=32).contains(&pinged[0]),
            "spread over half an interval: {pinged:?}"
        );
        for pair in pinged.windows(2) {
            assert!((30..=31).contains(&(pair[1] - pair[0])), "{pinged:?}");
        }
    }
    let report = server.report().await;
    assert_eq!((report.io.idle_closed, report.connections), (0, 5));
    assert_eq!(report.counters.wakes, 0, "pings and pongs wake nobody");
}

#[actix_rt::test]
async fn silence_is_closed_after_five_minutes_with_1001() {
    let server = Server::start();
    let (mut silent, _) = server.connect(Who::machine("alice", "m")).await;
    let (mut talks, _) = server.connect(Who::user("alice")).await;
    let (mut slow, _) = server.connect(Who::user("bob")).await;
    server.clock.advance(SECOND * 200).await;
    talks.write(&frame(0x8a, b"")).await;
    // A message that comes in pieces is no silence, as long as frames come.
    slow.write(&frame(0x01, b"{")).await;
    server.clock.advance(SECOND * 98).await;
    slow.write(&frame(0x00, b"")).await;
    silent.drain();
    settle().await;
    assert_eq!(silent.drain(), []);
    server.clock.advance(SECOND * 4).await;
    assert!(matches!(silent.closed(1001).await.as_str(), "idle timeout"));
    let report = server.report().await;
    assert_eq!((report.io.idle_closed, report.connections), (1, 2));
    assert_eq!(server.application.take_presence().len(), 2);
    server.clock.advance(SECOND * 200).await;
    let report = server.report().await;
    assert_eq!((report.io.idle_closed, report.connections), (2, 1));
    talks.drain();
    server.clock.advance(SECOND * 100).await;
    assert_eq!(server.report().await.connections, 0);
}

#[actix_rt::test]
async fn guests_and_closing_connections_are_neither_pinged_nor_idle() {
    let server = crate::support::server::Builder {
        settings: dormouse_shard::settings::ShardSettings {
            auth_deadline: SECOND * 1_000,
            ..Default::default()
        },
        ..Default::default()
    }
    .start();
    let (mut guest, _permit) = server.newcomer(&[]);
    guest.accepted().await;
    server.clock.advance(SECOND * 400).await;
    assert_eq!(guest.drain(), []);
    guest
        .send(r#"{"event":"auth","data":{"token":"user:alice"}}"#)
        .await;
    assert_eq!(guest.event().await.0, "connected");
    // Its silence counts from here.
    server.clock.advance(SECOND * 250).await;
    assert_eq!(server.report().await.connections, 1);
}

#[actix_rt::test]
async fn a_worker_with_a_very_long_idle_timeout_keeps_its_clock_apart() {
    let server = crate::support::server::Builder {
        settings: dormouse_shard::settings::ShardSettings {
            idle_timeout: SECOND * 43_200,
            ping_interval: SECOND * 3_600,
            ..Default::default()
        },
        ..Default::default()
    }
    .start();
    let (mut client, _) = server.connect(Who::user("alice")).await;
    // The workers' clock wraps after 4.5 hours; nothing may happen before.
    let mut pings = 0;
    for _ in 0..4 * 60 {
        server.clock.advance(SECOND * 60).await;
        pings += client.drain().len();
    }
    assert!((3..=4).contains(&pings), "{pings}");
    assert_eq!(server.report().await.connections, 1);
    for _ in 0..40 {
        server.clock.advance(SECOND * 60).await;
    }
    assert_eq!(server.report().await.io.idle_closed, 1);
}
