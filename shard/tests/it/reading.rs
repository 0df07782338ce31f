//! Bytes that come in any shape: pieces, fragments, floods and faults.

use std::time::Duration;

use serde_json::json;

use crate::support::Seen;
use crate::support::client::frame;
use crate::support::clock::{settle, until};
use crate::support::server::{Builder, Server, Who};

const PING: &str = r#"{"event":"ping"}"#;

fn ping(id: usize) -> String {
    format!(r#"{{"event":"ping","ackId":{id}}}"#)
}

#[actix_rt::test]
async fn a_message_may_come_byte_by_byte() {
    let server = Server::start();
    let (mut client, _) = server.connect(Who::user("alice")).await;
    for byte in frame(0x81, ping(1).as_bytes()) {
        client.write(&[byte]).await;
        settle().await;
    }
    assert_eq!(client.json().await["ackId"], 1);
    // Several in one piece, the last cut.
    let bytes: Vec<u8> = (2..6)
        .flat_map(|id| frame(0x81, ping(id).as_bytes()))
        .collect();
    let (whole, cut) = bytes.split_at(bytes.len() - 3);
    client.write(whole).await;
    for id in 2..5 {
        assert_eq!(client.json().await["ackId"], id);
    }
    client.write(cut).await;
    assert_eq!(client.json().await["ackId"], 5);
}

#[actix_rt::test]
async fn fragments_and_binary_are_messages_and_control_frames_may_come_between() {
    let server = Server::start();
    let (mut client, _) = server.connect(Who::user("alice")).await;
    let text = r#"{"event":"ping","ackId":"é"}"#.as_bytes();
    // Cut within the two bytes of a character.
    let middle = text.iter().position(|byte| *byte == 0xc3).unwrap() + 1;
    client.write(&frame(0x01, &text[..middle])).await;
    client.write(&frame(0x89, b"between")).await;
    assert_eq!(client.next().await, Seen::Pong(b"between".to_vec()));
    client.write(&frame(0x00, b"")).await;
    client.write(&frame(0x80, &text[middle..])).await;
    assert_eq!(client.json().await["ackId"], "é");
    client.write(&frame(0x82, ping(2).as_bytes())).await;
    assert_eq!(client.json().await["ackId"], 2);
    client.write(&frame(0x82, PING.as_bytes())).await;
    assert_eq!(client.event().await.0, "pong");
    client.write(&frame(0x02, &PING.as_bytes()[..4])).await;
    client.write(&frame(0x80, &PING.as_bytes()[4..])).await;
    assert_eq!(client.event().await.0, "pong");
    assert_eq!(server.report().await.io.frames_in, 8);
}

#[actix_rt::test]
async fn large_messages_pass_up_to_the_limit() {
    let server = Server::start();
    let (mut client, _) = server.connect(Who::user("alice")).await;
    let (mut other, _) = server.connect(Who::user("alice")).await;
    let padding = "x".repeat((1 << 20) - r#"{"event":"broadcast","data":""}"#.len());
    let text = format!(r#"{{"event":"broadcast","data":"{padding}"}}"#);
    assert_eq!(text.len(), 1 << 20);
    let (sent, got) = futures_util::future::join(client.send(&text), other.next()).await;
    let () = sent;
    assert_eq!(got, Seen::Text(text));
    client.send(PING).await;
    assert_eq!(client.event().await.0, "pong", "it goes on");
}

#[actix_rt::test]
async fn every_fault_closes_with_its_code() {
    let mut unmasked = frame(0x81, b"x");
    unmasked[1] &= 0x7f;
    let announced = [0x81, 0xff, 0, 0, 0, 0, 0, 0x10, 0, 1];
    let fragments = |first: usize, second: usize| {
        [
            frame(0x01, &vec![b'x'; first]),
            frame(0x80, &vec![b'x'; second]),
        ]
        .concat()
    };
    let cases: Vec<(&str, Vec<u8>, u16)> = vec![
        ("reserved bits", frame(0xc1, b"x"), 1002),
        ("unknown opcode", frame(0x83, b"x"), 1002),
        ("unknown control opcode", frame(0x8b, b""), 1002),
        ("unmasked", unmasked, 1002),
        ("fragmented control frame", frame(0x09, b""), 1002),
        ("long control frame", frame(0x89, &[0; 126]), 1002),
        ("continuation of nothing", frame(0x80, b"x"), 1002),
        (
            "message within a message",
            [frame(0x01, b"a"), frame(0x81, b"b")].concat(),
            1002,
        ),
        ("one-byte close", frame(0x88, &[3]), 1002),
        (
            "illegal close code",
            frame(0x88, &1005_u16.to_be_bytes()),
            1002,
        ),
        ("bad close reason", frame(0x88, &[3, 232, 0xff]), 1007),
        ("bad text", frame(0x81, &[0xff]), 1007),
        ("bad binary", frame(0x82, &[b'x', 0xc3]), 1007),
        (
            "bad fragment",
            [frame(0x01, "é".as_bytes()), frame(0x00, &[0xff])].concat(),
            1007,
        ),
        ("announced too big", announced.to_vec(), 1009),
        ("too big in fragments", fragments(1 << 20, 1), 1009),
    ];
    let server = Server::start();
    for (count, (what, bytes, code)) in (1..).zip(cases) {
        let (mut client, _) = server.connect(Who::user("alice")).await;
        let (mut guest, permit) = server.newcomer(&[]);
        guest.accepted().await;
        for client in [&mut client, &mut guest] {
            client.write(&bytes).await;
            match client.next().await {
                Seen::Close(Some(seen), reason) => {
                    assert_eq!(seen, code, "{what}: {reason}");
                    assert!(!reason.is_empty(), "{what}");
                }
                other => panic!("{what}: {other:?}"),
            }
            // What it still sends is not held against it again.
            client.write(&bytes).await;
        }
        assert!(permit.await.is_err(), "{what}");
        settle().await;
        assert_eq!(
            server.report().await.io.protocol_faults,
            count * 2,
            "{what}"
        );
    }
    server.emptied().await;
}

#[actix_rt::test]
async fn twenty_messages_in_a_row_that_are_no_envelope_close_with_1002() {
    let server = Server::start();
    let (mut client, _) = server.connect(Who::user("alice")).await;
    for round in 0..2 {
        for _ in 0..19 {
            client.send("nonsense").await;
            let (event, data) = client.event().await;
            assert_eq!((event.as_str(), &data["code"]), ("error", &json!(1002)));
        }
        if round == 0 {
            client.send(&ping(1)).await;
            client.json().await;
        }
    }
    client.send("nonsense").await;
    client.event().await;
    client.closed(1002).await;
    server.emptied().await;
}

#[actix_rt::test]
async fn who_sends_too_fast_is_closed_once_its_burst_is_spent() {
    let server = Server::start();
    let (mut client, _) = server.connect(Who::user("alice")).await;
    let (mut calm, _) = server.connect(Who::user("alice")).await;
    // Protocol frames and fragments count as well; nobody is there to hear the event.
    let pieces = [
        frame(0x8a, b""),
        frame(0x01, br#"{"event""#),
        frame(0x80, br#":"x"}"#),
    ]
    .concat();
    client.write(&pieces.repeat(333)).await;
    client.send(PING).await;
    assert_eq!(client.event().await.0, "pong", "a thousand frames are fine");
    for _ in 0..5 {
        client.send(PING).await;
    }
    assert!(matches!(client.next().await, Seen::Close(Some(1008), _)));
    // It floods on until it is dropped, and is counted once.
    for _ in 0..500 {
        client.send(PING).await;
    }
    settle().await;
    let report = server.report().await;
    assert_eq!((report.io.rate_closed, report.io.pings), (1, 1));
    calm.send(PING).await;
    assert_eq!(calm.event().await.0, "pong");
}

#[actix_rt::test]
async fn who_keeps_to_the_rate_is_never_closed() {
    let server = Builder {
        settings: dormouse_shard::settings::ShardSettings {
            frames_per_second: 3,
            frame_burst: 5,
            idle_timeout: Duration::from_secs(100),
            ..Default::default()
        },
        ..Builder::default()
    }
    .start();
    let (mut client, _) = server.connect(Who::user("alice")).await;
    for _ in 0..60 {
        client.send(PING).await;
        server.clock.advance(Duration::from_millis(350)).await;
        assert_eq!(client.event().await.0, "pong");
    }
}

#[actix_rt::test]
async fn what_was_said_before_an_abrupt_end_is_heard() {
    let server = Server::start();
    let (mut other, _) = server.connect(Who::user("alice")).await;
    let (mut client, _) = server.connect(Who::user("alice")).await;
    // More than is read at once, with nobody there to take the answer to the first of it.
    let padding = "x".repeat(10_000);
    let mut said = vec![frame(0x81, PING.as_bytes())];
    said.extend((0..60).map(|id| {
        let data = json!({ "id": id, "padding": padding });
        frame(
            0x81,
            json!({"event":"broadcast","data":data})
                .to_string()
                .as_bytes(),
        )
    }));
    let mut taken = client.write_much(&said.concat());
    assert!(taken > 300_000, "{taken}");
    drop(client);
    taken -= said[0].len();
    for id in 0..taken / said[1].len() {
        assert_eq!(other.event().await.1["id"], id);
    }
    until("it is gone", || async {
        server.stats("alice").await.total_connections == 1
    })
    .await;
    assert_eq!(server.report().await.io.closes["abnormal"], 1);
}

#[actix_rt::test]
async fn one_that_always_has_more_to_read_starves_nobody() {
    let server = Server::start();
    let (mut greedy, _) = server.connect(Who::user("greedy")).await;
    let (mut modest, _) = server.connect(Who::user("modest")).await;
    let big = frame(0x81, &vec![b' '; 1 << 20]);
    let feeding = async {
        for _ in 0..10 {
            greedy.write(&big).await;
        }
    };
    let asking = async {
        for _ in 0..10 {
            modest.send(PING).await;
            assert_eq!(modest.event().await.0, "pong");
        }
    };
    futures_util::future::join(feeding, asking).await;
    for _ in 0..10 {
        assert_eq!(greedy.event().await.0, "error");
    }
}

#[actix_rt::test]
async fn who_says_little_does_not_wait_until_all_that_others_flood_with_is_read() {
    const FLOODERS: usize = 50;
    let server = Server::start();
    let mut flooders = Vec::new();
    for number in 0..FLOODERS {
        let who = Who::user(&format!("flooder-{}", number / 10));
        flooders.push(server.connect(who).await.0);
    }
    let (mut alice, _) = server.connect(Who::user("alice")).await;
    let pings = frame(0x89, &[b'p'; 125]).repeat(1_000);
    for flooder in &mut flooders {
        assert_eq!(flooder.write_much(&pings), pings.len());
    }
    alice.write_now(&frame(0x81, br#"{"event":"ping"}"#));
    assert_eq!(alice.event().await.0, "pong");
    let read = server.report().await.io.frames_in as usize;
    assert!(
        read < FLOODERS * 1_000 / 2,
        "{read} frames were read before hers was answered"
    );
    until("all of it is read", || async {
        server.report().await.io.frames_in as usize == FLOODERS * 1_000 + 1
    })
    .await;
}
