//! Section 5.7.

use super::*;

on_both_databases! {
    async fn an_artifact_is_made_once_and_read(test) {
        let api = Api::new(test);
        // Of the other alphabet, and without padding.
        let data = json!({
            "id": "a:1", "header": "-_8", "body": "Yg", "dataEncryptionKey": "aw==",
        });
        let answer = api.send(ALICE, "artifact-create", data.clone()).await;
        let at = answer.ack["artifact"]["createdAt"].clone();
        let expected = json!({
            "result": "success",
            "artifact": {
                "id": "a:1", "header": "+/8=", "headerVersion": 1, "body": "Yg==",
                "bodyVersion": 1, "seq": 0, "createdAt": at, "updatedAt": at,
            },
        });
        assert_eq!(answer.ack, expected);
        assert_eq!(answer.only().filter, Filter::UserScopedOnly);
        assert_eq!(
            answer.only().body,
            json!({
                "t": "new-artifact", "artifactId": "a:1", "seq": 0, "header": "+/8=",
                "headerVersion": 1, "body": "Yg==", "bodyVersion": 1,
                "dataEncryptionKey": "aw==", "createdAt": at, "updatedAt": at,
            })
        );
        let again = api.send(ALICE, "artifact-create", data.clone()).await;
        assert_eq!(again.ack, expected);
        assert!(again.sent.is_empty());
        let read = api.send(ALICE, "artifact-read", json!({ "artifactId": "a:1" })).await;
        assert_eq!(read.ack, expected);
        api.send(BOB, "artifact-create", data).await.is_refused("result");
        let read = json!({ "artifactId": "a:1" });
        api.send(BOB, "artifact-read", read).await.is_refused("result");
        assert_eq!((api.seq(ALICE).await, api.seq(BOB).await), (1, 0));
        api.close().await;
    }

    async fn parts_are_changed_together_or_not_at_all(test) {
        let api = Api::new(test);
        api.artifact(ALICE, "a").await;
        let update = json!({
            "artifactId": "a", "header": { "data": "aDI=", "expectedVersion": 1 },
        });
        let answer = api.send(ALICE, "artifact-update", update).await;
        let expected = json!({ "result": "success", "header": { "version": 2, "data": "aDI=" } });
        assert_eq!(answer.ack, expected);
        assert_eq!(
            answer.only().body,
            json!({
                "t": "update-artifact", "artifactId": "a",
                "header": { "value": "aDI=", "version": 2 },
            })
        );
        let half = json!({
            "artifactId": "a", "header": { "data": "aDM=", "expectedVersion": 1 },
            "body": { "data": "YjI=", "expectedVersion": 1 },
        });
        let answer = api.send(ALICE, "artifact-update", half).await;
        let expected = json!({
            "result": "version-mismatch",
            "header": { "currentVersion": 2, "currentData": "aDI=" },
        });
        assert_eq!(answer.ack, expected);
        assert!(answer.sent.is_empty());
        let both = json!({
            "artifactId": "a", "header": { "data": "aDM=", "expectedVersion": 2 },
            "body": { "data": "YjI=", "expectedVersion": 1 },
        });
        let answer = api.send(ALICE, "artifact-update", both).await;
        assert_eq!(answer.ack["header"], json!({ "version": 3, "data": "aDM=" }));
        assert_eq!(answer.ack["body"], json!({ "version": 2, "data": "YjI=" }));
        let read = api.send(ALICE, "artifact-read", json!({ "artifactId": "a" })).await;
        assert_eq!(read.ack["artifact"]["seq"], 2);
        assert_eq!(api.seq(ALICE).await, 3);
        api.close().await;
    }

    async fn an_artifact_is_deleted_for_good(test) {
        let api = Api::new(test);
        api.artifact(ALICE, "a").await;
        let data = json!({ "artifactId": "a" });
        api.send(BOB, "artifact-delete", data.clone()).await.is_refused("result");
        let answer = api.send(ALICE, "artifact-delete", data.clone()).await;
        assert_eq!(answer.ack, json!({ "result": "success" }));
        assert_eq!(answer.only().body, json!({ "t": "delete-artifact", "artifactId": "a" }));
        for event in ["artifact-delete", "artifact-read"] {
            api.send(ALICE, event, data.clone()).await.is_refused("result");
        }
        // The id is free again, for anybody.
        api.artifact(BOB, "a").await;
        api.close().await;
    }

    async fn bad_artifacts_are_refused(test) {
        let api = Api::new(test);
        api.artifact(ALICE, "a").await;
        let good = json!({ "id": "b", "header": "aA==", "body": "aA==", "dataEncryptionKey": "aA==" });
        for (field, value) in [
            ("id", json!("")),
            ("id", json!("a b")),
            ("id", json!("x".repeat(129))),
            ("header", json!("not base64!")),
            ("header", json!("")),
            ("body", json!("")),
            ("dataEncryptionKey", Value::Null),
        ] {
            let mut data = good.clone();
            data[field] = value;
            api.send(ALICE, "artifact-create", data).await.is_refused("result");
        }
        let part = json!({ "data": "aA==", "expectedVersion": 1 });
        for data in [
            json!({ "artifactId": "a" }),
            json!({ "artifactId": "a", "header": { "data": "aA==" } }),
            json!({ "artifactId": "a", "header": { "data": "", "expectedVersion": 1 } }),
            json!({ "artifactId": "none", "header": part }),
        ] {
            api.send(ALICE, "artifact-update", data).await.is_refused("result");
        }
        assert_eq!(api.seq(ALICE).await, 1);
        assert_eq!(api.count("artifacts").await, 1);
        let read = api.send(ALICE, "artifact-read", json!({ "artifactId": "a" })).await;
        assert_eq!(read.ack["artifact"]["headerVersion"], 1);
        api.close().await;
    }
}
