//! Section 7.

use super::*;

on_both_servers! {
    async fn a_key_is_stored_once_and_replaced_by_version(server) {
        let id = server.session_id(ALICE, "t").await;
        server.machine(ALICE, "m").await;
        let path = format!("/v1/access-keys/{id}/m");
        assert_eq!(server.get(ALICE, &path).await.ok(), json!({ "accessKey": null }));
        let body = json!({ "data": "k1" });
        let made = server.send(ALICE, "POST", &path, body.clone()).await.ok();
        let at = made["accessKey"]["createdAt"].clone();
        let key = json!({ "data": "k1", "dataVersion": 1, "createdAt": at, "updatedAt": at });
        assert_eq!(made, json!({ "success": true, "accessKey": key }));
        assert_eq!(server.get(ALICE, &path).await.ok(), json!({ "accessKey": key }));
        server.send(ALICE, "POST", &path, body).await.is_error(409, &["already"]);
        let body = json!({ "data": "k2", "expectedVersion": 1 });
        let written = server.send(ALICE, "PUT", &path, body.clone()).await.ok();
        assert_eq!(written, json!({ "success": true, "version": 2 }));
        let stale = server.send(ALICE, "PUT", &path, body).await.ok();
        assert_eq!(
            stale,
            json!({
                "success": false, "error": "version-mismatch", "currentVersion": 2,
                "currentData": "k2",
            })
        );
        let deleted = server.as_user(ALICE, "DELETE", &format!("/v1/sessions/{id}"), "").await;
        deleted.ok();
        server.get(ALICE, &path).await.is_error(404, &[]);
        server.stop().await;
    }

    async fn a_key_needs_the_callers_session_and_machine(server) {
        let id = server.session_id(ALICE, "t").await;
        server.machine(ALICE, "m").await;
        let good = format!("/v1/access-keys/{id}/m");
        let body = json!({ "data": "k", "expectedVersion": 0 });
        for path in [format!("/v1/access-keys/{id}/other"), "/v1/access-keys/none/m".to_owned()] {
            for method in ["GET", "POST", "PUT"] {
                server.send(ALICE, method, &path, body.clone()).await.is_error(404, &[]);
            }
        }
        server.machine(BOB, "m").await;
        for method in ["GET", "POST", "PUT"] {
            server.send(BOB, method, &good, body.clone()).await.is_error(404, &[]);
        }
        server.send(ALICE, "PUT", &good, body).await.is_error(404, &["Access key not found"]);
        let bodies = [json!({}), json!({ "data": "" }), json!({ "data": 1 })];
        server.refuses("POST", &good, bodies).await;
        let bodies = [
            json!({ "data": "k" }),
            json!({ "data": "", "expectedVersion": 1 }),
            json!({ "data": "k", "expectedVersion": -1 }),
        ];
        server.refuses("PUT", &good, bodies).await;
        assert_eq!(server.get(ALICE, &good).await.ok(), json!({ "accessKey": null }));
        server.stop().await;
    }
}
