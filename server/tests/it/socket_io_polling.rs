//! Socket.IO over long polling, and its change to WebSocket (Socket.IO contract, section 2).

use serde_json::json;
use tokio_tungstenite::tungstenite::Message;

use crate::support::socket_io::{Polling, SocketIo, bad_request, handshake, unknown};
use crate::support::{Client, Handshake, Raw, Server, eventually, http, within};

#[tokio::test]
async fn a_session_polls_like_any_other_connection() {
    let server = Server::with("workers", "3").start();
    let (session, opening) = Polling::open(server.address).await;
    assert_eq!(session.sid.len(), 20);
    assert_eq!(opening["upgrades"], json!(["websocket"]));
    assert_eq!(opening["pingInterval"], 15_000);
    drop(session);
    let session = Polling::connect(&server, "alice").await;
    server.until_connections("alice", 1).await;
    let mut plain = server.connect("alice").await;
    // Held until there is something.
    let held = tokio::spawn(session.get());
    plain.tell("broadcast", &json!(1)).await;
    assert_eq!(
        within("the held GET", held).await.unwrap().ok(),
        "42[\"broadcast\",1]"
    );
    // Everything that waits comes at once.
    plain.tell("broadcast", &json!(2)).await;
    plain.acked("broadcast", &json!(3)).await;
    let mut packets = session.packets().await;
    if packets.len() == 1 {
        packets.extend(session.packets().await);
    }
    assert_eq!(packets, ["42[\"broadcast\",2]", "42[\"broadcast\",3]"]);
    let payload = "42[\"broadcast\",\"é\"]\u{1e}451-7[\"broadcast\",{\"_placeholder\":true,\"num\":0}]\u{1e}bAQI=";
    let answer = session.post(payload).await;
    assert_eq!(answer.kind, "text/html");
    assert_eq!(answer.ok(), "ok");
    assert_eq!(plain.expect("broadcast").await, "é");
    assert_eq!(
        plain.expect("broadcast").await,
        json!({ "$binary": "AQI=" })
    );
    assert_eq!(
        session.packets().await,
        ["437[{\"success\":true,\"delivered\":1}]"]
    );
    plain.tell("broadcast", &json!({ "$binary": "/w==" })).await;
    assert_eq!(
        session.packets().await,
        [
            "451-[\"broadcast\",{\"_placeholder\":true,\"num\":0}]",
            "b/w=="
        ]
    );
}

#[tokio::test]
async fn requests_are_refused_with_their_codes() {
    let server = Server::start();
    let refused = |query: &str| {
        let path = format!("/v1/updates/?{query}");
        async move {
            let answer = http::get(server.address, &path, None).await;
            assert_eq!(answer.status, 400);
            (
                answer.json()["code"].clone(),
                answer.json()["message"].clone(),
            )
        }
    };
    for (query, code, message) in [
        ("EIO=4", 0, "Transport unknown"),
        ("EIO=4&transport=flash", 0, "Transport unknown"),
        ("EIO=4&transport=polling&sid=x", 1, "Session ID unknown"),
        (
            "EIO=4&transport=polling&sid=AAAAAAAAAAAAAAAAAAAA",
            1,
            "Session ID unknown",
        ),
        ("EIO=4&transport=websocket", 3, "Bad request"),
        ("EIO=3&transport=polling", 5, "Unsupported protocol version"),
    ] {
        assert_eq!(
            refused(query).await,
            (code.into(), message.into()),
            "{query}"
        );
    }
    let path = "/v1/updates/?EIO=4&transport=polling";
    let answer = http::post(server.address, path, "none", &json!({})).await;
    assert_eq!((answer.status, &answer.json()["code"]), (400, &json!(2)));
    assert_eq!(server.refused("engine_io"), 7);

    let (session, _) = Polling::open(server.address).await;
    assert_eq!(
        session
            .post_as("application/octet-stream", vec![1])
            .await
            .refused(),
        bad_request()
    );
    assert_eq!(
        session.method(reqwest::Method::PUT).await.refused(),
        bad_request()
    );
    assert_eq!(
        session.post_as("text/plain", vec![0xff]).await.refused(),
        bad_request()
    );
    // Upgrades are refused before the protocol is switched.
    for (handshake, code) in [
        (handshake().query("sid", "AAAAAAAAAAAAAAAAAAAA"), 1),
        (handshake().header("Sec-WebSocket-Version", "8"), 3),
        (handshake().without("Sec-WebSocket-Key"), 3),
        (Handshake::updates().query("EIO", "4"), 0),
        (
            Handshake::updates()
                .query("EIO", "5")
                .query("transport", "websocket"),
            5,
        ),
        (
            Handshake::updates()
                .query("EIO", "4")
                .query("transport", "polling"),
            3,
        ),
    ] {
        let refused = Raw::request(server.address, &handshake.to_bytes()).await;
        assert_eq!(
            (refused.status, &refused.json()["code"]),
            (400, &json!(code))
        );
        assert_eq!(refused.header("content-type"), Some("application/json"));
    }
}

