//! What breaks RFC 6455, and what keeps to it and is too much: each is closed with its code, and
//! nobody else notices (realtime contract, sections 12 and 13).

use crate::support::raw::{Seen, frame};
use crate::support::{Builder, Handshake, Raw, Server};

async fn open(server: &Server, user: &str) -> Raw {
    let handshake = Handshake::updates().query("token", &server.token(user));
    let mut raw = Raw::open(server.address, &handshake).await;
    assert_eq!(raw.json().await["event"], "connected");
    raw
}

/// A masked frame that announces this length in the 64-bit form, without its payload.
fn announcing(first: u8, length: u64) -> Vec<u8> {
    let mut bytes = vec![first, 0x80 | 127];
    bytes.extend_from_slice(&length.to_be_bytes());
    bytes.extend_from_slice(&[1, 2, 3, 4]);
    bytes
}

/// Frames that must not be sent, and the code that says so.
fn broken() -> Vec<(String, Vec<u8>, u16)> {
    let mut cases: Vec<(String, Vec<u8>, u16)> = [
        ("unmasked", vec![0x81, 2, b'{', b'}'], 1002),
        ("unmasked and empty", vec![0x81, 0], 1002),
        ("a fragmented ping", frame(0x09, b"x"), 1002),
        (
            "a fragmented close",
            frame(0x08, &1000_u16.to_be_bytes()),
            1002,
        ),
        ("a long ping", frame(0x89, &[b'x'; 126]), 1002),
        ("a continuation of nothing", frame(0x80, b"x"), 1002),
        (
            "an inner message",
            [frame(0x01, b"{"), frame(0x81, b"{}")].concat(),
            1002,
        ),
        ("a length past all numbers", announcing(0x81, 1 << 63), 1002),
        ("too big", announcing(0x81, 1025), 1009),
        ("much too big", announcing(0x82, i64::MAX as u64), 1009),
        (
            "too big in all",
            [frame(0x01, &[b'x'; 600]), frame(0x80, &[b'x'; 425])].concat(),
            1009,
        ),
        ("no UTF-8", frame(0x81, b"{\"event\":\"\xff\"}"), 1007),
        ("a surrogate", frame(0x81, b"\xed\xa0\x80"), 1007),
        ("an overlong form", frame(0x81, b"\xc0\xaf"), 1007),
        ("no UTF-8 in a fragment", frame(0x01, b"\xff"), 1007),
        (
            "half a character at the end",
            frame(0x81, b"\"\xe2\x82"),
            1007,
        ),
        ("a close of one byte", frame(0x88, &[3]), 1002),
        (
            "a reason that is no UTF-8",
            frame(0x88, b"\x03\xe8\xff"),
            1007,
        ),
    ]
    .map(|(name, bytes, code)| (name.to_owned(), bytes, code))
    .into();
    for bit in [0x40, 0x20, 0x10] {
        cases.push((
            format!("reserved bit {bit:x}"),
            frame(0x81 | bit, b"{}"),
            1002,
        ));
    }
    for opcode in (3..8).chain(11..16) {
        cases.push((format!("opcode {opcode}"), frame(0x80 | opcode, b""), 1002));
    }
    for code in [0_u16, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000] {
        cases.push((
            format!("close {code}"),
            frame(0x88, &code.to_be_bytes()),
            1002,
        ));
    }
    cases
}

