//! Section 6.

use std::cmp::Reverse;
use std::collections::BTreeSet;

use super::*;

fn artifact(id: &str) -> Value {
    json!({ "id": id, "header": "aDE=", "body": "YjE=", "dataEncryptionKey": "aw==" })
}

on_both_servers! {
    async fn an_artifact_is_made_once(server) {
        let mut app = server.connect(ALICE, "").await;
        let answer = server.send(ALICE, "POST", "/v1/artifacts", artifact("a_1")).await.ok();
        let at = answer["artifact"]["createdAt"].clone();
        assert_eq!(
            answer,
            json!({
                "artifact": {
                    "id": "a_1", "header": "aDE=", "headerVersion": 1,
                    "dataEncryptionKey": "aw==", "seq": 0, "createdAt": at, "updatedAt": at,
                    "body": "YjE=", "bodyVersion": 1,
                }
            })
        );
        assert_eq!(app.update().await.1["t"], "new-artifact");
        let mut again = artifact("a_1");
        again["header"] = json!("aDI=");
        assert_eq!(server.send(ALICE, "POST", "/v1/artifacts", again).await.ok(), answer);
        assert_eq!(server.get(ALICE, "/v1/artifacts/a_1").await.ok(), answer);
        app.has_nothing().await;
        let taken = server.send(BOB, "POST", "/v1/artifacts", artifact("a_1")).await;
        taken.is_error(409, &["taken"]);
        server.get(BOB, "/v1/artifacts/a_1").await.is_error(404, &["Artifact not found"]);
        server.stop().await;
    }

    async fn bad_artifacts_are_refused(server) {
        let bodies = [
            ("id", json!("")), ("id", json!("a b")), ("id", json!("x".repeat(129))),
            ("header", json!("")), ("header", json!("?")), ("body", json!("")),
            ("body", Value::Null), ("dataEncryptionKey", json!("")),
        ];
        let bodies = bodies.into_iter().map(|(field, value)| {
            let mut body = artifact("a");
            body[field] = value;
            body
        });
        server.refuses("POST", "/v1/artifacts", bodies).await;
        let none = server.get(ALICE, "/v1/artifacts").await.ok();
        assert_eq!(none, json!({ "artifacts": [], "maxSeq": 0 }));
        let made = server.send(ALICE, "POST", "/v1/artifacts", artifact("a")).await.ok();
        let bodies = [
            json!({}),
            json!({ "header": "aDI=" }),
            json!({ "expectedHeaderVersion": 1 }),
            json!({ "header": "aDI=", "expectedHeaderVersion": 1, "body": "YjI=" }),
            json!({ "header": "aDI=", "expectedHeaderVersion": -1 }),
            json!({ "header": "?", "expectedHeaderVersion": 1 }),
        ];
        server.refuses("POST", "/v1/artifacts/a", bodies).await;
        assert_eq!(server.get(ALICE, "/v1/artifacts/a").await.ok(), made);
        server.stop().await;
    }

    async fn parts_are_changed_together_or_not_at_all(server) {
        server.send(ALICE, "POST", "/v1/artifacts", artifact("a")).await.ok();
        let mut app = server.connect(ALICE, "").await;
        let path = "/v1/artifacts/a";
        let body = json!({ "header": "aDI=", "expectedHeaderVersion": 1 });
        let answer = server.send(ALICE, "POST", path, body).await.ok();
        assert_eq!(answer, json!({ "success": true, "headerVersion": 2 }));
        assert_eq!(
            app.update().await.1,
            json!({
                "t": "update-artifact", "artifactId": "a",
                "header": { "value": "aDI=", "version": 2 },
            })
        );
        let body = json!({
            "header": "aDM=", "expectedHeaderVersion": 1, "body": "YjI=", "expectedBodyVersion": 1,
        });
        let answer = server.send(ALICE, "POST", path, body).await.ok();
        assert_eq!(
            answer,
            json!({
                "success": false, "error": "version-mismatch", "currentHeaderVersion": 2,
                "currentHeader": "aDI=",
            })
        );
        let body = json!({
            "header": "aDM=", "expectedHeaderVersion": 2, "body": "YjI=", "expectedBodyVersion": 1,
        });
        let answer = server.send(ALICE, "POST", path, body.clone()).await.ok();
        assert_eq!(answer, json!({ "success": true, "headerVersion": 3, "bodyVersion": 2 }));
        app.update().await;
        app.has_nothing().await;
        assert_eq!(server.get(ALICE, path).await.ok()["artifact"]["seq"], 2);
        server.send(BOB, "POST", path, body.clone()).await.is_error(404, &[]);
        server.send(ALICE, "POST", "/v1/artifacts/none", body).await.is_error(404, &[]);
        server.stop().await;
    }

    async fn of_two_who_change_one_version_one_wins(server) {
        server.send(ALICE, "POST", "/v1/artifacts", artifact("a")).await.ok();
        let writes = ["aDI=", "aDM=", "aDQ=", "aDU="].map(|header| {
            let body = json!({ "header": header, "expectedHeaderVersion": 1 });
            server.send(ALICE, "POST", "/v1/artifacts/a", body)
        });
        let answers = futures_util::future::join_all(writes).await;
        let won = answers.into_iter().map(Answer::ok).filter(|answer| answer["success"] == true);
        assert_eq!(won.count(), 1);
        server.stop().await;
    }

    async fn lists_leave_bodies_out_and_begin_where_a_client_left_off(server) {
        let empty = server.get(ALICE, "/v1/artifacts").await.ok();
        assert_eq!(empty, json!({ "artifacts": [], "maxSeq": 0 }));
        for id in ["a", "b", "c"] {
            server.send(ALICE, "POST", "/v1/artifacts", artifact(id)).await.ok();
        }
        let ids = |answer: &Value| -> Vec<String> {
            let artifacts = answer["artifacts"].as_array().unwrap();
            artifacts.iter().map(|artifact| artifact["id"].as_str().unwrap().to_owned()).collect()
        };
        let all = server.get(ALICE, "/v1/artifacts").await.ok();
        assert_eq!((all["artifacts"].as_array().unwrap().len(), &all["maxSeq"]), (3, &json!(3)));
        assert!(all["artifacts"][0].get("body").is_none());
        let body = json!({ "body": "YjI=", "expectedBodyVersion": 1 });
        server.send(ALICE, "POST", "/v1/artifacts/a", body).await.ok();
        let since = server.get(ALICE, "/v1/artifacts?sinceSeq=2").await.ok();
        assert_eq!((ids(&since), &since["maxSeq"]), (vec!["a".into(), "c".into()], &json!(4)));
        let since = server.get(ALICE, "/v1/artifacts?sinceSeq=4").await.ok();
        assert_eq!(since, json!({ "artifacts": [], "maxSeq": 4 }));
        let one = server.get(ALICE, "/v1/artifacts?limit=1&sinceSeq=0").await.ok();
        assert_eq!(ids(&one), ["a"]);
        for bad in ["limit=0", "limit=1001", "sinceSeq=-1", "sinceSeq=x"] {
            server.get(ALICE, &format!("/v1/artifacts?{bad}")).await.is_invalid(&[]);
        }
        server.stop().await;
    }

    async fn a_list_without_a_limit_is_whole_however_long_it_is(server) {
        server.send(ALICE, "POST", "/v1/artifacts", artifact("a")).await.ok();
        let mut made = 1;
        // Less than a page, a page, two pages, more than two.
        for count in [999, 1000, 2000, 2345] {
            let filled = server.state().database.write(async move |tx| {
                // Many have the same time.
                let query = format!(
                    "WITH RECURSIVE n(i) AS (SELECT {made} + 1 UNION ALL SELECT i + 1 FROM n \
                     WHERE i < {count}) INSERT INTO artifacts (id, account_id, header_version, \
                     body_version, change_seq, create_seq, created_at, updated_at, \
                     data_encryption_key, header, body) SELECT 'a' || i, account_id, 1, 1, i, i, \
                     created_at, updated_at + i / 400, data_encryption_key, header, body \
                     FROM n, artifacts WHERE id = 'a'"
                );
                let query = sqlx::query(sqlx::AssertSqlSafe(query));
                query.execute(tx.connection()).await?;
                Ok::<_, crate::database::DatabaseError>(())
            });
            filled.await.unwrap();
            made = count;
            for (query, length) in [("", count), ("?sinceSeq=0", count), ("?sinceSeq=5", count - 5)] {
                let answer = server.get(ALICE, &format!("/v1/artifacts{query}")).await;
                assert_eq!(answer.header("content-type"), Some("application/json"));
                let list = answer.ok();
                assert_eq!(list["maxSeq"], count, "{query}");
                let artifacts = list["artifacts"].as_array().unwrap();
                assert_eq!(artifacts.len(), usize::try_from(length).unwrap(), "{query}");
                let ids: BTreeSet<_> = artifacts.iter().map(|one| one["id"].as_str()).collect();
                assert_eq!(ids.len(), artifacts.len(), "{query}: none comes twice");
                let times = artifacts.iter().map(|one| Reverse(one["updatedAt"].as_i64()));
                assert!(times.is_sorted(), "{query}");
            }
        }
        let none = server.get(BOB, "/v1/artifacts").await.ok();
        assert_eq!(none, json!({ "artifacts": [], "maxSeq": 0 }));
        server.stop().await;
    }

    async fn deleting_is_for_good(server) {
        server.send(ALICE, "POST", "/v1/artifacts", artifact("a")).await.ok();
        let mut app = server.connect(ALICE, "").await;
        server.as_user(BOB, "DELETE", "/v1/artifacts/a", "").await.is_error(404, &[]);
        let deleted = server.as_user(ALICE, "DELETE", "/v1/artifacts/a", "").await.ok();
        assert_eq!(deleted, json!({ "success": true }));
        let update = json!({ "t": "delete-artifact", "artifactId": "a" });
        assert_eq!(app.update().await.1, update);
        server.as_user(ALICE, "DELETE", "/v1/artifacts/a", "").await.is_error(404, &[]);
        server.stop().await;
    }
}
