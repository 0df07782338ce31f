//! The end of a connection, from either side.

use std::time::Duration;

use dormouse_protocol::{CloseCode, Filter};
use dormouse_shard::frame::Frame;

use crate::support::client::frame;
use crate::support::clock::{settle, until};
use crate::support::server::{Server, Who};
use crate::support::{Client, Seen};

#[actix_rt::test]
async fn a_peers_close_is_echoed_and_its_socket_closed() {
    let server = Server::start();
    for code in [1000, 1001, 3000, 4001, 4999] {
        let (mut client, _) = server.connect(Who::user("alice")).await;
        client.close(code).await;
        assert_eq!(client.next().await, Seen::Close(Some(code), String::new()));
        assert_eq!(client.next().await, Seen::End);
    }
    let (mut client, _) = server.connect(Who::user("alice")).await;
    client.write(&frame(0x88, b"")).await;
    assert_eq!(client.next().await, Seen::Close(None, String::new()));
    assert_eq!(client.next().await, Seen::End);
    // A code that may not be sent back is answered with the normal one.
    let (mut client, _) = server.connect(Who::user("alice")).await;
    client.close(2999).await;
    match client.next().await {
        Seen::Close(Some(1000 | 1002), _) => {}
        other => panic!("{other:?}"),
    }
    server.emptied().await;
    assert_eq!(server.report().await.io.closes.get("abnormal"), None);
}