#[tokio::test]
async fn broken_frames_close_with_their_code() {
    let server = Server::with("limits.message", "1 KiB")
        .set("auth.max_pending_per_address", "1000")
        .start();
    let mut bystander = server.connect("bob").await;
    let faults = || server.sum(|report| report.io.protocol_faults);
    for (name, bytes, code) in broken() {
        let before = faults().await;
        let mut member = open(&server, "alice").await;
        let mut newcomer = Raw::open(server.address, &Handshake::updates()).await;
        for raw in [&mut member, &mut newcomer] {
            raw.write(&bytes).await;
            match raw.next().await {
                Seen::Close(Some(seen), reason) => {
                    assert_eq!(seen, code, "{name}: {reason}");
                    assert!(!reason.is_empty(), "{name}");
                }
                other => panic!("{name}: {other:?}"),
            }
            // Whatever follows is thrown away; the answer to the close ends it.
            let _ = raw.try_write(&frame(0x81, b"{\"event\":\"ping\"}")).await;
            let _ = raw.try_write(&frame(0x88, &code.to_be_bytes())).await;
            assert_eq!(raw.next().await, Seen::End, "{name}");
        }
        assert_eq!(faults().await, before + 2, "{name}");
    }
    server.until_connections("alice", 0).await;
    server.until_nobody_waits().await;
    bystander.quiet().await;
}

