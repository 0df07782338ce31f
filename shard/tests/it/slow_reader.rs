//! Clients that do not read, for a while or for good.

use std::time::Duration;

use dormouse_protocol::Filter;
use dormouse_shard::frame::Frame;
use dormouse_shard::settings::ShardSettings;

use crate::support::clock::{settle, until};
use crate::support::server::{Builder, Server, Who, arrival};
use crate::support::{Client, Seen};

fn with_outbox(frames: usize, bytes: usize) -> Server {
    Builder {
        settings: ShardSettings {
            outbox_frames: frames,
            outbox_bytes: bytes,
            ..ShardSettings::default()
        },
        ..Builder::default()
    }
    .start()
}

/// A connection whose socket takes little at a time.
async fn narrow(server: &Server, who: Who) -> Client {
    let (mut client, socket) = Client::pair();
    Client::narrow(&socket, 4_096);
    server
        .workers
        .admit(arrival(who, socket, &[], server.refusals.clone()));
    client.accepted().await;
    assert_eq!(client.event().await.0, "connected");
    client
}

fn text(number: usize, size: usize) -> String {
    format!(
        r#"{{"event":"e","data":{number},"p":"{}"}}"#,
        "x".repeat(size)
    )
}

async fn deliver(server: &Server, frame: Frame) -> u64 {
    let delivered = server.workers.deliver("alice", Filter::All, frame).await;
    delivered.iter().map(|there| there.delivered).sum()
}

/// Sends updates until the socket takes no more and some wait; returns how many were sent.
async fn fill(server: &Server) -> usize {
    for number in 0.. {
        assert_eq!(deliver(server, Frame::text(&text(number, 500))).await, 1);
        settle().await;
        if server.report().await.queued_frames > 0 {
            return number + 1;
        }
    }
    unreachable!()
}

