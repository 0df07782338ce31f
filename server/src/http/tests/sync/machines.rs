//! Section 5.

use super::*;

on_both_servers! {
    async fn a_machine_is_registered_once(server) {
        let mut app = server.connect(ALICE, "").await;
        let body = json!({
            "id": "m:1", "metadata": "m", "daemonState": "d", "dataEncryptionKey": "aw==",
        });
        let answer = server.send(ALICE, "POST", "/v1/machines", body.clone()).await.ok();
        let at = answer["machine"]["createdAt"].clone();
        assert_eq!(
            answer,
            json!({
                "machine": {
                    "id": "m:1", "accountId": ALICE, "metadata": "m", "metadataVersion": 1,
                    "daemonState": "d", "daemonStateVersion": 1, "dataEncryptionKey": "aw==",
                    "seq": 0, "active": false, "activeAt": at, "createdAt": at, "updatedAt": at,
                }
            })
        );
        let (seq, update) = app.update().await;
        assert_eq!(seq, 1);
        assert_eq!(
            update,
            json!({
                "t": "new-machine", "machineId": "m:1", "seq": 0, "metadata": "m",
                "metadataVersion": 1, "daemonState": "d", "daemonStateVersion": 1,
                "dataEncryptionKey": "aw==", "active": false, "activeAt": at, "createdAt": at,
                "updatedAt": at,
            })
        );
        let (seq, update) = app.update().await;
        let metadata = json!({ "value": "m", "version": 1 });
        let expected = json!({ "t": "update-machine", "machineId": "m:1", "metadata": metadata });
        assert_eq!((seq, update), (2, expected), "with the metadata once more, for older clients");
        let again = json!({ "id": "m:1", "metadata": "other" });
        assert_eq!(server.send(ALICE, "POST", "/v1/machines", again).await.ok(), answer);
        app.has_nothing().await;
        // Another account on the same computer.
        let other = server.send(BOB, "POST", "/v1/machines", body).await.ok();
        assert_eq!(other["machine"]["accountId"], BOB);
        assert_eq!(server.get(ALICE, "/v1/machines/m:1").await.ok(), answer);
        server.get(ALICE, "/v1/machines/none").await.is_error(404, &["Machine not found"]);
        let bare = server.machine(ALICE, "bare").await;
        assert_eq!((&bare["daemonState"], &bare["daemonStateVersion"]), (&Value::Null, &json!(0)));
        server.stop().await;
    }

    async fn bad_machines_are_refused(server) {
        let long = "x".repeat(500_001);
        let bodies = [
            json!({}),
            json!({ "id": "m" }),
            json!({ "id": "", "metadata": "m" }),
            json!({ "id": "x".repeat(129), "metadata": "m" }),
            json!({ "id": "m", "metadata": long }),
            json!({ "id": "m", "metadata": "m", "daemonState": long }),
            json!({ "id": "m", "metadata": "m", "daemonState": 1 }),
            json!({ "id": "m", "metadata": "m", "dataEncryptionKey": "?" }),
        ];
        server.refuses("POST", "/v1/machines", bodies).await;
        let none = server.get(ALICE, "/v1/machines").await.ok();
        assert_eq!(none, json!({ "machines": [] }));
        let machine = server.machine(ALICE, "m").await;
        let bodies = [
            json!({ "active": "yes" }),
            json!({ "metadata": 1 }),
            json!({ "metadata": long }),
            json!({ "daemonState": long }),
            json!([]),
        ];
        server.refuses("PUT", "/v1/machines/m/status", bodies).await;
        let after = server.get(ALICE, "/v1/machines/m").await.ok();
        assert_eq!(after["machine"], machine);
        server.stop().await;
    }

    async fn a_status_changes_what_it_names(server) {
        server.machine(ALICE, "m").await;
        let mut app = server.connect(ALICE, "").await;
        let path = "/v1/machines/m/status";
        let body = json!({ "active": true, "metadata": "m2", "daemonState": "d1" });
        let machine = server.send(ALICE, "PUT", path, body).await.ok()["machine"].take();
        for (field, expected) in [
            ("active", json!(true)),
            ("metadata", json!("m2")),
            ("metadataVersion", json!(2)),
            ("daemonState", json!("d1")),
            ("daemonStateVersion", json!(1)),
            ("seq", json!(1)),
        ] {
            assert_eq!(machine[field], expected, "{field}");
        }
        assert_eq!(machine["activeAt"], machine["updatedAt"]);
        assert_eq!(
            app.update().await.1,
            json!({
                "t": "update-machine", "machineId": "m",
                "metadata": { "value": "m2", "version": 2 },
                "daemonState": { "value": "d1", "version": 1 },
                "active": true, "activeAt": machine["activeAt"],
            })
        );
        let activity = app.json().await;
        assert_eq!(
            activity["data"],
            json!({
                "type": "machine-activity", "machineId": "m", "id": "m", "active": true,
                "activeAt": machine["activeAt"],
            })
        );
        // An empty status is a sign of life; nothing flips.
        let machine = server.send(ALICE, "PUT", path, json!({})).await.ok()["machine"].take();
        assert_eq!((&machine["metadataVersion"], &machine["active"]), (&json!(2), &json!(true)));
        let update = app.update().await.1;
        assert!(update.get("metadata").is_none() && update.get("daemonState").is_none());
        app.has_nothing().await;
        server.send(BOB, "PUT", path, json!({})).await.is_error(404, &["Machine not found"]);
        server.stop().await;
    }

    async fn lists_show_the_most_recent_first(server) {
        for id in ["a", "b", "c"] {
            server.machine(ALICE, id).await;
        }
        server.machine(BOB, "d").await;
        let body = json!({ "active": true });
        server.send(ALICE, "PUT", "/v1/machines/b/status", body.clone()).await.ok();
        server.send(ALICE, "PUT", "/v1/machines/a/status", body).await.ok();
        // Ties by the id: make the order certain.
        let spread = server.state().database.write(async |tx| {
            for (id, at) in [("a", 3), ("b", 2), ("c", 1)] {
                sqlx::query("UPDATE machines SET last_active_at = $1 WHERE id = $2")
                    .bind(at)
                    .bind(id)
                    .execute(tx.connection())
                    .await?;
            }
            Ok::<_, crate::database::DatabaseError>(())
        });
        spread.await.unwrap();
        for (query, expected) in [
            ("", vec!["a", "b", "c"]),
            ("?limit=2", vec!["a", "b"]),
            ("?activeOnly=true", vec!["a", "b"]),
            ("?activeOnly=false", vec!["a", "b", "c"]),
        ] {
            let list = server.get(ALICE, &format!("/v1/machines{query}")).await.ok();
            let ids: Vec<_> = list["machines"]
                .as_array()
                .unwrap()
                .iter()
                .map(|machine| machine["id"].as_str().unwrap())
                .collect();
            assert_eq!(ids, expected, "{query}");
        }
        for bad in ["limit=0", "limit=201", "limit=x"] {
            server.get(ALICE, &format!("/v1/machines?{bad}")).await.is_invalid(&[]);
        }
        server.stop().await;
    }

    async fn presence_is_kept_with_the_machine(server) {
        server.machine(ALICE, "m").await;
        let mut app = server.connect(ALICE, "").await;
        let machine = server.connect(ALICE, "clientType=machine-scoped&machineId=m").await;
        for _ in 0..2 {
            assert_eq!(app.json().await["event"], "ephemeral");
        }
        // Written behind the frames: a later change waits for it.
        server.session(ALICE, "t").await;
        app.update().await;
        assert_eq!(server.get(ALICE, "/v1/machines/m").await.ok()["machine"]["active"], true);
        drop(machine);
        for _ in 0..2 {
            assert_eq!(app.json().await["event"], "ephemeral");
        }
        server.session(ALICE, "u").await;
        assert_eq!(server.get(ALICE, "/v1/machines/m").await.ok()["machine"]["active"], false);
        server.stop().await;
    }
}