#[tokio::test]
async fn pages_of_any_origin_may_poll() {
    let server = Server::start();
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let url = format!(
        "http://{}/v1/updates/?EIO=4&transport=polling",
        server.address
    );
    let get = client
        .get(&url)
        .header("origin", "https://app.example.com")
        .send()
        .await
        .unwrap();
    assert_eq!(get.headers()["access-control-allow-origin"], "*");
    let preflight = client
        .request(reqwest::Method::OPTIONS, &url)
        .header("origin", "https://app.example.com")
        .header("access-control-request-method", "POST")
        .header("access-control-request-headers", "x-happy-client")
        .send()
        .await
        .unwrap();
    assert_eq!(preflight.headers()["access-control-allow-origin"], "*");
    assert_eq!(
        preflight.headers()["access-control-allow-headers"],
        "x-happy-client"
    );
}

#[tokio::test]
async fn a_second_get_closes_the_session() {
    let server = Server::start();
    let session = Polling::connect(&server, "alice").await;
    let first = tokio::spawn(session.get());
    // Which of the two comes first is the network's: one is refused, the other hears of the end.
    let second = tokio::spawn(session.get());
    let first = within("the first GET", first).await.unwrap();
    let second = within("the second GET", second).await.unwrap();
    let (held, refused) = if first.status == 200 {
        (first, second)
    } else {
        (second, first)
    };
    assert_eq!(refused.refused(), bad_request());
    assert_eq!(held.ok(), "1");
    server.until_connections("alice", 0).await;
    assert_eq!(session.get().await.refused(), unknown());
    assert_eq!(session.post("3").await.refused(), unknown());
}

#[tokio::test]
async fn a_body_over_the_limit_is_refused() {
    let server = Server::with("socket_io.message", "2 KiB").start();
    let session = Polling::connect(&server, "alice").await;
    let answer = session
        .post(&format!("42[\"broadcast\",\"{}\"]", "x".repeat(2100)))
        .await;
    assert_eq!(answer.status, 413);
    assert!(answer.body.contains("2048"), "{answer:?}");
    assert_eq!(session.post("421[\"ping\"]").await.ok(), "ok");
    assert_eq!(session.packets().await, ["431[{}]"]);
}

#[tokio::test]
async fn a_client_that_breaks_the_protocol_is_told_of_the_end() {
    let server = Server::start();
    for payload in ["", "2", "42[", "x", "42[\"y\"]\u{1e}42{}"] {
        let session = Polling::connect(&server, "alice").await;
        session.post(payload).await.ok();
        assert_eq!(session.get().await.ok(), "1", "{payload}");
        assert_eq!(session.get().await.refused(), unknown());
        server.until_connections("alice", 0).await;
    }
}

#[tokio::test]
async fn a_client_that_closes_has_its_get_let_go() {
    let server = Server::start();
    let session = Polling::connect(&server, "alice").await;
    // Held, as its own answer to the ping shows.
    let held = tokio::spawn(session.get());
    eventually("the GET is held", || async {
        let sessions = server.state().workers.find_polling(&session.sid);
        sessions
            .is_some_and(|session| session.is_held())
            .then_some(())
    })
    .await;
    session.post("1").await.ok();
    assert_eq!(within("the held GET", held).await.unwrap().ok(), "6");
    server.until_connections("alice", 0).await;
}

#[tokio::test]
async fn heartbeats_come_by_get_and_silence_ends_the_session() {
    let server = Server::with("socket_io.ping_interval", "500ms")
        .set("socket_io.ping_timeout", "2s")
        .start();
    let session = Polling::connect(&server, "alice").await;
    assert_eq!(session.get().await.ok(), "2");
    session.post("3").await.ok();
    assert_eq!(session.get().await.ok(), "2");
    server.until_connections("alice", 0).await;
    assert_eq!(session.get().await.ok(), "1");
    assert_eq!(session.get().await.refused(), unknown());
}

#[tokio::test]
async fn what_nobody_fetches_ends_the_session() {
    let server = Server::with("limits.outbox_frames", "3").start();
    let _session = Polling::connect(&server, "alice").await;
    let mut plain = server.connect("alice").await;
    for number in 0..4 {
        plain.acked("broadcast", &json!(number)).await;
    }
    server
        .until("a slow consumer", |report| report.io.slow_consumers, 1)
        .await;
    server.until_connections("alice", 1).await;
}

#[tokio::test]
async fn a_session_sleeps_and_wakes_with_its_shard() {
    let server = Server::with("shard.hibernate_after", "100ms").start();
    let session = Polling::connect(&server, "alice").await;
    server.until_asleep("alice").await;
    session.post("421[\"ping\"]").await.ok();
    assert_eq!(session.packets().await, ["431[{}]"]);
}

/// Opens the WebSocket of a change and probes it.
async fn probed(server: &Server, session: &Polling) -> Client {
    let handshake = handshake().query("sid", &session.sid);
    let mut socket = Client::open(server.address, handshake).await;
    socket.send_text("2probe").await;
    assert_eq!(socket.text().await, "3probe");
    socket
}

