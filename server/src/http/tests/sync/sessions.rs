//! Section 4, sessions.

use super::*;

on_both_servers! {
    async fn a_session_is_made_once_for_each_tag(server) {
        let mut app = server.connect(ALICE, "").await;
        let mut viewer = server.connect(ALICE, "clientType=session-scoped&sessionId=s").await;
        let body = json!({
            "tag": "t", "metadata": "m", "agentState": null, "dataEncryptionKey": "-_8",
            "unknown": 1,
        });
        let answer = server.send(ALICE, "POST", "/v1/sessions", body.clone()).await.ok();
        let session = &answer["session"];
        let (id, at) = (session["id"].as_str().unwrap(), session["createdAt"].clone());
        assert_eq!(
            answer,
            json!({
                "session": {
                    "id": id, "seq": 0, "createdAt": at, "updatedAt": at, "active": true,
                    "activeAt": at, "metadata": "m", "metadataVersion": 1, "agentState": null,
                    "agentStateVersion": 0, "dataEncryptionKey": "+/8=", "lastMessage": null,
                }
            })
        );
        assert_eq!(id.len(), 32);
        let (seq, update) = app.update().await;
        assert_eq!(seq, 1);
        assert_eq!(
            update,
            json!({
                "t": "new-session", "sid": id, "id": id, "seq": 0, "metadata": "m", "metadataVersion": 1,
                "agentState": null, "agentStateVersion": 0, "dataEncryptionKey": "+/8=",
                "active": true, "activeAt": at, "createdAt": at, "updatedAt": at,
            })
        );
        let again = json!({ "tag": "t", "metadata": "other", "agentState": "s" });
        let again = server.send(ALICE, "POST", "/v1/sessions", again).await.ok();
        assert_eq!(again, answer, "exactly as stored");
        let other = server.send(BOB, "POST", "/v1/sessions", body).await.ok();
        assert_ne!(other["session"]["id"], json!(id), "another account's tags are its own");
        app.has_nothing().await;
        viewer.has_nothing().await;

        let with_state = json!({ "tag": "u", "metadata": "", "agentState": "s" });
        let made = server.send(ALICE, "POST", "/v1/sessions", with_state).await.ok();
        assert_eq!(made["session"]["agentState"], "s");
        assert_eq!(made["session"]["agentStateVersion"], 1);
        server.stop().await;
    }

    async fn of_many_who_make_one_session_all_get_it(server) {
        let body = json!({ "tag": "t", "metadata": "m" }).to_string();
        let made = (0..10).map(|_| server.as_user(ALICE, "POST", "/v1/sessions", &body));
        let made: Vec<Value> = futures_util::future::join_all(made)
            .await
            .into_iter()
            .map(Answer::ok)
            .collect();
        assert!(made.iter().all(|answer| *answer == made[0]));
        let all = server.get(ALICE, "/v1/sessions").await.ok();
        assert_eq!(all["sessions"].as_array().unwrap().len(), 1);
        server.stop().await;
    }

    async fn bad_sessions_are_refused(server) {
        let long = "x".repeat(500_001);
        let bodies = [
            json!({}),
            json!([]),
            json!({ "tag": "t" }),
            json!({ "metadata": "m" }),
            json!({ "tag": "", "metadata": "m" }),
            json!({ "tag": "x".repeat(257), "metadata": "m" }),
            json!({ "tag": "a\0", "metadata": "m" }),
            json!({ "tag": "t", "metadata": 1 }),
            json!({ "tag": "t", "metadata": long }),
            json!({ "tag": "t", "metadata": "m", "agentState": long }),
            json!({ "tag": "t", "metadata": "m", "agentState": 7 }),
            json!({ "tag": "t", "metadata": "m", "dataEncryptionKey": "?" }),
            json!({ "tag": "t", "metadata": "m", "dataEncryptionKey": "A".repeat(260) }),
        ];
        server.refuses("POST", "/v1/sessions", bodies).await;
        let most = json!({ "tag": "é".repeat(256), "metadata": &long[1..] });
        server.send(ALICE, "POST", "/v1/sessions", most).await.ok();
        let all = server.get(ALICE, "/v1/sessions").await.ok();
        assert_eq!(all["sessions"].as_array().unwrap().len(), 1, "nothing else was stored");
        server.stop().await;
    }

    async fn one_session_is_its_owners(server) {
        let session = server.session(ALICE, "t").await;
        let path = format!("/v1/sessions/{}", session["id"].as_str().unwrap());
        assert_eq!(server.get(ALICE, &path).await.ok(), json!({ "session": session }));
        server.get(BOB, &path).await.is_error(404, &["Session not found"]);
        let delete = server.as_user(BOB, "DELETE", &path, "").await;
        delete.is_error(404, &["Session not found"]);
        server.stop().await;
    }

    async fn deleting_is_for_good_and_told_to_all(server) {
        let id = server.session_id(ALICE, "t").await;
        server.message(ALICE, &id, "c").await;
        let query = format!("clientType=session-scoped&sessionId={id}");
        let mut viewer = server.connect(ALICE, &query).await;
        let mut machine = server.connect(ALICE, "clientType=machine-scoped&machineId=m").await;
        let path = format!("/v1/sessions/{id}");
        let deleted = server.as_user(ALICE, "DELETE", &path, "").await.ok();
        assert_eq!(deleted, json!({ "success": true }));
        for client in [&mut viewer, &mut machine] {
            let (seq, update) = client.update().await;
            assert_eq!((seq, update), (3, json!({ "t": "delete-session", "sid": id })));
        }
        server.as_user(ALICE, "DELETE", &path, "").await.is_error(404, &[]);
        server.get(ALICE, &path).await.is_error(404, &[]);
        let messages = format!("{path}/messages");
        server.get(ALICE, &messages).await.is_error(404, &[]);
        server.stop().await;
    }

    async fn lists_have_their_order_and_their_pages(server) {
        let mut ids = Vec::new();
        for number in 0..5 {
            ids.push(server.session_id(ALICE, &number.to_string()).await);
        }
        server.session(BOB, "t").await;
        // The first one is the last that changed.
        let changed_at = server.message(ALICE, &ids[0], "c").await["createdAt"].as_i64().unwrap();
        let names = |answer: &Value| -> Vec<String> {
            let sessions = answer["sessions"].as_array().unwrap();
            sessions.iter().map(|session| session["id"].as_str().unwrap().to_owned()).collect()
        };
        let all = names(&server.get(ALICE, "/v1/sessions").await.ok());
        assert_eq!((all.len(), &all[0]), (5, &ids[0]));

        let mut seen = Vec::new();
        let mut path = "/v2/sessions?limit=2".to_owned();
        loop {
            let page = server.get(ALICE, &path).await.ok();
            seen.extend(names(&page));
            match page["nextCursor"].as_str() {
                Some(cursor) => path = format!("/v2/sessions?limit=2&cursor={cursor}"),
                None => break,
            }
        }
        let newest_first: Vec<String> = ids.iter().rev().cloned().collect();
        assert_eq!(seen, newest_first);

        let path = format!("/v2/sessions?changedSince={}", changed_at - 1);
        let changed = names(&server.get(ALICE, &path).await.ok());
        assert!(changed.contains(&ids[0]));
        let path = format!("/v2/sessions?changedSince={}", changed_at + 3_600_000);
        let changed = server.get(ALICE, &path).await.ok();
        assert_eq!(changed, json!({ "sessions": [], "nextCursor": null }));
        for bad in [
            "limit=0", "limit=201", "limit=x", "limit=-1", "cursor=x", "cursor=cursor_v1_",
            "changedSince=0", "changedSince=x", "limit=1&limit=2",
        ] {
            server.get(ALICE, &format!("/v2/sessions?{bad}")).await.is_invalid(&[]);
        }
        server.stop().await;
    }

    async fn active_sessions_run_and_were_heard_of_lately(server) {
        let (first, second) =
            (server.session_id(ALICE, "a").await, server.session_id(ALICE, "b").await);
        let ended = server.session_id(ALICE, "c").await;
        server.message(ALICE, &ended, "c").await;
        let path = format!("/v1/sessions/{ended}/archive");
        let archived = server.send(ALICE, "POST", &path, json!({})).await.ok();
        assert_eq!(archived, json!({ "success": true, "sessionId": ended }));
        let silent = server.session_id(ALICE, "d").await;
        let old = server.state().database.write(async move |tx| {
            sqlx::query("UPDATE sessions SET last_active_at = last_active_at - 900001 WHERE id = $1")
                .bind(silent)
                .execute(tx.connection())
                .await?;
            Ok::<_, crate::database::DatabaseError>(())
        });
        old.await.unwrap();
        let active = server.get(ALICE, "/v2/sessions/active").await.ok();
        let ids: Vec<_> = active["sessions"]
            .as_array()
            .unwrap()
            .iter()
            .map(|session| session["id"].as_str().unwrap())
            .collect();
        assert_eq!(ids, [&*second, &*first]);
        let one = server.get(ALICE, "/v2/sessions/active?limit=1").await.ok();
        assert_eq!(one["sessions"].as_array().unwrap().len(), 1);
        for bad in ["limit=0", "limit=501"] {
            server.get(ALICE, &format!("/v2/sessions/active?{bad}")).await.is_invalid(&[]);
        }
        server.stop().await;
    }

    async fn a_session_is_archived_with_a_reason_and_stopped_without(server) {
        let id = server.session_id(ALICE, "t").await;
        server.message(ALICE, &id, "c").await;
        let (state, archive) = (
            format!("/v1/sessions/{id}/state"),
            format!("/v1/sessions/{id}/archive"),
        );
        let standing = server.get(ALICE, &state).await.ok();
        assert_eq!((&standing["state"], &standing["stoppedAt"]), (&json!("active"), &Value::Null));
        // Repeatable, and never more than that.
        for body in ["", "{}", r#"{"reason":null}"#] {
            server.as_user(ALICE, "POST", &archive, body).await.ok();
        }
        assert_eq!(server.get(ALICE, &state).await.ok()["state"], "stopped");
        server.refuses("POST", &archive, [json!({ "reason": "boredom" }), json!([])]).await;

        let mut machine = server.connect(ALICE, "clientType=machine-scoped&machineId=m").await;
        let body = json!({ "reason": "timeout", "originalError": "e" });
        let archived = server.send(ALICE, "POST", &archive, body.clone()).await.ok();
        assert_eq!((&archived["success"], &archived["sessionId"]), (&json!(true), &json!(id)));
        let (_, update) = machine.update().await;
        let at = update["archivedAt"].clone();
        assert!(archived["archivedAt"].as_str().unwrap().ends_with('Z'));
        assert_eq!(
            update,
            json!({
                "t": "archive-session", "sid": id, "archivedAt": at, "archiveReason": "timeout",
            })
        );
        assert_eq!(server.get(ALICE, &state).await.ok()["state"], "archived");
        server.send(ALICE, "POST", &archive, body.clone()).await.is_invalid(&["archived already"]);
        server.get(BOB, &state).await.is_error(404, &[]);
        server.send(BOB, "POST", &archive, body.clone()).await.is_error(404, &[]);
        // In lists it stays.
        let all = server.get(ALICE, "/v1/sessions").await.ok();
        assert_eq!(all["sessions"][0]["active"], false);

        let empty = server.session_id(ALICE, "u").await;
        let archive = format!("/v1/sessions/{empty}/archive");
        let deleted = server.send(ALICE, "POST", &archive, body).await.ok();
        assert_eq!(deleted, json!({ "success": true, "sessionId": empty, "deleted": true }));
        server.stop().await;
    }
}
