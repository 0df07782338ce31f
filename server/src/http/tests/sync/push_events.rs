//! What an agent wants its user to notice (contract happy-client.md, section 7).

use super::*;

fn event(kind: &str) -> Value {
    json!({ "kind": kind, "title": "Ready", "body": "in ~/work", "data": { "url": "/x" } })
}

on_both_servers! {
    async fn it_is_told_to_the_session_and_says_what_became_of_it(server) {
        let id = server.session_id(ALICE, "t").await;
        let path = format!("/v1/sessions/{id}/push-event");
        let query = format!("clientType=session-scoped&sessionId={id}");
        let mut agent = server.connect(ALICE, &query).await;
        let mut other = server.connect(ALICE, "clientType=session-scoped&sessionId=other").await;
        let mut app = server.connect(ALICE, "").await;
        for kind in ["done", "permission", "question"] {
            let answer = server.send(ALICE, "POST", &path, event(kind)).await.ok();
            assert_eq!(answer["success"], true);
            assert_eq!(answer["result"], "no_tokens");
            for socket in [&mut agent, &mut app] {
                let mut frame = socket.json().await;
                let at = frame["data"]["timestamp"].take();
                assert!(at.is_i64(), "{frame}");
                assert_eq!(
                    frame["data"],
                    json!({
                        "type": "session-event", "sessionId": id, "sid": id, "kind": kind,
                        "title": "Ready", "body": "in ~/work", "timestamp": null,
                    })
                );
            }
        }
        other.has_nothing().await;
        let token = json!({ "token": "ExponentPushToken[x]" });
        server.send(ALICE, "POST", "/v1/push-tokens", token).await.ok();
        let answer = server.send(ALICE, "POST", &path, event("done")).await.ok();
        let expected = (&json!("failed"), &json!(1), &json!(0));
        let got = (&answer["result"], &answer["tokens"], &answer["delivered"]);
        assert_eq!(got, expected, "there is nobody to send it");
        assert!(answer["reason"].as_str().unwrap().contains("push"), "{answer}");
        server.stop().await;
    }

    async fn an_app_in_the_foreground_suppresses_it(server) {
        let id = server.session_id(ALICE, "t").await;
        let path = format!("/v1/sessions/{id}/push-event");
        let result = async || {
            let answer = server.send(ALICE, "POST", &path, event("done")).await.ok();
            answer["result"].clone()
        };
        let mut app = server.connect(ALICE, "").await;
        // What an agent says of itself counts for nothing.
        let query = format!("clientType=session-scoped&sessionId={id}");
        let mut agent = server.connect(ALICE, &query).await;
        for (socket, state, expected) in [
            ("agent", "active", "no_tokens"),
            ("app", "active", "suppressed"),
            ("app", "background", "no_tokens"),
        ] {
            let socket = if socket == "app" { &mut app } else { &mut agent };
            let data = json!({ "state": state });
            socket.send(json!({ "event": "app-state", "ackId": "1", "data": data }).to_string()).await;
            while socket.json().await["event"] != "ack" {}
            assert_eq!(result().await, expected, "{state}");
        }
        for bad in [json!({}), json!({ "state": 1 }), Value::Null] {
            app.send(json!({ "event": "app-state", "ackId": "1", "data": bad }).to_string()).await;
            let ack = loop {
                let frame = app.json().await;
                if frame["event"] == "ack" {
                    break frame;
                }
            };
            assert_eq!(ack["ack"]["success"], false, "{bad}");
        }
        server.stop().await;
    }

    async fn bad_events_are_refused(server) {
        let id = server.session_id(ALICE, "t").await;
        let path = format!("/v1/sessions/{id}/push-event");
        let with = |name: &str, value: Value| {
            let mut event = event("done");
            event[name] = value;
            event
        };
        let bodies = [
            json!({}),
            with("kind", json!("other")),
            with("title", json!(1)),
            with("title", json!("x".repeat(4001))),
            with("body", json!("x".repeat(4001))),
            with("data", json!("x".repeat(4096))),
        ];
        server.refuses("POST", &path, bodies).await;
        server.send(BOB, "POST", &path, event("done")).await.is_error(404, &["Session not found"]);
        let unknown = "/v1/sessions/none/push-event";
        server.send(ALICE, "POST", unknown, event("done")).await.is_error(404, &["Session"]);
        server.stop().await;
    }
}
