//! Section 5.12: what a client has missed.

use super::*;

impl Api {
    async fn delta(&self, account: &str, sessions: i64, machines: i64, artifacts: i64) -> Value {
        let seen = json!({ "sessions": sessions, "machines": machines, "artifacts": artifacts });
        let answer = self.send(account, "request-updates-since", seen).await;
        assert!(answer.sent.is_empty());
        answer.ack
    }
}

/// The types of a delta's updates, which are those of their data.
fn types(delta: &Value) -> Vec<&str> {
    let updates = delta["updates"].as_array().unwrap();
    let types = updates.iter().map(|update| {
        assert_eq!(update["type"], update["data"]["t"]);
        assert!(update["createdAt"].is_i64());
        update["type"].as_str().unwrap()
    });
    types.collect()
}

on_both_databases! {
    async fn everything_is_new_to_whoever_has_seen_nothing(test) {
        let api = Api::new(test);
        let empty = json!({
            "success": true, "updates": [],
            "counts": { "sessions": 0, "deletedSessions": 0, "machines": 0, "artifacts": 0 },
        });
        assert_eq!(api.delta(ALICE, 0, 0, 0).await, empty);
        let sid = api.session(ALICE, "t").await.id;
        api.machine(ALICE, "m").await;
        api.artifact(ALICE, "a").await;
        let gone = api.session(ALICE, "u").await.id;
        api.send(ALICE, "session-end", json!({ "sid": gone, "time": now() })).await;
        api.session(BOB, "t").await;
        let delta = api.delta(ALICE, 0, 0, 0).await;
        // Given 0, nobody needs to hear of what is gone.
        assert_eq!(types(&delta), ["new-session", "new-machine", "new-artifact"]);
        let seqs: Vec<_> = (0..3).map(|item| delta["updates"][item]["seq"].clone()).collect();
        // A machine is announced with two numbers.
        assert_eq!(seqs, [1, 3, 4]);
        assert_eq!(delta["updates"][0]["data"]["sid"], json!(sid));
        assert_eq!(
            delta["counts"],
            json!({ "sessions": 1, "deletedSessions": 0, "machines": 1, "artifacts": 1 })
        );
        assert_eq!(api.delta(ALICE, 6, 6, 6).await, empty);
        api.close().await;
    }

    async fn changes_come_in_order_with_what_is_stored_now(test) {
        let api = Api::new(test);
        let (sid, ended) = (api.session(ALICE, "t").await.id, api.session(ALICE, "u").await.id);
        let deleted = api.session(ALICE, "v").await.id;
        api.machine(ALICE, "m").await;
        api.artifact(ALICE, "a").await;
        api.artifact(ALICE, "b").await;
        let seen = api.seq(ALICE).await;
        let write = json!({ "sid": sid, "agentState": "s1", "expectedVersion": 0 });
        api.send(ALICE, "update-state", write).await;
        api.send(ALICE, "message", json!({ "sid": ended, "message": "c" })).await;
        api.send(ALICE, "session-end", json!({ "sid": ended, "time": now() })).await;
        api.send(ALICE, "session-end", json!({ "sid": deleted, "time": now() })).await;
        let write = json!({ "machineId": "m", "daemonState": "d2", "expectedVersion": 1 });
        api.send(ALICE, "machine-update-state", write).await;
        api.send(ALICE, "artifact-delete", json!({ "artifactId": "a" })).await;
        let write = json!({
            "artifactId": "b", "body": { "data": "YjI=", "expectedVersion": 1 },
        });
        api.send(ALICE, "artifact-update", write).await;
        let delta = api.delta(ALICE, seen, seen, seen).await;
        // A session that merely ended is an ordinary change.
        assert_eq!(
            types(&delta),
            [
                "update-session", "update-session", "delete-session", "update-machine",
                "delete-artifact", "update-artifact",
            ]
        );
        let data = |item: usize| delta["updates"][item]["data"].clone();
        assert_eq!(
            data(0),
            json!({
                "t": "update-session", "sid": sid, "id": sid,
                "metadata": { "value": "m1", "version": 1 },
                "agentState": { "value": "s1", "version": 1 },
            })
        );
        assert_eq!(
            data(1),
            json!({
                "t": "update-session", "sid": ended, "id": ended,
                "metadata": { "value": "m1", "version": 1 },
            })
        );
        assert_eq!(data(2), json!({ "t": "delete-session", "sid": deleted }));
        let machine = data(3);
        assert_eq!(machine["active"], true);
        assert_eq!(machine["metadata"], json!({ "value": "m1", "version": 1 }));
        assert_eq!(machine["daemonState"], json!({ "value": "d2", "version": 2 }));
        assert_eq!(
            data(5),
            json!({
                "t": "update-artifact", "artifactId": "b",
                "header": { "value": "aDE=", "version": 1 },
                "body": { "value": "YjI=", "version": 2 },
            })
        );
        assert_eq!(
            delta["counts"],
            json!({ "sessions": 2, "deletedSessions": 1, "machines": 1, "artifacts": 2 })
        );
        api.close().await;
    }

    async fn limits_are_told_by_counts(test) {
        let api = Api::new(test);
        for number in 0..101 {
            api.session(ALICE, &number.to_string()).await;
            api.artifact(ALICE, &number.to_string()).await;
        }
        for number in 0..51 {
            api.machine(ALICE, &number.to_string()).await;
        }
        let counts = |delta: Value| delta["counts"].clone();
        assert_eq!(
            counts(api.delta(ALICE, 0, 0, 0).await),
            json!({ "sessions": 100, "deletedSessions": 0, "machines": 50, "artifacts": 100 })
        );
        let seen = api.seq(ALICE).await;
        for number in 0..101 {
            let id = json!({ "artifactId": number.to_string() });
            api.send(ALICE, "artifact-delete", id).await;
        }
        let delta = api.delta(ALICE, seen, seen, seen).await;
        assert_eq!(delta["updates"][0]["data"]["artifactId"], "0", "the oldest come first");
        assert_eq!(counts(delta)["artifacts"], 100);
        api.close().await;
    }

    async fn large_artifacts_come_without_their_bodies(test) {
        let api = Api::new(test);
        for id in ["a", "b", "c"] {
            let new = NewArtifact {
                id: id.to_owned(),
                header: b"h".to_vec(),
                body: vec![7; 600_000],
                data_encryption_key: b"k".to_vec(),
            };
            let made = api.change(ALICE, async |change| artifacts::create(change, new).await);
            made.await.0.unwrap();
        }
        let delta = api.delta(ALICE, 0, 0, 0).await;
        let has_body: Vec<bool> = delta["updates"]
            .as_array()
            .unwrap()
            .iter()
            .map(|update| !update["data"]["body"].is_null())
            .collect();
        assert_eq!(has_body, [true, true, false]);
        assert_eq!(delta["counts"]["artifacts"], 3);
        api.close().await;
    }

    async fn an_answer_that_no_connection_takes_asks_to_fetch_everything(test) {
        let api = Api::new(test);
        for tag in ["a", "b", "c", "d", "e"] {
            let new = NewSession {
                tag: tag.to_owned(),
                metadata: "x".repeat(500_000),
                agent_state: None,
                data_encryption_key: None,
            };
            let made = api.change(ALICE, async |change| sessions::create(change, new).await);
            made.await.0.unwrap();
        }
        assert_eq!(api.delta(ALICE, 0, 0, 0).await["success"], false);
        api.close().await;
    }

    async fn who_is_older_than_the_tombstones_fetches_everything(test) {
        let api = Api::new(test);
        api.session(ALICE, "t").await;
        let purge = api.test.database.write(async |tx| {
            let purge = sqlx::query("UPDATE accounts SET purged_seq = 10 WHERE id = $1");
            purge.bind(ALICE).execute(tx.connection()).await?;
            Ok::<_, DatabaseError>(())
        });
        purge.await.unwrap();
        for (seen, success) in [([0, 0, 0], true), ([10, 11, 0], true), ([9, 10, 10], false)] {
            let [sessions, machines, artifacts] = seen;
            let delta = api.delta(ALICE, sessions, machines, artifacts).await;
            assert_eq!(delta["success"], success, "{seen:?}");
        }
        for bad in [
            json!({}),
            json!({ "sessions": 1, "machines": 1 }),
            json!({ "sessions": "1", "machines": 1, "artifacts": 1 }),
            json!({ "sessions": -1, "machines": 1, "artifacts": 1 }),
        ] {
            api.send(ALICE, "request-updates-since", bad).await.is_refused("success");
        }
        api.close().await;
    }
}