#[actix_rt::test]
async fn all_frames_arrive_in_order_once_it_reads_again() {
    let server = with_outbox(1_000_000, 1 << 30);
    let mut client = narrow(&server, Who::user("alice")).await;
    let sizes = [0, 10, 200, 3_000, 70_000];
    let total = 400;
    for number in 0..total {
        let text = text(number, sizes[number % sizes.len()]);
        assert_eq!(deliver(&server, Frame::text(&text)).await, 1);
    }
    let report = server.report().await;
    assert!(report.queued_frames > 300, "{}", report.queued_frames);
    assert_eq!(
        server.stats("alice").await.message_queue_depth,
        report.queued_frames
    );
    for number in 0..total {
        let expected = text(number, sizes[number % sizes.len()]);
        assert_eq!(client.next().await, Seen::Text(expected));
    }
    settle().await;
    let report = server.report().await;
    assert_eq!((report.queued_frames, report.queued_bytes), (0, 0));
    // With nothing left it goes on as before.
    client.send(r#"{"event":"ping"}"#).await;
    assert_eq!(client.event().await.0, "pong");
}

#[actix_rt::test]
async fn many_frames_of_one_turn_arrive_in_order() {
    let server = with_outbox(1_000_000, 1 << 30);
    let mut client = narrow(&server, Who::user("alice")).await;
    // All are posted before the worker flushes: joined, in a vector, and in parts.
    let total = 500;
    let pending: Vec<_> = (0..total)
        .map(|number| {
            let frame = Frame::text(&text(number, number % 7 * 300));
            let workers = server.workers.clone();
            actix_rt::spawn(async move { workers.deliver("alice", Filter::All, frame).await })
        })
        .collect();
    for number in 0..total {
        assert_eq!(
            client.next().await,
            Seen::Text(text(number, number % 7 * 300))
        );
    }
    for delivered in pending {
        assert_eq!(delivered.await.unwrap()[0].delivered, 1);
    }
}

#[actix_rt::test]
async fn ephemerals_are_dropped_first_and_then_the_connection() {
    let server = with_outbox(40, 1 << 20);
    let mut client = narrow(&server, Who::user("alice")).await;
    let (mut quick, _) = server.connect(Who::user("bob")).await;
    let sent = fill(&server).await;
    let before = server.report().await;
    for _ in 0..100 {
        assert_eq!(
            deliver(&server, Frame::ephemeral(r#"{"event":"ephemeral"}"#)).await,
            1
        );
    }
    let report = server.report().await;
    assert!(report.queued_frames <= 40, "{}", report.queued_frames);
    assert!(report.io.ephemerals_dropped > 50);
    assert_eq!(report.io.slow_consumers, 0);
    // Updates take the ephemerals' place, up to the bound.
    let room = 40 - before.queued_frames as usize;
    for number in 0..room {
        assert_eq!(
            deliver(&server, Frame::text(&text(sent + number, 500))).await,
            1
        );
    }
    let report = server.report().await;
    assert_eq!(report.queued_frames, 40, "no ephemeral is left");
    assert_eq!(
        deliver(&server, Frame::text("{}")).await,
        0,
        "one more is too many"
    );
    let report = server.report().await;
    assert_eq!(report.io.slow_consumers, 1);
    assert!(
        report.queued_frames <= 2,
        "what waited is given back: {}",
        report.queued_frames
    );
    until("it is no member any more", || async {
        server.stats("alice").await.total_connections == 0
    })
    .await;
    // It reads at last: what was on the way, whole, and why nothing follows.
    for number in 0.. {
        match client.next().await {
            Seen::Text(seen) => assert_eq!(seen, text(number, 500)),
            Seen::Close(code, reason) => {
                assert_eq!((code, reason.as_str()), (Some(1013), "slow consumer"));
                break;
            }
            other => panic!("{other:?}"),
        }
    }
    quick.send(r#"{"event":"ping"}"#).await;
    assert_eq!(quick.event().await.0, "pong", "nobody else noticed");
}

#[actix_rt::test]
async fn the_bound_in_bytes_holds_too() {
    let server = with_outbox(1_000_000, 100_000);
    let _client = narrow(&server, Who::user("alice")).await;
    fill(&server).await;
    let mut most = 0;
    loop {
        let delivered = deliver(&server, Frame::text(&text(0, 9_000))).await;
        most = most.max(server.report().await.queued_bytes);
        if delivered == 0 {
            break;
        }
    }
    assert!((80_000..=100_000).contains(&most), "{most}");
    assert_eq!(server.report().await.io.slow_consumers, 1);
}

#[actix_rt::test]
async fn one_that_never_reads_is_gone_after_the_linger() {
    let server = with_outbox(10, 1 << 20);
    let mut client = narrow(&server, Who::machine("alice", "m")).await;
    fill(&server).await;
    while deliver(&server, Frame::text(&text(0, 500))).await == 1 {}
    server.emptied().await;
    assert_eq!(server.application.take_presence().len(), 2);
    server.clock.advance(Duration::from_secs(6)).await;
    let report = server.report().await;
    assert_eq!((report.queued_frames, report.queued_bytes), (0, 0));
    // Its socket is closed: the stream ends within a frame.
    while client.next().await != Seen::End {}
}

#[actix_rt::test]
async fn others_of_the_same_user_are_served_while_one_is_not_reading() {
    let server = with_outbox(50, 1 << 20);
    let mut slow = narrow(&server, Who::user("alice")).await;
    let (mut quick, _) = server.connect(Who::user("alice")).await;
    for number in 0..300 {
        let text = text(number, 500);
        deliver(&server, Frame::text(&text)).await;
        assert_eq!(quick.next().await, Seen::Text(text));
    }
    assert_eq!(server.report().await.io.slow_consumers, 1);
    assert_eq!(server.stats("alice").await.total_connections, 1);
    while !matches!(slow.next().await, Seen::Close(Some(1013), _)) {}
}

#[actix_rt::test]
async fn pings_do_not_pile_up_in_front_of_one_that_does_not_read() {
    let server = with_outbox(8, 1 << 20);
    let mut client = narrow(&server, Who::user("alice")).await;
    fill(&server).await;
    // It still sends, so that it is not idle.
    for _ in 0..40 {
        client.send(r#"{"event":"note"}"#).await;
        server.clock.advance(Duration::from_secs(30)).await;
    }
    let report = server.report().await;
    assert!(report.queued_frames <= 8);
    assert_eq!((report.io.slow_consumers, report.connections), (0, 1));
}
