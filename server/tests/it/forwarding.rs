//! Events that mean nothing to the server: whom they are forwarded to (realtime contract, section
//! 5.14), and those that only stored entities could serve (5.2–5.12).

use dormouse_server::clock::unix_ms;
use serde_json::{Value, json};

use crate::support::{Builder, Client, Server};

/// Two user-scoped connections, a session and a machine of one user, all settled.
async fn household(server: &Server) -> [Client; 4] {
    let machine = server.connect_machine("alice", "m1").await;
    let session = server.connect_session("alice", "s1").await;
    let app = server.connect("alice").await;
    let labelled = [("sessionId", "s1"), ("machineId", "m1")];
    let viewer = server.connect_as("alice", &labelled).await;
    [app, viewer, session, machine]
}

#[tokio::test]
async fn agents_and_daemons_are_forwarded_to_apps_only() {
    let server = Server::start();
    let [mut app, mut viewer, mut session, mut machine] = household(&server).await;
    let data = json!({ "sid": "s1", "n": 1 });
    session.tell("session-revived", &data).await;
    for client in [&mut app, &mut viewer] {
        let expected = json!({ "event": "session-revived", "data": data });
        assert_eq!(client.json().await, expected);
    }
    machine
        .send(&json!({ "event": "session-revival-progress", "data": data, "ackId": "mine" }))
        .await;
    for client in [&mut app, &mut viewer] {
        let expected =
            json!({ "event": "session-revival-progress", "data": data, "ackId": "mine" });
        assert_eq!(client.json().await, expected, "the id goes along");
    }
    assert_eq!(machine.json().await["ack"], json!({ "ok": true }));
    session.send(&json!({ "event": "bare" })).await;
    assert_eq!(app.json().await, json!({ "event": "bare" }));
    viewer.expect("bare").await;
    for client in [&mut app, &mut viewer, &mut session, &mut machine] {
        client.quiet().await;
    }
}

#[tokio::test]
async fn apps_are_forwarded_to_the_session_or_machine_they_name() {
    let server = Server::start();
    let [mut app, mut viewer, mut session, mut machine] = household(&server).await;
    for data in [
        json!({ "sessionId": "s1", "n": 1 }),
        json!({ "sid": "s1", "n": 2 }),
        json!({ "sessionId": "s1", "machineId": "m1", "n": 3 }),
    ] {
        app.tell("custom", &data).await;
        assert_eq!(viewer.expect("custom").await, data);
        assert_eq!(session.expect("custom").await, data);
    }
    let data = json!({ "machineId": "m1" });
    app.tell("custom", &data).await;
    assert_eq!(viewer.expect("custom").await, data);
    assert_eq!(machine.expect("custom").await, data);
    // The sender is left out even where its own label matches.
    viewer.tell("custom", &json!({ "sessionId": "s1" })).await;
    session.expect("custom").await;
    for client in [&mut app, &mut viewer, &mut session, &mut machine] {
        client.quiet().await;
    }
}

#[tokio::test]
async fn apps_that_name_nobody_are_told_so_if_they_ask() {
    let server = Server::start();
    let [mut app, mut viewer, mut session, mut machine] = household(&server).await;
    for data in [
        Value::Null,
        json!("s1"),
        json!(["s1"]),
        json!({}),
        json!({ "sessionId": "" }),
        json!({ "sessionId": 5, "machineId": null }),
    ] {
        app.tell("custom", &data).await;
        let ack = app.acked("custom", &data).await;
        assert_eq!(ack["ok"], false, "{data}");
        assert!(
            ack["error"].as_str().unwrap().contains("sessionId"),
            "{ack}"
        );
    }
    for client in [&mut app, &mut viewer, &mut session, &mut machine] {
        client.quiet().await;
    }
}

