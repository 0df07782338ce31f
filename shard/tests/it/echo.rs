//! The echo endpoint: what conformance tests see of the frame path.

use bytes::Bytes;
use dormouse_shard::arrival::{NewEcho, fresh_slot};
use dormouse_shard::settings::ShardSettings;
use tokio::sync::oneshot;

use crate::support::client::{ACCEPT, frame};
use crate::support::clock::settle;
use crate::support::server::{Builder, Server};
use crate::support::{Client, Seen};

/// A connection of the echo endpoint; the receiver tells when its place is given back.
async fn connect(server: &Server, early: &[u8]) -> (Client, oneshot::Receiver<()>) {
    let (mut client, socket) = Client::pair();
    let (permit, given_back) = oneshot::channel::<()>();
    server.workers.echo(NewEcho {
        slot: fresh_slot(socket, early),
        accept: Bytes::from_static(ACCEPT),
        permit: Box::new(permit),
    });
    client.accepted().await;
    (client, given_back)
}

fn small(echo_message_bytes: usize) -> Server {
    Builder {
        settings: ShardSettings {
            echo_message_bytes,
            frame_burst: 10,
            frames_per_second: 1,
            ..ShardSettings::default()
        },
        ..Builder::default()
    }
    .start()
}

#[actix_rt::test]
async fn text_comes_back_as_text_and_binary_as_binary() {
    let server = Server::start();
    let (mut client, _) = connect(&server, &frame(0x81, b"early")).await;
    assert_eq!(client.next().await, Seen::Text("early".into()));
    // Neither a ping of users nor an envelope means anything here.
    client.send(r#"{"event":"ping"}"#).await;
    assert_eq!(
        client.next().await,
        Seen::Text(r#"{"event":"ping"}"#.into())
    );
    client.write(&frame(0x82, b"\xff\0")).await;
    assert_eq!(client.next().await, Seen::Binary(b"\xff\0".to_vec()));
    client.write(&frame(0x02, b"\xff")).await;
    client.write(&frame(0x89, b"between")).await;
    client.write(&frame(0x80, b"\xfe")).await;
    assert_eq!(client.next().await, Seen::Pong(b"between".to_vec()));
    assert_eq!(client.next().await, Seen::Binary(b"\xff\xfe".to_vec()));
    client.write(&frame(0x81, b"")).await;
    assert_eq!(client.next().await, Seen::Text(String::new()));
}

#[actix_rt::test]
async fn its_messages_have_a_bound_of_their_own_and_no_rate() {
    let server = small(1000);
    let (mut client, given_back) = connect(&server, &[]).await;
    for number in 0..100 {
        client.send(&number.to_string()).await;
        assert_eq!(client.next().await, Seen::Text(number.to_string()));
    }
    let most = "x".repeat(1000);
    client.send(&most).await;
    assert_eq!(client.next().await, Seen::Text(most));
    client.write(&frame(0x82, &[0; 1001])).await;
    client.closed(1009).await;
    given_back.await.unwrap_err();
}

#[actix_rt::test]
async fn text_that_is_none_is_refused_as_soon_as_it_is_seen() {
    let server = Server::start();
    let bad = frame(0x81, b"so far good \xf4\x90 and so on");
    let (mut client, _) = connect(&server, &[]).await;
    client.write(&bad[..6 + 13]).await;
    settle().await;
    assert_eq!(client.try_next(), None, "it may become a character yet");
    client.write(&bad[6 + 13..6 + 14]).await;
    client.closed(1007).await;
    // Whole frames too.
    let (mut client, _) = connect(&server, &[]).await;
    client.write(&bad).await;
    client.closed(1007).await;
}

#[actix_rt::test]
async fn large_messages_go_both_ways() {
    let server = Server::start();
    let (mut client, _) = connect(&server, &[]).await;
    let large = "y".repeat(3 << 20);
    // The server takes all of it before it answers.
    client.send(&large).await;
    assert_eq!(client.next().await, Seen::Text(large));
}

#[actix_rt::test]
async fn stopping_closes_it() {
    let server = Server::start();
    let (mut client, given_back) = connect(&server, &[]).await;
    server.workers.drain(std::time::Duration::ZERO);
    client.closed(1001).await;
    given_back.await.unwrap_err();
}
