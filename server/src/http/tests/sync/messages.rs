//! Section 4, messages.

use super::*;

on_both_servers! {
    async fn a_message_is_stored_as_it_came_and_told(server) {
        let id = server.session_id(ALICE, "t").await;
        let path = format!("/v1/sessions/{id}/messages");
        let mut app = server.connect(ALICE, "").await;
        for (seq, content) in [
            json!({ "t": "encrypted", "c": "x" }),
            Value::Null,
            json!("text"),
            json!([1, 2.5, { "a": null }]),
        ]
        .into_iter()
        .enumerate()
        {
            let body = json!({ "content": content, "localId": format!("l{seq}") });
            let answer = server.send(ALICE, "POST", &path, body.clone()).await.ok();
            let message = &answer["message"];
            let (message_id, at) = (message["id"].clone(), message["createdAt"].clone());
            assert_eq!(
                answer,
                json!({
                    "message": {
                        "id": message_id, "sessionId": id, "localId": format!("l{seq}"),
                        "seq": seq + 1, "content": content, "createdAt": at, "updatedAt": at,
                    }
                })
            );
            let (_, update) = app.update().await;
            assert_eq!((&update["t"], &update["sid"]), (&json!("new-message"), &json!(id)));
            assert_eq!(update["message"]["content"], content);
            assert_eq!(update["message"]["seq"], json!(seq + 1));
            // The same once more is the same message.
            assert_eq!(server.send(ALICE, "POST", &path, body).await.ok(), answer);
        }
        app.has_nothing().await;
        assert_eq!(
            server.get(ALICE, &format!("/v1/sessions/{id}")).await.ok()["session"]["seq"],
            4
        );
        server.stop().await;
    }

    async fn sockets_and_requests_share_the_numbers(server) {
        let id = server.session_id(ALICE, "t").await;
        server.message(ALICE, &id, "first").await;
        let mut agent = server
            .connect(ALICE, &format!("clientType=session-scoped&sessionId={id}"))
            .await;
        let ask = json!({
            "event": "message", "ackId": "1", "data": { "sid": id, "message": "second" },
        });
        let ack = agent.ask(&ask).await;
        assert_eq!((&ack["ok"], &ack["seq"]), (&json!(true), &json!(2)));
        let third = server.message(ALICE, &id, "third").await;
        assert_eq!(third["seq"], 3);
        // Its own comes back to nobody but the others.
        assert_eq!(agent.update().await.1["message"]["seq"], 3);
        let list = server.get(ALICE, &format!("/v1/sessions/{id}/messages")).await.ok();
        let texts: Vec<_> = list["messages"]
            .as_array()
            .unwrap()
            .iter()
            .map(|message| message["content"]["c"].as_str().unwrap())
            .collect();
        assert_eq!(texts, ["third", "second", "first"]);
        server.stop().await;
    }

    async fn lists_have_their_order_and_their_pages(server) {
        let id = server.session_id(ALICE, "t").await;
        for number in 1..=5 {
            server.message(ALICE, &id, &number.to_string()).await;
        }
        let seqs = |answer: &Value| -> Vec<i64> {
            let messages = answer["messages"].as_array().unwrap();
            messages.iter().map(|message| message["seq"].as_i64().unwrap()).collect()
        };
        let path = format!("/v1/sessions/{id}/messages");
        assert_eq!(seqs(&server.get(ALICE, &path).await.ok()), [5, 4, 3, 2, 1]);
        for (since, expected) in [(0, vec![1, 2, 3, 4, 5]), (3, vec![4, 5]), (9, vec![])] {
            let list = server.get(ALICE, &format!("{path}?sinceSeq={since}")).await.ok();
            assert_eq!(seqs(&list), expected, "{since}");
        }
        let path = format!("/v2/sessions/{id}/messages");
        let page = server.get(ALICE, &format!("{path}?limit=3")).await.ok();
        assert_eq!(seqs(&page), [5, 4, 3]);
        let cursor = page["nextCursor"].as_str().unwrap();
        let page = server.get(ALICE, &format!("{path}?limit=3&cursor={cursor}")).await.ok();
        assert_eq!((seqs(&page), &page["nextCursor"]), (vec![2, 1], &Value::Null));
        for bad in ["limit=0", "limit=201", "cursor=x"] {
            server.get(ALICE, &format!("{path}?{bad}")).await.is_invalid(&[]);
        }
        let bad = format!("/v1/sessions/{id}/messages?sinceSeq=-1");
        server.get(ALICE, &bad).await.is_invalid(&["sinceSeq"]);
        server.get(BOB, &path).await.is_error(404, &[]);
        server.stop().await;
    }

    async fn a_list_has_at_most_150_and_since_never_skips(server) {
        let id = server.session_id(ALICE, "t").await;
        let sending = (1..=160).map(|number| {
            let server = &server;
            let id = id.as_str();
            async move { server.message(ALICE, id, &number.to_string()).await }
        });
        futures_util::future::join_all(sending).await;
        let path = format!("/v1/sessions/{id}/messages");
        let list = server.get(ALICE, &path).await.ok();
        let messages = list["messages"].as_array().unwrap();
        assert_eq!((messages.len(), &messages[0]["seq"]), (150, &json!(160)));
        let list = server.get(ALICE, &format!("{path}?sinceSeq=0")).await.ok();
        let messages = list["messages"].as_array().unwrap();
        assert_eq!((messages.len(), &messages[149]["seq"]), (150, &json!(150)));
        let list = server.get(ALICE, &format!("{path}?sinceSeq=150")).await.ok();
        assert_eq!(list["messages"].as_array().unwrap().len(), 10);
        server.stop().await;
    }

    async fn bad_messages_are_refused(server) {
        let id = server.session_id(ALICE, "t").await;
        let path = format!("/v1/sessions/{id}/messages");
        let long = "x".repeat(1_000_000);
        let bodies = [
            json!({}),
            json!({ "localId": "l" }),
            json!({ "content": long }),
            json!({ "content": 1, "localId": 5 }),
            json!({ "content": 1, "localId": "x".repeat(129) }),
        ];
        server.refuses("POST", &path, bodies).await;
        let body = json!({ "content": 1 });
        server.send(BOB, "POST", &path, body.clone()).await.is_error(404, &["Session not found"]);
        let unknown = "/v1/sessions/none/messages";
        server.send(ALICE, "POST", unknown, body).await.is_error(404, &["Session not found"]);
        let list = server.get(ALICE, &path).await.ok();
        assert_eq!(list, json!({ "messages": [] }));
        server.stop().await;
    }
}

impl Socket {
    /// Asks, and returns the ack that must come next.
    async fn ask(&mut self, request: &Value) -> Value {
        self.say(&request.to_string()).await;
        let mut answer = self.json().await;
        assert_eq!(answer["event"], "ack", "{answer}");
        answer["ack"].take()
    }
}