#[tokio::test]
async fn messages_up_to_the_limit_are_taken_whole_or_in_pieces() {
    let server = Server::start();
    let mut sender = open(&server, "alice").await;
    let mut reader = server.connect("alice").await;
    let text = |size: usize| {
        let (before, after) = (r#"{"event":"broadcast","data":""#, r#""}"#);
        format!(
            "{before}{}{after}",
            "x".repeat(size - before.len() - after.len())
        )
    };
    let whole = text(1 << 20);
    sender.send(&whole).await;
    assert_eq!(reader.text().await, whole);
    let small = text(9_000);
    let pieces: Vec<&[u8]> = small.as_bytes().chunks(700).collect();
    for (index, piece) in pieces.iter().enumerate() {
        let opcode = if index == 0 { 1 } else { 0 };
        let last = if index + 1 == pieces.len() { 0x80 } else { 0 };
        // Byte by byte, too: a frame may be cut anywhere.
        for byte in frame(opcode | last, piece).chunks(if index < 2 { 1 } else { 701 }) {
            sender.write(byte).await;
        }
    }
    assert_eq!(reader.text().await, small);
    // A character may be cut as well.
    sender
        .write(&frame(0x01, b"{\"event\":\"broadcast\",\"data\":\"\xe2"))
        .await;
    sender.write(&frame(0x00, b"")).await;
    sender.write(&frame(0x00, b"\x82")).await;
    sender.write(&frame(0x80, b"\xac\"}")).await;
    assert_eq!(reader.expect("broadcast").await, "€");
    sender.send(&text((1 << 20) + 1)).await;
    assert_eq!(sender.until_close().await.0, 1009);
}

#[tokio::test]
async fn who_sends_too_fast_is_closed_and_fragments_count() {
    let server = Server::with("limits.frame_burst", "50")
        .set("limits.frames_per_second", "5")
        .start();
    let mut bystander = server.connect("alice").await;
    let ping = frame(0x81, br#"{"event":"ping"}"#);
    let empty = [frame(0x01, b""), frame(0x00, b"").repeat(10_000)].concat();
    let control = frame(0x89, b"").repeat(10_000);
    for (what, flood) in [
        ("pings", ping.repeat(1000)),
        ("fragments", empty),
        ("control", control),
    ] {
        let mut raw = open(&server, "alice").await;
        let _ = raw.try_write(&flood).await;
        let (code, reason, before) = raw.until_close().await;
        assert_eq!(code, 1008, "{what}: {reason}");
        // Refilled while the flood was read, a few more may have passed.
        assert!(before <= 100, "{what}: {before}");
    }
    assert_eq!(server.sum(|report| report.io.rate_closed).await, 3);
    bystander.quiet().await;
}

#[tokio::test]
async fn deep_nesting_is_passed_on_or_refused() {
    let server = Server::start();
    let mut sender = server.connect("alice").await;
    let mut reader = server.connect("alice").await;
    for depth in [100, 10_000, 200_000] {
        let arrays = format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        let objects = format!("{}1{}", r#"{"a":"#.repeat(depth), "}".repeat(depth));
        for data in [arrays, objects] {
            if data.len() > 1_000_000 {
                continue;
            }
            sender
                .send_text(&format!(r#"{{"event":"broadcast","data":{data}}}"#))
                .await;
            let expected = format!(r#"{{"event":"broadcast","data":{data}}}"#);
            assert_eq!(reader.text().await, expected);
            // As the name of an event, a correlation id, an ignored field, data that is looked at.
            for text in [
                format!(r#"{{"event":{data}}}"#),
                format!(r#"{{"type":{data},"event":7}}"#),
                data.clone(),
                data[..data.len() / 2].to_owned(),
            ] {
                sender.send_text(&text).await;
                assert_eq!(sender.expect("error").await["code"], 1002);
            }
            for (event, field) in [
                ("ping", "ackId"),
                ("ping", "unknown"),
                ("rpc-call", "data"),
                ("custom", "data"),
                ("message", "data"),
            ] {
                sender
                    .send_text(&format!(r#"{{"event":"{event}","{field}":{data}}}"#))
                    .await;
                if event == "ping" {
                    sender.expect("pong").await;
                }
            }
            for field in ["sessionId", "method", "requestId"] {
                let event = if field == "sessionId" {
                    "custom"
                } else {
                    "rpc-call"
                };
                sender
                    .send_text(&format!(
                        r#"{{"event":"{event}","data":{{"{field}":{data}}}}}"#
                    ))
                    .await;
            }
        }
    }
    sender.quiet().await;
    reader.quiet().await;
    // In a first message, and in a broadcast over HTTP.
    let deep = format!("{}{}", "[".repeat(10_000), "]".repeat(10_000));
    let mut newcomer = crate::support::Client::open(server.address, Handshake::updates()).await;
    newcomer
        .send_text(&format!(r#"{{"event":"auth","data":{deep}}}"#))
        .await;
    assert_eq!(newcomer.expect("auth-error").await["code"], 4001);
    newcomer
        .send_text(&format!(r#"{{"event":"auth","data":{{"token":{deep}}}}}"#))
        .await;
    assert_eq!(newcomer.expect("auth-error").await["code"], 4001);
    let token = server.token("alice");
    for (body, status) in [
        (
            format!(r#"{{"message":{{"type":"deep","payload":{deep}}}}}"#),
            200,
        ),
        (format!(r#"{{"message":{{"type":{deep}}}}}"#), 400),
        (
            format!(r#"{{"message":{{"type":"x"}},"filter":{deep}}}"#),
            400,
        ),
        (deep.clone(), 400),
    ] {
        let request = format!(
            "POST /v1/websocket/broadcast HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n\
             Content-Length: {}\r\n\r\n{body}",
            body.len()
        );
        let response = Raw::request(server.address, request.as_bytes()).await;
        assert_eq!(response.status, status, "{response:?}");
    }
    assert!(reader.text().await.contains(&deep));
}

#[tokio::test]
async fn random_frames_are_survived() {
    use rand::{Rng as _, RngExt as _, SeedableRng as _};
    let server = Builder::default().start();
    let mut bystander = server.connect("bob").await;
    let mut random = rand::rngs::StdRng::seed_from_u64(7);
    for _ in 0..100 {
        let mut raw = open(&server, "alice").await;
        let mut bytes = Vec::new();
        for _ in 0..random.random_range(1..8) {
            let mut payload = vec![0; random.random_range(0..200)];
            random.fill_bytes(&mut payload);
            let first = match random.random_range(0..4) {
                0 => random.random(),
                1 => 0x82,
                _ => 0x81,
            };
            bytes.extend(frame(first, &payload));
        }
        bytes.truncate(random.random_range(1..=bytes.len()));
        let _ = raw.try_write(&bytes).await;
        raw.shut().await;
        raw.ended().await;
    }
    server.until_connections("alice", 0).await;
    bystander.quiet().await;
}
