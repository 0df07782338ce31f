//! First-message authentication, row by row (realtime contract, section 2.4).

use std::time::Duration;

use dormouse_protocol::Filter;
use dormouse_shard::frame::Frame;
use serde_json::json;

use crate::support::client::frame;
use crate::support::clock::{settle, until};
use crate::support::server::{Builder, Server, Who, tier};
use crate::support::{Client, Seen};

const AUTH: &str = r#"{"event":"auth","data":{"token":"user:alice"}}"#;

async fn expect_error(client: &mut Client, event: &str, code: u16) {
    let (seen, data) = client.event().await;
    assert_eq!((seen.as_str(), &data["code"]), (event, &json!(code)));
    assert!(
        data["message"]
            .as_str()
            .is_some_and(|text| !text.is_empty())
    );
    assert!(
        data["timestamp"]
            .as_u64()
            .is_some_and(|at| at > 1_600_000_000_000)
    );
}

#[actix_rt::test]
async fn a_good_token_makes_a_full_member() {
    let server = Builder {
        workers: 3,
        ..Builder::default()
    }
    .start();
    let (mut app, _) = server.connect(Who::user("alice")).await;
    let (mut client, mut permit) = server.newcomer(&[]);
    client.accepted().await;
    settle().await;
    assert_eq!(client.drain(), [], "connected comes with authentication");
    assert!(
        permit
            .try_recv()
            .is_err_and(|err| { err == tokio::sync::oneshot::error::TryRecvError::Empty })
    );
    let report = server.report().await;
    assert_eq!((report.pending, report.connections), (1, 1));
    assert_eq!(server.stats("alice").await.total_connections, 1);
    let auth = json!({"type":"auth","payload":{
        "token":"user:alice","clientType":"machine-scoped","sessionId":"s","machineId":"m",
    }});
    client.send(&auth.to_string()).await;
    let (event, data) = client.event().await;
    assert_eq!(event, "connected");
    assert_eq!(
        (&data["userId"], &data["machineId"]),
        (&json!("alice"), &json!("m"))
    );
    assert!(permit.await.is_err(), "its place is given back");
    assert_eq!(app.event().await.1["type"], "machine-status");
    assert_eq!(app.event().await.1["type"], "machine-activity");
    let stats = server.stats("alice").await;
    assert_eq!((stats.total_connections, stats.active_machines), (2, 1));
    assert_eq!(server.report().await.pending, 0);
    // Every filter reaches it.
    let filters = [
        Filter::All,
        Filter::Session("s".into()),
        Filter::Machine("m".into()),
        Filter::MachineScopedOnly("m".into()),
    ];
    for filter in filters {
        let frame = Frame::text(r#"{"event":"b"}"#);
        server.workers.deliver("alice", filter.clone(), frame).await;
        assert_eq!(client.event().await.0, "b", "{filter:?}");
    }
    // And it is one for good: a second auth is taken and goes nowhere.
    app.drain();
    client
        .send(r#"{"event":"auth","data":{"token":"x"},"ackId":1}"#)
        .await;
    assert_eq!(client.json().await["ack"], json!({"ok":true}));
    server.clock.advance(Duration::from_secs(6)).await;
    client.send(r#"{"event":"ping","ackId":2}"#).await;
    assert_eq!(client.json().await["ackId"], 2);
    settle().await;
    assert_eq!(
        app.drain(),
        [],
        "a second auth carries a token and is nobody's business"
    );
}

#[actix_rt::test]
async fn an_auth_without_token_and_other_events_are_refused_and_the_socket_stays() {
    let server = Server::start();
    let (mut client, _permit) = server.newcomer(&[]);
    client.accepted().await;
    for text in [
        r#"{"event":"auth"}"#,
        r#"{"event":"auth","data":{"token":""}}"#,
        r#"{"event":"ping"}"#,
        r#"{"event":"broadcast","data":1,"ackId":1}"#,
        r#"{"event":"update","ackId":1,"ack":1}"#,
    ] {
        client.send(text).await;
        expect_error(&mut client, "auth-error", 4001).await;
    }
    for text in ["nonsense", "[]", "{}"] {
        client.send(text).await;
        expect_error(&mut client, "error", 1002).await;
    }
    client.write(&frame(0x89, b"p")).await;
    assert_eq!(client.next().await, Seen::Pong(b"p".to_vec()));
    client.send(AUTH).await;
    assert_eq!(client.event().await.0, "connected");
}

#[actix_rt::test]
async fn twenty_bad_frames_in_a_row_end_a_guest_and_others_between_them_do_not() {
    let server = Server::start();
    let (mut client, permit) = server.newcomer(&[]);
    client.accepted().await;
    for round in 0..2 {
        for _ in 0..19 {
            client.send("x").await;
            expect_error(&mut client, "error", 1002).await;
        }
        if round == 0 {
            client.send(r#"{"event":"ping"}"#).await;
            expect_error(&mut client, "auth-error", 4001).await;
        }
    }
    client.send("x").await;
    expect_error(&mut client, "error", 1002).await;
    client.closed(1002).await;
    assert!(permit.await.is_err());
}

#[actix_rt::test]
async fn what_is_refused_is_closed_with_its_own_code() {
    let server = Builder {
        tiers: vec![tier("one", 1, 1)],
        ..Builder::default()
    }
    .start();
    let (_only, _) = server.connect(Who::user("full")).await;
    let cases = [
        (json!({"token":"bad"}), 4001),
        (json!({"token":"user:alice","clientType":"phone"}), 4002),
        (json!({"token":"user:alice","clientType":7}), 4002),
        (
            json!({"token":"user:alice","clientType":"session-scoped"}),
            4003,
        ),
        (
            json!({"token":"user:alice","clientType":"machine-scoped","sessionId":"s"}),
            4004,
        ),
        (json!({"token":"user:full"}), 4005),
        (json!({"token":"bad","clientType":"phone"}), 4001),
    ];
    for (data, code) in cases {
        let (mut client, permit) = server.newcomer(&[]);
        client.accepted().await;
        client
            .send(&json!({"event":"auth","data":data}).to_string())
            .await;
        expect_error(&mut client, "auth-error", code).await;
        client.closed(code).await;
        assert!(permit.await.is_err(), "{data}");
    }
    let report = server.report().await;
    assert_eq!(
        (report.pending, report.connections, report.shards),
        (0, 1, 1)
    );
    let refused = &report.counters.lobby_refused;
    assert_eq!(
        (refused["auth_failed"], refused["invalid_handshake"]),
        (2, 2)
    );
    let key = ("one".to_owned(), "connection_limit");
    assert_eq!(report.counters.rejected.get(&key), Some(&1));
}

#[actix_rt::test]
async fn the_deadline_counts_from_accept_and_is_not_extended() {
    let server = Server::start();
    let (mut client, permit) = server.newcomer(&[]);
    let (mut verified_late, _late_permit) = server.newcomer(&[]);
    client.accepted().await;
    verified_late.accepted().await;
    server.clock.advance(Duration::from_millis(4_000)).await;
    client.send(r#"{"event":"ping"}"#).await;
    expect_error(&mut client, "auth-error", 4001).await;
    // One whose token is still being verified is late as well.
    server.door.hold();
    verified_late.send(AUTH).await;
    until("it is asked", || async { server.door.waiting() == 1 }).await;
    server.clock.advance(Duration::from_millis(990)).await;
    settle().await;
    assert_eq!(client.drain(), []);
    server.clock.advance(Duration::from_millis(20)).await;
    for client in [&mut client, &mut verified_late] {
        expect_error(client, "auth-error", 4007).await;
        client.closed(4007).await;
    }
    assert!(permit.await.is_err());
    // A verdict that comes too late finds nobody.
    server.door.open();
    settle().await;
    let report = server.report().await;
    assert_eq!(
        (report.pending, report.connections, report.shards),
        (0, 0, 0)
    );
    assert_eq!(report.counters.lobby_refused["auth_timeout"], 2);
}

#[actix_rt::test]
async fn frames_wait_for_the_verdict_in_order() {
    let server = Server::start();
    server.door.hold();
    // The token and the first messages come with the handshake.
    let early = [AUTH, r#"{"event":"ping","ackId":0}"#]
        .map(|text| frame(0x81, text.as_bytes()))
        .concat();
    let (mut client, _permit) = server.newcomer(&early);
    client.accepted().await;
    for id in 1..16 {
        let text = match id % 2 {
            0 => r#"{"event":"ping"}"#.to_owned(),
            _ => format!(r#"{{"event":"ping","ackId":{id}}}"#),
        };
        client.send(&text).await;
    }
    settle().await;
    assert_eq!(client.drain(), [], "they are not answered yet");
    server.door.open();
    assert_eq!(client.event().await.0, "connected");
    for id in 0..16 {
        let pong = client.json().await;
        assert_eq!(pong["event"], "pong");
        let expected = if id == 0 || id % 2 == 1 {
            json!(id)
        } else {
            json!(null)
        };
        assert_eq!(pong["ackId"], expected);
    }
}

#[actix_rt::test]
async fn more_than_sixteen_waiting_frames_end_a_guest() {
    let server = Server::start();
    server.door.hold();
    let (mut client, permit) = server.newcomer(&[]);
    client.accepted().await;
    client.send(AUTH).await;
    for _ in 0..17 {
        client.send(r#"{"event":"ping"}"#).await;
    }
    client.closed(1008).await;
    assert!(permit.await.is_err());
    server.door.open();
    settle().await;
    let report = server.report().await;
    assert_eq!(
        (report.pending, report.connections, report.shards),
        (0, 0, 0)
    );
}

#[actix_rt::test]
async fn waiting_frames_of_who_is_refused_are_not_handled() {
    let server = Server::start();
    server.door.hold();
    let (mut client, _permit) = server.newcomer(&[]);
    client.accepted().await;
    client
        .send(r#"{"event":"auth","data":{"token":"bad"}}"#)
        .await;
    client.send(r#"{"event":"ping","ackId":1}"#).await;
    until("it is asked", || async { server.door.waiting() == 1 }).await;
    settle().await;
    server.door.open();
    expect_error(&mut client, "auth-error", 4001).await;
    client.closed(4001).await;
}

#[actix_rt::test]
async fn a_guest_that_goes_gives_its_place_back() {
    let server = Server::start();
    server.door.hold();
    let (mut client, permit) = server.newcomer(&[]);
    client.accepted().await;
    client.send(AUTH).await;
    until("it is asked", || async { server.door.waiting() == 1 }).await;
    drop(client);
    assert!(permit.await.is_err());
    server.door.open();
    settle().await;
    let report = server.report().await;
    assert_eq!(
        (report.pending, report.connections, report.shards),
        (0, 0, 0)
    );
    let (mut client, permit) = server.newcomer(&[]);
    client.accepted().await;
    client.close(1000).await;
    assert_eq!(client.next().await, Seen::Close(Some(1000), String::new()));
    assert_eq!(client.next().await, Seen::End);
    assert!(permit.await.is_err());
}

#[actix_rt::test]
async fn a_message_that_is_cut_by_the_verdict_is_read_on_in_the_shard() {
    let server = Builder {
        workers: 4,
        ..Builder::default()
    }
    .start();
    server.door.hold();
    let (mut client, _permit) = server.newcomer(&[]);
    client.accepted().await;
    client.send(AUTH).await;
    let text = frame(0x81, br#"{"event":"ping","ackId":"cut"}"#);
    client.write(&text[..11]).await;
    until("it is asked", || async { server.door.waiting() == 1 }).await;
    settle().await;
    server.door.open();
    settle().await;
    client.write(&text[11..]).await;
    assert_eq!(client.event().await.0, "connected");
    assert_eq!(client.json().await["ackId"], "cut");
}