#[tokio::test]
async fn reserved_names_are_never_forwarded() {
    let server = Server::start();
    let [mut app, mut viewer, mut session, mut machine] = household(&server).await;
    let data = json!({ "sessionId": "s1", "machineId": "m1", "token": "secret" });
    for event in [
        "auth",
        "connected",
        "auth-error",
        "error",
        "ack",
        "pong",
        "update",
        "ephemeral",
        "rpc-registered",
        "rpc-unregistered",
        "rpc-error",
    ] {
        for client in [&mut app, &mut session, &mut machine] {
            client.tell(event, &data).await;
            // The server form is read the same.
            client
                .send(&json!({ "type": event, "payload": data }))
                .await;
        }
    }
    for client in [&mut app, &mut session, &mut machine, &mut viewer] {
        client.quiet().await;
    }
}

#[tokio::test]
async fn forwards_cross_shards_but_not_users() {
    let server = Builder::default().tier("spread", 1, 4).start();
    let token = server.token_of_tier("alice", "spread");
    let session = [("clientType", "session-scoped"), ("sessionId", "s1")];
    let mut app = server.connect_with(&token, &[]).await;
    let mut session = server.connect_with(&token, &session).await;
    let mut stranger = server.connect_as("bob", &[("sessionId", "s1")]).await;
    session.tell("to-apps", &json!(1)).await;
    assert_eq!(app.expect("to-apps").await, 1);
    app.tell("to-session", &json!({ "sid": "s1" })).await;
    session.expect("to-session").await;
    stranger.quiet().await;
}

#[tokio::test]
async fn events_of_stored_entities_are_refused_in_their_own_shapes() {
    let server = Server::start();
    let [mut app, mut viewer, mut session, mut machine] = household(&server).await;
    let shapes = [
        (
            "result",
            "message",
            &[
                "update-metadata",
                "update-state",
                "machine-update-metadata",
                "machine-update-state",
                "artifact-read",
                "artifact-create",
                "artifact-update",
                "artifact-delete",
            ][..],
        ),
        (
            "success",
            "error",
            &[
                "session-alive",
                "session-end",
                "machine-alive",
                "usage-report",
                "update-usage-limits",
                "request-updates-since",
            ],
        ),
        (
            "ok",
            "error",
            &[
                "message",
                "access-key-get",
                "acp-session-update",
                "acp-permission-request",
                "acp-permission-response",
                "acp-session-command",
                "acp-session-list-response",
                "acp-session-command-response",
            ],
        ),
    ];
    // All fields that any of them needs, for things that do not exist.
    let part = json!({ "data": "aA==", "expectedVersion": 1 });
    let now = unix_ms();
    let complete = json!({
        "sid": "s1", "sessionId": "s1", "machineId": "m1", "artifactId": "a1", "message": "c",
        "time": now, "metadata": "m", "agentState": "s", "daemonState": "d",
        "expectedVersion": 1, "update": "u", "requestId": "r", "payload": "p", "command": "c",
        "key": "k", "tokens": { "total": 1 }, "cost": { "total": 1 }, "header": part,
        "body": part,
    });
    for (verdict, text, events) in shapes {
        let no = if verdict == "result" {
            json!("error")
        } else {
            json!(false)
        };
        for event in events {
            for client in [&mut app, &mut session, &mut machine] {
                let mut data = complete.clone();
                let expected = match *event {
                    // These need nothing that could be missing: they are sent unusable.
                    "artifact-create" | "update-usage-limits" | "request-updates-since" => {
                        data = json!({});
                        "cannot be used"
                    }
                    _ => "not found",
                };
                let ack = client.acked(event, &data).await;
                let reason = ack[text].as_str().unwrap_or_default();
                assert!(reason.contains(expected), "{event}: {ack}");
                assert_eq!(ack, json!({ verdict: no, text: reason }), "{event}");
                // Nobody asked: nothing is said.
                client.tell(event, &data).await;
            }
        }
    }
    for client in [&mut app, &mut viewer, &mut session, &mut machine] {
        client.quiet().await;
    }
}
