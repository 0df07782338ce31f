//! Socket.IO over WebSocket: connecting, events, acks, binary values, heartbeats, and how its
//! connections are members of their shard like any other (Socket.IO contract).

use serde_json::{Value, json};

use crate::support::raw::{Seen, frame};
use crate::support::socket_io::{SocketIo, handshake};
use crate::support::{Client, Handshake, Raw, Server, eventually, http};

#[tokio::test]
async fn a_transport_opens_with_its_terms_and_connects_by_token() {
    let server = Server::start();
    let (mut socket, opening) = SocketIo::open(server.address).await;
    assert_eq!(opening["sid"].as_str().unwrap().len(), 20);
    assert_eq!(opening["upgrades"], json!([]));
    assert_eq!(opening["pingInterval"], 15_000);
    assert_eq!(opening["pingTimeout"], 45_000);
    assert_eq!(opening["maxPayload"], 1_000_000);
    assert_eq!(server.stats("alice").await.total_connections, 0, "not yet");
    socket.join(&server.token("alice"), json!({})).await;
    assert_ne!(socket.id(), opening["sid"], "ids of their own");
    server.until_connections("alice", 1).await;
    let stats = server.stats("alice").await;
    assert_eq!(stats.by_type.user_scoped, 1);
    socket.quiet().await;
    // Without a slash behind the path as well, and with the parameters in any order.
    let target = Handshake::to("/v1/updates/")
        .query("transport", "websocket")
        .query("EIO", "4")
        .query("t", "x");
    let mut other = Client::open(server.address, target).await;
    assert!(other.text().await.starts_with("0{"));
}

#[tokio::test]
async fn a_bad_connect_is_told_why_and_may_try_again() {
    let server = Server::start();
    let (mut socket, _) = SocketIo::open(server.address).await;
    let token = server.token("alice");
    for (auth, reason) in [
        (json!({}), "Missing authentication token"),
        (json!({ "token": 5 }), "Missing authentication token"),
        (
            json!({ "token": token, "clientType": "session-scoped" }),
            "Session ID required for session-scoped clients",
        ),
        (
            json!({ "token": token, "clientType": "machine-scoped", "sessionId": "s" }),
            "Machine ID required for machine-scoped clients",
        ),
        (json!({ "token": "bad" }), "Invalid authentication token"),
        (
            json!({ "token": server.token_expired_for("alice", 600) }),
            "Invalid authentication token",
        ),
    ] {
        socket.send(&format!("40{auth}")).await;
        let answer = format!("44{}", json!({ "message": reason }));
        assert_eq!(socket.text().await, answer);
    }
    socket.send("40").await;
    assert!(socket.text().await.starts_with("44"));
    socket.send("40/other,{}").await;
    assert_eq!(
        socket.text().await,
        r#"44/other,{"message":"Invalid namespace"}"#
    );
    socket
        .join(&token, json!({ "clientType": "user-scoped" }))
        .await;
    socket.send("40/other,").await;
    assert_eq!(
        socket.text().await,
        r#"44/other,{"message":"Invalid namespace"}"#
    );
    socket.send("41/other,").await;
    socket.quiet().await;
}

#[tokio::test]
async fn a_user_at_the_cap_is_refused_and_may_wait_for_a_place() {
    let server = Server::with("auth.default_tier", "tiny")
        .tier("tiny", 1, 1)
        .start();
    let plain = server.connect("alice").await;
    let (mut socket, _) = SocketIo::open(server.address).await;
    let connect = format!("40{}", json!({ "token": server.token("alice") }));
    socket.send(&connect).await;
    assert_eq!(
        socket.text().await,
        r#"44{"message":"Connection limit exceeded"}"#
    );
    drop(plain);
    server.until_connections("alice", 0).await;
    socket.join(&server.token("alice"), json!({})).await;
    server.until_connections("alice", 1).await;
    let refused = Client::try_open(
        server.address,
        Handshake::updates().query("token", &server.token("alice")),
    );
    let refused = refused.await.err().expect("it counts like any other");
    assert_eq!(refused.status(), 429);
}

