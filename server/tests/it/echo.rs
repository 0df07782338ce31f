//! The echo endpoint for conformance tests.

use crate::support::raw::{Seen, frame};
use crate::support::wait::eventually;
use crate::support::{Builder, Handshake, Raw, Server};

fn builder() -> Builder {
    Server::with("debug.echo", "true").set("auth.max_pending_per_address", "2")
}

fn handshake() -> Handshake {
    Handshake::to("/debug/echo")
}

async fn refused(server: &Server, handshake: &Handshake) -> u16 {
    Raw::request(server.address, &handshake.to_bytes())
        .await
        .status
}

#[tokio::test]
async fn nothing_is_echoed_unless_it_is_asked_for() {
    let server = Server::start();
    assert_eq!(refused(&server, &handshake()).await, 404);
}

#[tokio::test]
async fn whatever_comes_goes_back_without_a_token() {
    let server = builder().start();
    let mut raw = Raw::open(server.address, &handshake()).await;
    raw.send("hello").await;
    assert_eq!(raw.next().await, Seen::Text("hello".into()));
    raw.write(&frame(0x89, b"p")).await;
    assert_eq!(raw.next().await, Seen::Control(0xa, b"p".into()));
    raw.write(&frame(0x88, &1000_u16.to_be_bytes())).await;
    assert_eq!(raw.next().await, Seen::Close(Some(1000), String::new()));
    assert_eq!(raw.next().await, Seen::End);
}

#[tokio::test]
async fn its_handshake_is_checked_and_its_places_are_those_of_the_unauthenticated() {
    let server = builder().start();
    let without_key = handshake().without("Sec-WebSocket-Key");
    assert_eq!(refused(&server, &without_key).await, 400);
    let first = Raw::open(server.address, &handshake()).await;
    let _second = Raw::open(server.address, &handshake()).await;
    assert_eq!(refused(&server, &handshake()).await, 429);
    drop(first);
    // Its place is free once the server has seen the end.
    eventually("a place is free", async || {
        (refused(&server, &handshake()).await == 101).then_some(())
    })
    .await;
}

#[tokio::test]
async fn its_messages_have_a_bound_of_their_own() {
    let server = builder()
        .set("debug.echo_message", "2 KiB")
        .set("limits.message", "1 KiB")
        .start();
    let mut raw = Raw::open(server.address, &handshake()).await;
    let most = "x".repeat(2048);
    raw.send(&most).await;
    assert_eq!(raw.next().await, Seen::Text(most));
    raw.write(&frame(0x81, &[b'x'; 2049])).await;
    assert!(matches!(raw.next().await, Seen::Close(Some(1009), _)));
}
