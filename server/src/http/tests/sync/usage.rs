//! Section 12.

use super::*;

impl TestServer {
    async fn report(&self, session: Option<&str>, key: &str, tokens: Value) {
        let mut socket = self
            .connect(ALICE, "clientType=session-scoped&sessionId=x")
            .await;
        let data = json!({
            "key": key, "sessionId": session, "tokens": tokens, "cost": { "total": 0.5 },
        });
        let request = json!({ "event": "usage-report", "ackId": "1", "data": data });
        socket.say(&request.to_string()).await;
        assert_eq!(socket.json().await["ack"]["success"], true);
    }
}

on_both_servers! {
    async fn reports_are_added_up(server) {
        let id = server.session_id(ALICE, "t").await;
        server.report(Some(&id), "a", json!({ "total": 5, "input": 2 })).await;
        server.report(Some(&id), "b", json!({ "total": 7 })).await;
        server.report(None, "a", json!({ "total": 1 })).await;
        let path = "/v1/usage/query";
        let all = server.send(ALICE, "POST", path, json!({})).await.ok();
        let at = all["usage"][0]["timestamp"].as_i64().unwrap();
        assert_eq!(at % 86_400, 0);
        assert_eq!(
            all,
            json!({
                "usage": [{
                    "timestamp": at, "tokens": { "total": 13, "input": 2 },
                    "cost": { "total": 1.5 }, "reportCount": 3,
                }],
                "groupBy": "day", "totalReports": 3,
            })
        );
        let body = json!({
            "sessionId": id, "groupBy": "hour", "startTime": at, "endTime": at + 2 * 86_400,
        });
        let of_session = server.send(ALICE, "POST", path, body).await.ok();
        assert_eq!(of_session["totalReports"], 2);
        assert_eq!(of_session["usage"][0]["timestamp"].as_i64().unwrap() % 3600, 0);
        let body = json!({ "endTime": at - 1, "sessionId": null });
        let none = server.send(ALICE, "POST", path, body).await.ok();
        assert_eq!(none, json!({ "usage": [], "groupBy": "day", "totalReports": 0 }));
        assert_eq!(server.send(BOB, "POST", path, json!({})).await.ok()["totalReports"], 0);
        let body = json!({ "sessionId": id });
        server.send(BOB, "POST", path, body).await.is_error(404, &["Session not found"]);
        let bodies = [
            json!({ "groupBy": "week" }),
            json!({ "startTime": 0 }),
            json!({ "startTime": -1 }),
            json!({ "endTime": 1.5 }),
            json!({ "sessionId": 1 }),
        ];
        server.refuses("POST", path, bodies).await;
        server.stop().await;
    }

    async fn limits_are_what_a_client_told(server) {
        let path = "/v1/usage/limits";
        let nothing = server.get(ALICE, path).await.ok();
        assert!(nothing["lastUpdatedAt"].is_u64());
        assert_eq!(
            (&nothing["limitsAvailable"], &nothing["weeklyLimits"]),
            (&json!(false), &json!([]))
        );
        let mut socket = server.connect(ALICE, "").await;
        let data = json!({
            "limitsAvailable": true, "provider": "p", "weeklyLimits": [{ "id": "w" }],
        });
        let request = json!({ "event": "update-usage-limits", "ackId": "1", "data": data });
        socket.say(&request.to_string()).await;
        assert_eq!(socket.json().await["ack"], json!({ "success": true }));
        let mut stored = server.get(ALICE, path).await.ok();
        assert!(stored.as_object_mut().unwrap().remove("lastUpdatedAt").unwrap().is_u64());
        assert_eq!(stored, data);
        server.stop().await;
    }
}