#[tokio::test]
async fn whoever_does_not_connect_in_time_is_closed() {
    let server = Server::with("socket_io.connect_deadline", "1s").start();
    let open = async |packet: Option<String>| {
        // In one segment with the handshake, so that no time passes between them.
        let mut raw = Raw::connect(server.address).await;
        let mut bytes = handshake().to_bytes();
        bytes.extend(
            packet
                .iter()
                .flat_map(|packet| frame(0x81, packet.as_bytes())),
        );
        raw.write(&bytes).await;
        assert_eq!(raw.response().await.status, 101);
        assert!(matches!(raw.next().await, Seen::Text(text) if text.starts_with('0')));
        raw
    };
    let mut silent = open(None).await;
    let mut refused = open(Some("40".to_owned())).await;
    let connect = format!("40{}", json!({ "token": server.token("alice") }));
    let mut connected = open(Some(connect)).await;
    assert!(matches!(refused.next().await, Seen::Text(text) if text.starts_with("44")));
    assert!(matches!(connected.next().await, Seen::Text(text) if text.starts_with("40")));
    assert_eq!(silent.next().await, Seen::Close(None, String::new()));
    assert_eq!(refused.next().await, Seen::Close(None, String::new()));
    connected.send("421[\"ping\"]").await;
    assert_eq!(connected.next().await, Seen::Text("431[{}]".to_owned()));
}

/// Each packet that closes the transport (section 3), sent before CONNECT and after it.
#[tokio::test]
async fn whoever_breaks_the_protocol_is_closed() {
    let server = Server::start();
    let always = [
        "",
        "2",
        "0",
        "7",
        "x",
        "4",
        "49",
        "47[]",
        "40[]",
        "40{",
        "42",
        "42{}",
        "42[]",
        "42[5]",
        "42[\"x\"",
        "42[\"connect\"]",
        "42/other,[\"x\"]",
        "4511-[\"x\"]",
        "45-[\"x\"]",
        "43[\"x\"]",
        "5",
        "2probe",
    ];
    for packet in always {
        let (mut early, _) = SocketIo::open(server.address).await;
        early.send(packet).await;
        early.ended().await;
        let mut late = SocketIo::connect(&server, "alice", json!({})).await;
        late.send(packet).await;
        late.ended().await;
    }
    for packet in ["42[\"x\"]", "421[\"ping\"]", "431[\"x\"]"] {
        let (mut early, _) = SocketIo::open(server.address).await;
        early.send(packet).await;
        early.ended().await;
    }
    let mut twice = SocketIo::connect(&server, "alice", json!({})).await;
    twice.send("40{}").await;
    twice.ended().await;

    let mut binary = SocketIo::connect(&server, "alice", json!({})).await;
    binary.send_binary(b"no header").await;
    binary.ended().await;
    let header = r#"451-["x",{"_placeholder":true,"num":0}]"#;
    let mut text = SocketIo::connect(&server, "alice", json!({})).await;
    text.send(header).await;
    text.send("42[\"y\"]").await;
    text.ended().await;
    let mut range = SocketIo::connect(&server, "alice", json!({})).await;
    range.send(&header.replace("\"num\":0", "\"num\":1")).await;
    range.send_binary(b"x").await;
    range.ended().await;
    server.until_connections("alice", 0).await;
    let faults = server.sum(|report| report.io.protocol_faults).await;
    assert_eq!(faults, 2 * always.len() as u64 + 3 + 4);
}

#[tokio::test]
async fn a_frame_that_breaks_websocket_ends_without_a_code() {
    let server = Server::start();
    let mut raw = Raw::open(server.address, &handshake()).await;
    assert!(matches!(raw.next().await, Seen::Text(text) if text.starts_with('0')));
    // Text that is not UTF-8.
    raw.write(&frame(0x81, b"4\xff")).await;
    assert_eq!(raw.next().await, Seen::Close(None, String::new()));
}