#[actix_rt::test]
async fn what_comes_before_the_close_frame_is_handled_and_nothing_after_it() {
    let server = Server::start();
    let (mut client, _) = server.connect(Who::user("alice")).await;
    let (mut other, _) = server.connect(Who::user("alice")).await;
    let said = [
        frame(0x81, br#"{"event":"broadcast","data":"before"}"#),
        frame(0x88, &1000_u16.to_be_bytes()),
        frame(0x81, br#"{"event":"broadcast","data":"after"}"#),
    ];
    client.write_now(&said.concat());
    assert_eq!(other.event().await.1, "before");
    assert_eq!(client.next().await, Seen::Close(Some(1000), String::new()));
    settle().await;
    assert_eq!(other.drain(), []);
}

#[actix_rt::test]
async fn who_is_closing_receives_nothing_more_and_is_not_counted() {
    let server = Server::start();
    let (mut client, id) = server.connect(Who::user("alice")).await;
    let (mut other, _) = server.connect(Who::user("alice")).await;
    assert!(
        server
            .workers
            .close_connection(id, CloseCode::POLICY, "out")
            .await
    );
    let frame = Frame::text(r#"{"event":"b"}"#);
    let delivered = server.workers.deliver("alice", Filter::All, frame).await;
    assert_eq!(delivered[0].delivered, 1);
    assert_eq!(other.event().await.0, "b");
    // It has not answered yet, and is heard no more.
    client.send(r#"{"event":"broadcast","data":1}"#).await;
    settle().await;
    assert_eq!(other.drain(), []);
    assert_eq!(client.closed(1008).await, "out");
    assert_eq!(server.report().await.io.closes["policy"], 1);
}

#[actix_rt::test]
async fn a_peer_that_never_answers_the_close_is_dropped_after_the_linger() {
    let server = Server::start();
    let (mut client, id) = server.connect(Who::user("alice")).await;
    assert!(
        server
            .workers
            .close_connection(id, CloseCode::POLICY, "")
            .await
    );
    assert!(matches!(client.next().await, Seen::Close(Some(1008), _)));
    // The server has said its last word, and waits for the peer's.
    assert_eq!(client.next().await, Seen::End);
    server.emptied().await;
    server.clock.advance(Duration::from_millis(4_500)).await;
    client.send("still here").await;
    server.clock.advance(Duration::from_millis(1_000)).await;
    settle().await;
    assert!(client.is_cut(), "the socket itself is closed");
}

#[actix_rt::test]
async fn half_a_close_is_an_end() {
    let server = Server::start();
    // A peer that has nothing more to say and does not say goodbye is gone.
    let (mut client, _) = server.connect(Who::machine("alice", "m")).await;
    client.send(r#"{"event":"ping"}"#).await;
    client.shut();
    server.emptied().await;
    assert_eq!(server.report().await.io.closes["abnormal"], 1);
    // The answer to what came before was on its way.
    while client.next().await != Seen::End {}
    let presence = server.application.take_presence();
    assert_eq!(presence.len(), 2);
    // One that answers the close by hanging up is not waited for.
    let (mut client, id) = server.connect(Who::user("alice")).await;
    assert!(
        server
            .workers
            .close_connection(id, CloseCode::POLICY, "")
            .await
    );
    assert!(matches!(client.next().await, Seen::Close(Some(1008), _)));
    client.shut();
    settle().await;
    assert!(client.is_cut());
}

#[actix_rt::test]
async fn a_peer_that_dies_leaves_nothing() {
    let server = Server::start();
    let (mut app, _) = server.connect(Who::user("alice")).await;
    let (client, _) = server.connect(Who::machine("alice", "m")).await;
    // In the middle of a frame, with frames on their way to it.
    let mut client = client;
    client.write(&frame(0x81, &[b'x'; 100])[..50]).await;
    server
        .workers
        .deliver("alice", Filter::All, Frame::text(r#"{"event":"b"}"#))
        .await;
    drop(client);
    until("it is gone", || async {
        server.stats("alice").await.total_connections == 1
    })
    .await;
    let events: Vec<_> = [app.event().await, app.event().await, app.event().await]
        .map(|(event, data)| (event, data["online"].as_bool()))
        .into();
    assert_eq!(events[0], ("ephemeral".to_owned(), Some(true)));
    assert_eq!(events[2], ("b".to_owned(), None));
    assert_eq!(app.event().await.1["online"], false);
    drop(app);
    server.emptied().await;
}

#[actix_rt::test]
async fn an_event_of_a_connection_that_is_gone_does_not_reach_its_successor() {
    let server = Server::start();
    let (mut first, id) = server.connect(Who::user("alice")).await;
    // Everything about the first and the arrival of the second happens in one turn: the slot is
    // taken again at once.
    first.write_now(&frame(0x81, br#"{"event":"broadcast","data":"late"}"#));
    drop(first);
    let closing = server.workers.close_connection(id, CloseCode::POLICY, "");
    let connecting = server.connect(Who::user("bob"));
    let (_, (mut second, second_id)) = futures_util::future::join(closing, connecting).await;
    settle().await;
    assert_eq!(second.drain(), []);
    second.send(r#"{"event":"ping"}"#).await;
    assert_eq!(second.event().await.0, "pong");
    assert!(
        !server
            .workers
            .close_connection(id, CloseCode::POLICY, "")
            .await
    );
    assert!(
        server
            .workers
            .close_connection(second_id, CloseCode::POLICY, "")
            .await
    );
    second.closed(1008).await;
    server.emptied().await;
}

#[actix_rt::test]
async fn slots_are_used_again_without_a_trace_of_who_had_them() {
    let server = Server::start();
    for round in 0..50 {
        let mut clients: Vec<(Client, _)> = Vec::new();
        for _ in 0..10 {
            clients.push(server.connect(Who::user("alice")).await);
        }
        for (index, (client, id)) in clients.iter_mut().enumerate() {
            match (round + index) % 3 {
                0 => client.close(1000).await,
                1 => {
                    server
                        .workers
                        .close_connection(*id, CloseCode::POLICY, "")
                        .await;
                }
                _ => client.write(&frame(0x81, b"cut")[..5]).await,
            }
        }
        drop(clients);
        server.emptied().await;
    }
    let report = server.report().await;
    assert_eq!((report.counters.accepted, report.connections), (500, 0));
    assert_eq!(
        report.io.closes.values().sum::<u64>(),
        500,
        "{:?}",
        report.io.closes
    );
}

#[actix_rt::test]
async fn a_peer_that_takes_no_more_output_is_gone_once_it_is_written_to() {
    let server = Server::start();
    let (client, _) = server.connect(Who::machine("alice", "m")).await;
    client.stop_reading();
    settle().await;
    assert_eq!(
        server.report().await.connections,
        1,
        "it may still have something to say"
    );
    let frame = Frame::text("{}");
    server.workers.deliver("alice", Filter::All, frame).await;
    server.emptied().await;
    assert_eq!(server.application.take_presence().len(), 2);
}
