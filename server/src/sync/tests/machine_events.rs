//! Sections 5.2 (machines), 5.6 and 9.

use super::*;
use crate::sync::machines;

on_both_databases! {
    async fn machines_are_written_by_version(test) {
        let api = Api::new(test);
        api.machine(ALICE, "m").await;
        let write = json!({ "machineId": "m", "metadata": "m2", "expectedVersion": 1 });
        let answer = api.send(ALICE, "machine-update-metadata", write.clone()).await;
        assert_eq!(answer.ack, json!({ "result": "success", "version": 2, "metadata": "m2" }));
        let sent = answer.only();
        assert_eq!(sent.filter, Filter::MachineScopedOnly("m".into()));
        assert_eq!(
            sent.body,
            json!({
                "t": "update-machine", "machineId": "m",
                "metadata": { "value": "m2", "version": 2 },
            })
        );
        let answer = api.send(ALICE, "machine-update-metadata", write).await;
        let expected = json!({ "result": "version-mismatch", "version": 2, "metadata": "m2" });
        assert_eq!(answer.ack, expected);
        assert!(!api.stored_machine(ALICE, "m").await.active);

        let write = json!({ "machineId": "m", "daemonState": "d2", "expectedVersion": 1 });
        let answer = api.send(ALICE, "machine-update-state", write.clone()).await;
        let expected = json!({ "result": "success", "version": 2, "daemonState": "d2" });
        assert_eq!(answer.ack, expected);
        let body = &answer.only().body;
        assert_eq!(body["daemonState"], json!({ "value": "d2", "version": 2 }));
        let at = body["activeAt"].as_i64().unwrap();
        let answer = api.send(ALICE, "machine-update-state", write).await;
        let expected = json!({ "result": "version-mismatch", "version": 2, "daemonState": "d2" });
        assert_eq!(answer.ack, expected);
        let stored = api.stored_machine(ALICE, "m").await;
        assert_eq!((stored.seq, stored.active, stored.active_at), (2, true, at));
        // Two for its registration.
        assert_eq!(api.seq(ALICE).await, 4);
        api.close().await;
    }

    async fn one_id_may_be_two_accounts_machine(test) {
        let api = Api::new(test);
        api.machine(ALICE, "m").await;
        let write = json!({ "machineId": "m", "metadata": "x", "expectedVersion": 1 });
        api.send(BOB, "machine-update-metadata", write.clone()).await.is_refused("result");
        api.machine(BOB, "m").await;
        let answer = api.send(BOB, "machine-update-metadata", write).await;
        assert_eq!(answer.ack["result"], "success");
        assert_eq!(api.stored_machine(ALICE, "m").await.metadata, "m1");
        api.close().await;
    }

    async fn bad_writes_of_machines_are_refused(test) {
        let api = Api::new(test);
        api.machine(ALICE, "m").await;
        let before = api.stored_machine(ALICE, "m").await;
        let long = "x".repeat(500_001);
        for (event, data) in [
            ("machine-update-metadata", json!({ "machineId": "m", "expectedVersion": 1 })),
            (
                "machine-update-metadata",
                json!({ "machineId": "m", "metadata": long, "expectedVersion": 1 }),
            ),
            (
                "machine-update-metadata",
                json!({ "machineId": "x", "metadata": "m", "expectedVersion": 1 }),
            ),
            (
                "machine-update-metadata",
                json!({ "machineId": "x".repeat(129), "metadata": "m", "expectedVersion": 1 }),
            ),
            (
                "machine-update-state",
                json!({ "machineId": "m", "daemonState": null, "expectedVersion": 1 }),
            ),
            (
                "machine-update-state",
                json!({ "machineId": "m", "daemonState": long, "expectedVersion": 1 }),
            ),
        ] {
            api.send(ALICE, event, data).await.is_refused("result");
        }
        assert_eq!(api.seq(ALICE).await, 2);
        assert_eq!(api.stored_machine(ALICE, "m").await, before);
        // Exactly the limit is taken.
        let most = json!({ "machineId": "m", "daemonState": &long[1..], "expectedVersion": 1 });
        assert_eq!(api.send(ALICE, "machine-update-state", most).await.ack["result"], "success");
        api.close().await;
    }

    async fn a_machine_gives_signs_of_life(test) {
        let api = Api::new(test);
        api.machine(ALICE, "m").await;
        let before = api.stored_machine(ALICE, "m").await;
        let seq = api.seq(ALICE).await;
        let first = now() - 500;
        for at in [first, first + 1] {
            let data = json!({ "machineId": "m", "time": at });
            let answer = api.send(ALICE, "machine-alive", data).await;
            assert_eq!(answer.ack, json!({ "success": true }));
            assert_eq!(answer.only().filter, Filter::UserScopedOnly);
            assert_eq!(
                answer.only().body,
                json!({
                    "type": "machine-activity", "machineId": "m", "id": "m", "active": true, "activeAt": at,
                })
            );
        }
        let stored = api.stored_machine(ALICE, "m").await;
        assert_eq!((stored.active, stored.active_at), (true, first));
        let unchanged = |machine: &machines::Machine| (machine.seq, machine.metadata_version);
        assert_eq!(unchanged(&stored), unchanged(&before));
        assert_eq!(api.seq(ALICE).await, seq, "a sign of life is no change");
        for bad in [
            json!({ "machineId": "m" }),
            json!({ "machineId": "unknown", "time": first }),
            json!({ "machineId": "m", "time": 0 }),
        ] {
            api.send(ALICE, "machine-alive", bad).await.is_refused("success");
        }
        api.close().await;
    }

    async fn presence_is_kept_with_the_machine_and_none_is_present_at_the_start(test) {
        let api = Api::new(test);
        api.machine(ALICE, "m").await;
        api.application.machine_presence(ALICE, "m", true);
        api.application.machine_presence(ALICE, "without a row", true);
        let alive = json!({ "machineId": "m", "time": now() });
        api.send(ALICE, "machine-alive", alive.clone()).await;
        assert!(api.stored_machine(ALICE, "m").await.active);
        api.application.machine_presence(ALICE, "m", false);
        // Queued behind it.
        api.session(ALICE, "t").await;
        assert!(!api.stored_machine(ALICE, "m").await.active);
        api.send(ALICE, "machine-alive", alive).await;
        assert!(api.stored_machine(ALICE, "m").await.active, "though one was written lately");
        let Api { test, .. } = api;
        let api = Api::new(test.reopen().await);
        machines::end_all(&api.test.database).await.unwrap();
        assert!(!api.stored_machine(ALICE, "m").await.active);
        api.close().await;
    }
}
