//! Sections 5.2 (sessions), 5.3 and 5.4.

use dormouse_shard::mount::MountId;

use super::*;

on_both_databases! {
    async fn metadata_is_written_by_version(test) {
        let api = Api::new(test);
        let session = api.session(ALICE, "t").await;
        let sid = session.id.as_str();
        let write = json!({ "sid": sid, "metadata": "m2", "expectedVersion": 1, "extra": [] });
        let answer = api.send(ALICE, "update-metadata", write.clone()).await;
        assert_eq!(
            answer.ack,
            json!({ "result": "success", "version": 2, "metadata": "m2" })
        );
        let sent = answer.only();
        assert_eq!(sent.filter, Filter::AllInterestedInSession(sid.into()));
        assert_eq!((sent.except, sent.seq), (None, Some(2)));
        assert_eq!(
            sent.body,
            json!({
                "t": "update-session", "sid": sid, "id": sid,
                "metadata": { "value": "m2", "version": 2 },
            })
        );
        let (stored, change_seq) = api.stored_session(ALICE, sid).await.unwrap();
        assert_eq!((stored.metadata.as_str(), stored.metadata_version), ("m2", 2));
        assert_eq!(change_seq, 2);
        assert!(stored.updated_at >= session.updated_at);

        let answer = api.send(ALICE, "update-metadata", write).await;
        assert_eq!(
            answer.ack,
            json!({ "result": "version-mismatch", "version": 2, "metadata": "m2" })
        );
        assert!(answer.sent.is_empty());
        assert_eq!(api.seq(ALICE).await, 2, "a mismatch consumes no number");
        api.close().await;
    }

    async fn a_state_of_null_counts_as_a_version(test) {
        let api = Api::new(test);
        let sid = api.session(ALICE, "t").await.id;
        for (version, state) in [(1, json!("s1")), (2, Value::Null), (3, json!("s3"))] {
            let write = json!({ "sid": sid, "agentState": state, "expectedVersion": version - 1 });
            let answer = api.send(ALICE, "update-state", write).await;
            assert_eq!(
                answer.ack,
                json!({ "result": "success", "version": version, "agentState": state })
            );
            assert_eq!(
                answer.only().body["agentState"],
                json!({ "value": state, "version": version })
            );
        }
        let stale = json!({ "sid": sid, "agentState": "x", "expectedVersion": 0 });
        let answer = api.send(ALICE, "update-state", stale).await;
        assert_eq!(
            answer.ack,
            json!({ "result": "version-mismatch", "version": 3, "agentState": "s3" })
        );
        api.close().await;
    }

    async fn of_two_writers_of_one_version_one_wins(test) {
        let api = Api::new(test);
        let sid = api.session(ALICE, "t").await.id;
        let writes = (0..8).map(|writer| {
            let write = json!({
                "sid": sid, "metadata": format!("w{writer}"), "expectedVersion": 1,
            });
            let data = Some(to_raw_value(&write).unwrap());
            let request = api.request(ALICE, "update-metadata", data);
            match api.application.handle(request) {
                EventReply::Later(outcome) => outcome,
                _ => unreachable!("it is written"),
            }
        });
        let outcomes = futures_util::future::join_all(writes).await;
        assert!(outcomes.iter().all(|outcome| outcome.ack.is_none()));
        let acks: Vec<Value> = api
            .test
            .published
            .take()
            .into_iter()
            .map(|(_, publication)| {
                serde_json::from_str(&publication.ack.unwrap().value).unwrap()
            })
            .collect();
        // The first in the queue; the others are told what it wrote.
        assert_eq!(acks.len(), 8);
        assert_eq!(acks[0]["result"], "success");
        for ack in &acks[1..] {
            let expected = json!({
                "result": "version-mismatch", "version": 2, "metadata": acks[0]["metadata"],
            });
            assert_eq!(*ack, expected);
        }
        assert_eq!(api.seq(ALICE).await, 2);
        api.close().await;
    }

    async fn bad_writes_and_strangers_get_errors_and_store_nothing(test) {
        let api = Api::new(test);
        let session = api.session(ALICE, "t").await;
        let sid = session.id.as_str();
        let long = "x".repeat(500_001);
        for (event, data) in [
            ("update-metadata", json!({})),
            ("update-metadata", json!([sid, "m", 1])),
            ("update-metadata", json!("text")),
            ("update-metadata", json!({ "sid": sid, "metadata": 5, "expectedVersion": 1 })),
            ("update-metadata", json!({ "sid": sid, "metadata": "m", "expectedVersion": "1" })),
            ("update-metadata", json!({ "sid": "", "metadata": "m", "expectedVersion": 1 })),
            ("update-metadata", json!({ "sid": "none", "metadata": "m", "expectedVersion": 1 })),
            ("update-metadata", json!({ "sid": sid, "metadata": long, "expectedVersion": 1 })),
            ("update-metadata", json!({ "sid": sid, "metadata": "a\0", "expectedVersion": 1 })),
            ("update-metadata", json!({ "sid": "a\0", "metadata": "a", "expectedVersion": 1 })),
            ("update-state", json!({ "sid": sid, "expectedVersion": 0 })),
            ("update-state", json!({ "sid": sid, "agentState": long, "expectedVersion": 0 })),
        ] {
            api.send(ALICE, event, data).await.is_refused("result");
        }
        api.send_raw(ALICE, "update-metadata", None).await.is_refused("result");
        let write = json!({ "sid": sid, "metadata": "stolen", "expectedVersion": 1 });
        api.send(BOB, "update-metadata", write).await.is_refused("result");
        let (stored, _) = api.stored_session(ALICE, sid).await.unwrap();
        assert_eq!(stored, session);
        assert_eq!((api.seq(ALICE).await, api.seq(BOB).await), (1, 0));
        // Exactly the limit is taken.
        let most = json!({ "sid": sid, "metadata": &long[1..], "expectedVersion": 1 });
        assert_eq!(api.send(ALICE, "update-metadata", most).await.ack["result"], "success");
        api.close().await;
    }

    async fn signs_of_life_are_told_each_time_and_written_seldom(test) {
        let api = Api::new(test);
        let session = api.session(ALICE, "t").await;
        let sid = session.id.as_str();
        let first = now() - 1000;
        for at in [first, first + 1] {
            let data = json!({ "sid": sid, "time": at, "thinking": true, "mode": "local" });
            let answer = api.send(ALICE, "session-alive", data).await;
            assert_eq!(answer.ack, json!({ "success": true }));
            let sent = answer.only();
            assert!(sent.is_ephemeral);
            assert_eq!(sent.filter, Filter::UserScopedOnly);
            assert_eq!(
                sent.body,
                json!({
                    "type": "activity", "sid": sid, "id": sid, "active": true, "activeAt": at,
                    "thinking": true,
                })
            );
        }
        let (stored, change_seq) = api.stored_session(ALICE, sid).await.unwrap();
        assert_eq!(stored.active_at, first, "the second was not written");
        assert_eq!((stored.updated_at, change_seq), (session.updated_at, 1));
        // Times of the future are now.
        let data = json!({ "sid": sid, "time": now() + 1_000_000 });
        let answer = api.send(ALICE, "session-alive", data).await;
        assert!(answer.only().body["activeAt"].as_i64().unwrap() <= now());
        assert_eq!(answer.only().body["thinking"], false);
        for bad in [
            json!({ "sid": sid }),
            json!({ "time": first }),
            json!({ "sid": sid, "time": "now" }),
            json!({ "sid": sid, "time": now() - 600_001 }),
            json!({ "sid": "unknown", "time": first }),
        ] {
            api.send(ALICE, "session-alive", bad).await.is_refused("success");
        }
        let stranger = json!({ "sid": sid, "time": now() });
        api.send(BOB, "session-alive", stranger).await.is_refused("success");
        api.close().await;
    }

    async fn a_session_that_ended_is_revived_by_a_sign_of_life_but_not_from_the_archive(test) {
        let api = Api::new(test);
        let sid = api.session(ALICE, "t").await.id;
        let alive = json!({ "sid": sid, "time": now() });
        api.send(ALICE, "session-alive", alive.clone()).await;
        api.send(ALICE, "message", json!({ "sid": sid, "message": "c" })).await;
        let at = now();
        let answer = api.send(ALICE, "session-end", json!({ "sid": sid, "time": at })).await;
        assert_eq!(answer.ack, json!({ "success": true, "activeAt": at }));
        assert_eq!(
            answer.only().body,
            json!({
                "type": "activity", "sid": sid, "id": sid, "active": false, "activeAt": at,
                "thinking": false,
            })
        );
        assert!(!api.stored_session(ALICE, &sid).await.unwrap().0.active);
        // What was under way when it ended does not revive it.
        let late = api.send(ALICE, "session-alive", alive.clone()).await;
        assert_eq!(late.ack, json!({ "success": true }));
        assert!(late.sent.is_empty(), "{late:?}");
        assert!(!api.stored_session(ALICE, &sid).await.unwrap().0.active);
        // At once when it was loaded again, although the last one was written less than 30 s ago.
        api.application.forget_session(ALICE, &sid);
        api.send(ALICE, "session-alive", alive.clone()).await;
        assert!(api.stored_session(ALICE, &sid).await.unwrap().0.active);

        let id = sid.clone();
        let archived = api.change(ALICE, async move |change| {
            sessions::archive(change, &id, "user_requested", None).await
        });
        let (archived, sent) = archived.await;
        assert!(matches!(archived, Ok(sessions::Archived::Kept(_))));
        assert_eq!(sent[0].filter, Filter::All);
        assert_eq!(sent[0].body["t"], "archive-session");
        assert_eq!(sent[0].body["archiveReason"], "user_requested");
        api.application.forget_session(ALICE, &sid);
        api.send(ALICE, "session-alive", alive).await.is_refused("success");
        assert!(!api.stored_session(ALICE, &sid).await.unwrap().0.active);
        api.close().await;
    }

    async fn a_session_without_messages_is_deleted_at_its_end(test) {
        let api = Api::new(test);
        let sid = api.session(ALICE, "t").await.id;
        api.machine(ALICE, "m").await;
        let report = json!({
            "key": "k", "sessionId": sid, "tokens": { "total": 1 }, "cost": { "total": 1 },
        });
        api.send(ALICE, "usage-report", report).await;
        for bad in [
            json!({ "sid": sid, "time": now() - 600_001 }),
            json!({ "sid": sid }),
            json!({ "sid": "unknown", "time": now() }),
        ] {
            api.send(ALICE, "session-end", bad).await.is_refused("success");
        }
        let end = json!({ "sid": sid, "time": now() });
        api.send(BOB, "session-end", end.clone()).await.is_refused("success");
        let answer = api.send(ALICE, "session-end", end.clone()).await;
        assert_eq!(answer.ack, json!({ "success": true, "deleted": true }));
        let sent = answer.only();
        assert_eq!(sent.filter, Filter::UserScopedOnly);
        assert_eq!(sent.body, json!({ "t": "delete-session", "sid": sid }));
        assert!(api.stored_session(ALICE, &sid).await.is_err());
        api.send(ALICE, "session-end", end).await.is_refused("success");
        api.close().await;
    }

    async fn no_end_by_socket_io_deletes_a_session(test) {
        let mut api = Api::new(test);
        api.wire = Wire::SocketIo(MountId::of_index(0));
        let sid = api.session(ALICE, "t").await.id;
        let at = now();
        let end = json!({ "sid": sid, "time": at });
        let answer = api.send(ALICE, "session-end", end).await;
        assert_eq!(answer.ack, json!({ "success": true, "activeAt": at }));
        assert_eq!(answer.only().body["active"], false);
        assert!(!api.stored_session(ALICE, &sid).await.unwrap().0.active);
        api.close().await;
    }

    async fn deleting_a_session_takes_all_that_is_its_own(test) {
        let api = Api::new(test);
        let (sid, other) = (api.session(ALICE, "t").await.id, api.session(ALICE, "u").await.id);
        for session in [&sid, &other] {
            api.send(ALICE, "message", json!({ "sid": session, "message": "c" })).await;
            let report = json!({
                "key": "k", "sessionId": session, "tokens": { "total": 1 },
                "cost": { "total": 1 },
            });
            assert_eq!(api.send(ALICE, "usage-report", report).await.ack["success"], true);
        }
        let id = sid.clone();
        let delete = async move |change: &mut Change<'_>| {
            sessions::delete(change, &id, Filter::All).await
        };
        let (deleted, sent) = api.change(ALICE, delete.clone()).await;
        deleted.unwrap();
        assert_eq!(sent[0].filter, Filter::All);
        let (again, sent) = api.change(ALICE, delete).await;
        assert!(matches!(again, Err(SyncError::NotFound(_))) && sent.is_empty());
        let counts = api.test.database.read(async |reader: &mut Reader| {
            let mut counts = Vec::new();
            for table in ["sessions", "messages", "usage_reports", "tombstones"] {
                let count = format!("SELECT COUNT(*) FROM {table}");
                let row = sqlx::query(sqlx::AssertSqlSafe(count)).fetch_one(&mut *reader).await?;
                counts.push(sqlx::Row::get::<i64, _>(&row, 0));
            }
            Ok::<_, DatabaseError>(counts)
        });
        assert_eq!(counts.await.unwrap(), [1, 1, 1, 1]);
        api.close().await;
    }
}