#[tokio::test]
async fn a_session_changes_to_websocket_without_losing_or_reordering_anything() {
    let server = Server::with("workers", "3").start();
    let session = Polling::connect(&server, "alice").await;
    let mut plain = server.connect("alice").await;
    let held = tokio::spawn(session.get());
    eventually("the GET is held", || async {
        let sessions = server.state().workers.find_polling(&session.sid);
        sessions
            .is_some_and(|session| session.is_held())
            .then_some(())
    })
    .await;
    let mut socket = probed(&server, &session).await;
    assert_eq!(within("the held GET", held).await.unwrap().ok(), "6");
    // What is sent meanwhile waits, for whichever transport asks.
    plain.acked("broadcast", &json!(1)).await;
    plain.acked("broadcast", &json!(2)).await;
    let second = Client::try_open(server.address, handshake().query("sid", &session.sid)).await;
    assert_eq!(second.err().expect("one change at a time").status(), 400);
    // Events right behind the upgrade belong to the connection.
    for packet in ["5", "42[\"broadcast\",\"a\"]", "42[\"broadcast\",\"b\"]"] {
        socket.send_text(packet).await;
    }
    assert_eq!(socket.text().await, "42[\"broadcast\",1]");
    assert_eq!(socket.text().await, "42[\"broadcast\",2]");
    assert_eq!(plain.expect("broadcast").await, "a");
    assert_eq!(plain.expect("broadcast").await, "b");
    plain.tell("broadcast", &json!(3)).await;
    assert_eq!(socket.text().await, "42[\"broadcast\",3]");
    assert_eq!(session.get().await.refused(), unknown(), "it polls no more");
    socket.send_text("421[\"ping\"]").await;
    assert_eq!(socket.text().await, "431[{}]");
    assert_eq!(server.stats("alice").await.total_connections, 2);
    drop(socket);
    server.until_connections("alice", 1).await;
}

#[tokio::test]
async fn a_session_changes_before_it_is_connected() {
    let server = Server::with("workers", "3").start();
    for _ in 0..5 {
        let (session, _) = Polling::open(server.address).await;
        let mut socket = probed(&server, &session).await;
        let connect = format!("40{}", json!({ "token": server.token("alice") }));
        // CONNECT is on its way between workers while the change is done.
        session.post(&connect).await.ok();
        socket.send_text("5").await;
        assert!(socket.text().await.starts_with("40{\"sid\""));
        socket.send_text("421[\"ping\"]").await;
        assert_eq!(socket.text().await, "431[{}]");
    }
}

#[tokio::test]
async fn a_change_that_is_not_finished_leaves_the_session_polling() {
    let server = Server::with("socket_io.upgrade_deadline", "2s").start();
    let session = Polling::connect(&server, "alice").await;
    for gone in [true, false] {
        let mut socket = probed(&server, &session).await;
        if gone {
            drop(socket);
        } else {
            // Only the time is over.
            assert!(matches!(socket.next().await, Some(Message::Close(None))));
        }
        eventually("a change may be tried again", || async {
            let session = server.state().workers.find_polling(&session.sid).unwrap();
            let may = session.begin_change();
            if may {
                session.give_up_change();
            }
            may.then_some(())
        })
        .await;
        session.post("421[\"ping\"]").await.ok();
        assert_eq!(session.packets().await, ["431[{}]"]);
    }
    // Anything but the two packets of a change ends it, and nothing else.
    let handshake = handshake().query("sid", &session.sid);
    let mut socket = Client::open(server.address, handshake).await;
    socket.send_text("42[\"x\"]").await;
    assert!(matches!(socket.next().await, Some(Message::Close(None))));
    session.post("421[\"ping\"]").await.ok();
    assert_eq!(session.packets().await, ["431[{}]"]);
}

#[tokio::test]
async fn places_before_connect_are_bounded() {
    let server = Server::with("socket_io.max_pending", "1").start();
    let (session, _) = Polling::open(server.address).await;
    let path = "/v1/updates/?EIO=4&transport=polling";
    let refused = http::get(server.address, path, None).await;
    assert_eq!((refused.status, &refused.json()["code"]), (403, &json!(4)));
    let refused = Client::try_open(server.address, handshake())
        .await
        .err()
        .unwrap();
    assert_eq!(refused.status(), 403);
    let connect = format!("40{}", json!({ "token": server.token("alice") }));
    session.post(&connect).await.ok();
    assert!(session.packets().await[0].starts_with("40"));
    // A connection that is in has given its place back.
    let _other = SocketIo::open(server.address).await;
}

#[tokio::test]
async fn a_stopping_server_answers_held_gets() {
    let server = Server::start();
    let session = Polling::connect(&server, "alice").await;
    let held = tokio::spawn(session.get());
    eventually("the GET is held", || async {
        let sessions = server.state().workers.find_polling(&session.sid);
        sessions
            .is_some_and(|session| session.is_held())
            .then_some(())
    })
    .await;
    // Stopping waits for the thread of the server, so it is done elsewhere.
    let stopped = std::thread::spawn(move || drop(server));
    assert_eq!(within("the held GET", held).await.unwrap().ok(), "1");
    stopped.join().unwrap();
}