#[tokio::test]
async fn a_message_over_the_limit_is_refused() {
    let server = Server::with("socket_io.message", "2 KiB").start();
    let mut fits = SocketIo::connect(&server, "alice", json!({})).await;
    let mut over = SocketIo::connect(&server, "alice", json!({})).await;
    let data = json!({ "text": "x".repeat(1900) });
    fits.emit("broadcast", &data).await;
    assert_eq!(over.expect("broadcast").await, data);
    over.emit("broadcast", &json!({ "text": "x".repeat(2100) }))
        .await;
    over.ended().await;
    fits.send(r#"452-["broadcast",[{"_placeholder":true,"num":0}]]"#)
        .await;
    fits.send_binary(&[0; 1500]).await;
    fits.send_binary(&[0; 1500]).await;
    fits.ended().await;
}

#[tokio::test]
async fn events_reach_both_kinds_of_clients_in_their_own_form() {
    let server = Server::start();
    let mut one = SocketIo::connect(&server, "alice", json!({})).await;
    let mut two = SocketIo::connect(&server, "alice", json!({})).await;
    let mut plain = server.connect("alice").await;
    let mut stranger = SocketIo::connect(&server, "bob", json!({})).await;
    let ack = one.asked(5, "broadcast", &json!({ "n": 1.50 })).await;
    assert_eq!(ack, json!({ "success": true, "delivered": 2 }));
    assert_eq!(two.expect("broadcast").await, json!({ "n": 1.5 }));
    assert_eq!(plain.expect("broadcast").await, json!({ "n": 1.5 }));
    let ack = plain.acked("broadcast", &json!("hi")).await;
    assert_eq!(ack, json!({ "success": true, "delivered": 2 }));
    assert_eq!(one.expect("broadcast").await, "hi");
    assert_eq!(two.expect("broadcast").await, "hi");
    // By the backend.
    let message = json!({
        "message": { "type": "note", "payload": { "a": 1 }, "timestamp": 1 },
        "filter": { "type": "exclude", "connectionId": one.id() },
    });
    let token = server.token("alice");
    let answer = http::post(server.address, "/v1/websocket/broadcast", &token, &message).await;
    assert_eq!(answer.json()["delivered"], 2);
    assert_eq!(two.expect("note").await, json!({ "a": 1 }));
    assert_eq!(plain.expect("note").await, json!({ "a": 1 }));
    one.quiet().await;
    stranger.quiet().await;
}

#[tokio::test]
async fn binary_values_travel_as_attachments_and_as_base64() {
    let server = Server::start();
    let mut one = SocketIo::connect(&server, "alice", json!({})).await;
    let mut two = SocketIo::connect(&server, "alice", json!({})).await;
    let mut plain = server.connect("alice").await;
    one.send(r#"452-8["broadcast",{"a":{"_placeholder":true,"num":1},"b":{"_placeholder":true,"num":0}}]"#)
        .await;
    one.send_binary(&[1, 2]).await;
    one.send_binary(&[]).await;
    assert_eq!(one.text().await, r#"438[{"success":true,"delivered":2}]"#);
    assert_eq!(
        two.text().await,
        r#"452-["broadcast",{"a":{"_placeholder":true,"num":0},"b":{"_placeholder":true,"num":1}}]"#
    );
    assert_eq!(
        (two.binary().await, two.binary().await),
        (vec![], vec![1, 2])
    );
    let expected = json!({ "a": { "$binary": "" }, "b": { "$binary": "AQI=" } });
    assert_eq!(plain.expect("broadcast").await, expected);
    plain
        .tell("broadcast", &json!([{ "$binary": "/w==" }]))
        .await;
    assert_eq!(
        one.text().await,
        r#"451-["broadcast",[{"_placeholder":true,"num":0}]]"#
    );
    assert_eq!(one.binary().await, [255]);
}

#[tokio::test]
async fn unknown_events_and_acks_are_ignored_with_or_without_id() {
    let server = Server::start();
    let mut socket = SocketIo::connect(
        &server,
        "alice",
        json!({ "clientType": "session-scoped", "sessionId": "s" }),
    )
    .await;
    let mut plain = server.connect("alice").await;
    for packet in [
        "42[\"unheard\",{}]",
        "425[\"unheard\",{}]",
        "435[1]",
        "6",
        "42[\"ack\",1]",
    ] {
        socket.send(packet).await;
    }
    socket.quiet().await;
    plain.quiet().await;
}

#[tokio::test]
async fn requests_of_the_application_are_acked_only_if_asked() {
    let server = Server::start();
    let mut socket = SocketIo::connect(&server, "alice", json!({})).await;
    let data = json!({ "sid": "s", "metadata": "m", "expectedVersion": 0 });
    socket.emit("update-metadata", &data).await;
    let ack = socket.asked(3, "update-metadata", &data).await;
    assert_eq!(ack["result"], "error");
}

#[tokio::test]
async fn the_ack_of_a_change_comes_before_the_update_that_it_causes() {
    let server = Server::start();
    let mut author = SocketIo::connect(&server, "alice", json!({})).await;
    let mut reader = SocketIo::connect(&server, "alice", json!({})).await;
    let mut plain = server.connect("alice").await;
    let artifact = json!({
        "id": "a1", "header": "aGVhZA==", "body": "Ym9keQ==", "dataEncryptionKey": "a2V5",
    });
    let ack = author.asked(1, "artifact-create", &artifact).await;
    assert_eq!(ack["result"], "success", "{ack}");
    assert_eq!(ack["artifact"]["body"], "Ym9keQ==");
    let update = author.expect("update").await;
    assert_eq!(update["body"]["t"], "new-artifact");
    assert_eq!(update["body"]["artifactId"], "a1");
    assert_eq!(reader.expect("update").await, update);
    assert_eq!(plain.expect("update").await, update);
    let ack = plain
        .acked("artifact-read", &json!({ "artifactId": "a1" }))
        .await;
    assert_eq!(ack["artifact"]["header"], "aGVhZA==");
}

#[tokio::test]
async fn heartbeats_are_asked_by_the_server_and_wake_nobody() {
    let server = Server::with("socket_io.ping_interval", "250ms")
        .set("shard.hibernate_after", "100ms")
        .start();
    let mut socket = SocketIo::connect(&server, "alice", json!({})).await;
    server.until_asleep("alice").await;
    let wakes = server.sum(|report| report.counters.wakes).await;
    for _ in 0..3 {
        assert_eq!(socket.packet().await, "2");
        socket.send("3").await;
    }
    assert_eq!(server.sum(|report| report.counters.wakes).await, wakes);
    socket.quiet().await;
}

#[tokio::test]
async fn whoever_does_not_answer_a_heartbeat_is_closed() {
    let server = Server::with("socket_io.ping_interval", "250ms")
        .set("socket_io.ping_timeout", "1s")
        .start();
    let mut socket = SocketIo::connect(&server, "alice", json!({})).await;
    let (mut guest, _) = SocketIo::open(server.address).await;
    socket.ended().await;
    guest.ended().await;
    server.until_connections("alice", 0).await;
}

#[tokio::test]
async fn a_connection_sleeps_with_its_shard_and_wakes_as_it_was() {
    let server = Server::with("shard.hibernate_after", "100ms").start();
    let daemon = json!({ "clientType": "machine-scoped", "machineId": "m" });
    let mut daemon = SocketIo::connect(&server, "alice", daemon).await;
    daemon
        .emit("rpc-register", &json!({ "method": "m:run" }))
        .await;
    assert_eq!(
        daemon.expect("rpc-registered").await,
        json!({ "method": "m:run" })
    );
    server.until_asleep("alice").await;
    let mut plain = server.connect("alice").await;
    plain
        .ask(
            "rpc-call",
            &json!({ "method": "m:run", "params": "p" }),
            &json!(1),
        )
        .await;
    let text = daemon.text().await;
    let start = text.find('[').unwrap();
    let id = &text[2..start];
    let items: Value = serde_json::from_str(&text[start..]).unwrap();
    assert_eq!(items[0], "rpc-request");
    assert_eq!(items[1]["params"], "p");
    daemon.send(&format!("43{id}[\"done\"]")).await;
    let answer = plain.json().await;
    assert_eq!(answer["ack"]["result"], "done");
    daemon.quiet().await;
}

#[tokio::test]
async fn machines_come_online_and_go_offline_on_either_transport() {
    let server = Server::start();
    let mut app = SocketIo::connect(&server, "alice", json!({})).await;
    let fields = json!({ "clientType": "machine-scoped", "machineId": "m" });
    let daemon = SocketIo::connect(&server, "alice", fields).await;
    let status = app.expect("ephemeral").await;
    assert_eq!(
        (&status["type"], &status["online"]),
        (&json!("machine-status"), &json!(true))
    );
    assert_eq!(app.expect("ephemeral").await["type"], "machine-activity");
    let plain = server.connect_machine("alice", "m").await;
    drop(daemon);
    server.until_connections("alice", 2).await;
    app.quiet().await;
    drop(plain);
    assert_eq!(app.expect("ephemeral").await["online"], false);
    assert_eq!(app.expect("ephemeral").await["active"], false);
}

#[tokio::test]
async fn a_client_leaves_by_disconnect_and_by_close() {
    let server = Server::start();
    for packet in ["41", "1"] {
        let mut socket = SocketIo::connect(&server, "alice", json!({})).await;
        socket.send(packet).await;
        socket.ended().await;
        server.until_connections("alice", 0).await;
    }
}

#[tokio::test]
async fn an_admin_throws_out_for_good_unless_the_code_says_to_come_back() {
    let server = Server::start();
    let admin = server.admin_token("root");
    for (code, last) in [(4001, Some("41")), (1012, None)] {
        let mut socket = SocketIo::connect(&server, "alice", json!({})).await;
        let path = format!("/admin/v1/users/alice/disconnect?code={code}");
        let answer = http::post(server.address, &path, &admin, &json!({})).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        if let Some(last) = last {
            assert_eq!(socket.text().await, last);
        }
        socket.ended().await;
        eventually("nobody is left", || async {
            (server.stats("alice").await.total_connections == 0).then_some(())
        })
        .await;
    }
}

#[tokio::test]
async fn a_stopping_server_ends_transports_without_a_refusal() {
    let server = Server::start();
    let mut connected = SocketIo::connect(&server, "alice", json!({})).await;
    let (mut guest, _) = SocketIo::open(server.address).await;
    drop(server);
    connected.ended().await;
    guest.ended().await;
}

#[tokio::test]
async fn events_of_one_segment_are_not_lost_between_transport_and_shard() {
    let server = Server::with("workers", "3").start();
    let mut watcher = server.connect("alice").await;
    for round in 0..10 {
        let mut raw = Raw::open(server.address, &handshake()).await;
        let connect = format!("40{}", json!({ "token": server.token("alice") }));
        // CONNECT and events at once: they wait for its outcome.
        let mut bytes = frame(0x81, connect.as_bytes());
        for number in 0..5 {
            let event = format!("42{}", json!(["broadcast", [round, number]]));
            bytes.extend(frame(0x81, event.as_bytes()));
        }
        raw.write(&bytes).await;
        for number in 0..5 {
            let data = watcher.expect("broadcast").await;
            assert_eq!(data, json!([round, number]));
        }
    }
}
