//! Batches of messages (contract happy-client.md, section 6).

use super::*;

fn text(content: &str, local_id: &str) -> Value {
    json!({ "content": content, "localId": local_id })
}

fn numbers(answer: &Value) -> Vec<i64> {
    let messages = answer["messages"].as_array().unwrap();
    messages
        .iter()
        .map(|message| message["seq"].as_i64().unwrap())
        .collect()
}

on_both_servers! {
    async fn a_batch_is_stored_in_order_and_told_to_all_of_the_session(server) {
        let id = server.session_id(ALICE, "t").await;
        let path = format!("/v3/sessions/{id}/messages");
        let mut app = server.connect(ALICE, "").await;
        let mut agent = server
            .connect(ALICE, &format!("clientType=session-scoped&sessionId={id}"))
            .await;
        let body = json!({ "messages": [text("YQ==", "a"), text("Yg==", "b"), text("x", "a")] });
        let answer = server.send(ALICE, "POST", &path, body.clone()).await.ok();
        assert_eq!(numbers(&answer), [1, 2], "a second one with the same localId is the first");
        for (message, local_id) in [(&answer["messages"][0], "a"), (&answer["messages"][1], "b")] {
            assert_eq!(message["localId"], local_id);
            assert!(message["id"].is_string() && message["createdAt"].is_i64(), "{message}");
            assert_eq!(message["createdAt"], message["updatedAt"]);
        }
        for socket in [&mut app, &mut agent] {
            for (seq, content) in [(1, "YQ=="), (2, "Yg==")] {
                let (_, update) = socket.update().await;
                assert_eq!((&update["t"], &update["sid"]), (&json!("new-message"), &json!(id)));
                assert_eq!(update["message"]["seq"], seq);
                assert_eq!(update["message"]["content"], json!({ "t": "encrypted", "c": content }));
            }
        }
        // Once more with one that is new: only that one is told.
        let again = json!({ "messages": [text("Yw==", "c"), text("YQ==", "a")] });
        let answer = server.send(ALICE, "POST", &path, again).await.ok();
        assert_eq!(numbers(&answer), [1, 3]);
        for socket in [&mut app, &mut agent] {
            assert_eq!(socket.update().await.1["message"]["localId"], "c");
            socket.has_nothing().await;
        }
        server.stop().await;
    }

    async fn a_batch_is_stored_whole_or_not_at_all(server) {
        let id = server.session_id(ALICE, "t").await;
        let path = format!("/v3/sessions/{id}/messages");
        let many = |count| json!({ "messages": vec![json!({ "content": "x" }); count] });
        let long = "x".repeat(129);
        let bodies = [
            json!({}),
            json!([]),
            json!({ "messages": [] }),
            json!({ "messages": "x" }),
            many(101),
            json!({ "messages": [text("x", "a"), { "localId": "b" }] }),
            json!({ "messages": [text("x", "a"), { "content": 1 }] }),
            json!({ "messages": [text("x", "a"), text("x", &long)] }),
            json!({ "messages": [text("x", "a"), text("\u{0}", "b")] }),
        ];
        server.refuses("POST", &path, bodies).await;
        let list = server.get(ALICE, &path).await.ok();
        assert_eq!(list, json!({ "messages": [], "hasMore": false }));
        let answer = server.send(ALICE, "POST", &path, many(100)).await.ok();
        assert_eq!(numbers(&answer), (1..=100).collect::<Vec<_>>());
        for (user, path) in [(BOB, &*path), (ALICE, "/v3/sessions/none/messages")] {
            let answer = server.send(user, "POST", path, many(1)).await;
            answer.is_error(404, &["Session not found"]);
            server.get(user, path).await.is_error(404, &["Session not found"]);
        }
        server.stop().await;
    }

    async fn pages_go_up_from_a_number_and_down_from_one(server) {
        let id = server.session_id(ALICE, "t").await;
        let path = format!("/v3/sessions/{id}/messages");
        let body = json!({ "messages": (1..=7).map(|n| text("x", &n.to_string())).collect::<Vec<_>>() });
        server.send(ALICE, "POST", &path, body).await.ok();
        for (query, expected, has_more) in [
            ("", &[1, 2, 3, 4, 5, 6, 7][..], false),
            ("after_seq=0&limit=3", &[1, 2, 3], true),
            ("after_seq=3&limit=4", &[4, 5, 6, 7], false),
            ("after_seq=7", &[], false),
            ("before_seq=8&limit=3", &[7, 6, 5], true),
            ("before_seq=4", &[3, 2, 1], false),
            ("before_seq=1", &[], false),
        ] {
            let page = server.get(ALICE, &format!("{path}?{query}")).await.ok();
            assert_eq!((&*numbers(&page), &page["hasMore"]), (expected, &json!(has_more)), "{query}");
        }
        let page = server.get(ALICE, &format!("{path}?limit=1")).await.ok();
        let message = &page["messages"][0];
        let keys: Vec<_> = message.as_object().unwrap().keys().collect();
        assert_eq!(keys, ["content", "createdAt", "id", "localId", "seq", "updatedAt"]);
        for bad in [
            "after_seq=1&before_seq=2", "after_seq=-1", "before_seq=x", "limit=0", "limit=501",
        ] {
            server.get(ALICE, &format!("{path}?{bad}")).await.is_invalid(&[]);
        }
        server.stop().await;
    }
}

#[actix_rt::test]
async fn a_page_of_large_messages_ends_early() {
    let server = TestServer::start(&[]).await;
    let id = server.session_id(ALICE, "t").await;
    let path = format!("/v3/sessions/{id}/messages");
    let large = "x".repeat(9 << 20);
    for local_id in ["a", "b", "c"] {
        // Larger than other requests may be together with what surrounds it, and than messages of
        // the older endpoint.
        let body =
            json!({ "messages": [text(&large, local_id), text(&large, &format!("{local_id}2"))] });
        server.send(ALICE, "POST", &path, body).await.ok();
    }
    let (mut after, mut pages, mut seen) = (0, 0, Vec::new());
    loop {
        let page = server
            .get(ALICE, &format!("{path}?after_seq={after}"))
            .await
            .ok();
        let mut numbers = numbers(&page);
        assert!((1..=2).contains(&numbers.len()), "{numbers:?}");
        seen.append(&mut numbers);
        after = *seen.last().unwrap();
        pages += 1;
        if page["hasMore"] == false {
            break;
        }
    }
    assert_eq!((seen, pages), (vec![1, 2, 3, 4, 5, 6], 3));
    server.stop().await;
}

#[actix_rt::test]
async fn only_batches_may_be_larger_than_other_bodies() {
    let flags = [("http.body", "1KiB"), ("http.messages_body", "4KiB")];
    let server = TestServer::start(&flags).await;
    let id = server.session_id(ALICE, "t").await;
    let path = format!("/v3/sessions/{id}/messages");
    let body = |length| json!({ "messages": [text(&"x".repeat(length), "a")] });
    server.send(ALICE, "POST", &path, body(3000)).await.ok();
    let answer = server.send(ALICE, "POST", &path, body(5000)).await;
    assert_eq!(
        (answer.status, &answer.json["maxSize"]),
        (413, &json!(4096))
    );
    let other = format!("/v1/sessions/{id}/messages");
    let answer = server
        .send(
            ALICE,
            "POST",
            &other,
            json!({ "content": "x".repeat(3000) }),
        )
        .await;
    assert_eq!(
        (answer.status, &answer.json["maxSize"]),
        (413, &json!(1024))
    );
    server.stop().await;
}
