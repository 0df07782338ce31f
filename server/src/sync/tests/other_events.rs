//! Sections 5.8 to 5.11.

use super::*;
use crate::sync::access_keys::{self, KeyPath};
use crate::sync::usage;

on_both_databases! {
    async fn an_access_key_is_found_by_its_session_and_machine(test) {
        let api = Api::new(test);
        let sid = api.session(ALICE, "t").await.id;
        api.machine(ALICE, "m").await;
        let ask = json!({ "sessionId": sid, "machineId": "m" });
        let answer = api.send(ALICE, "access-key-get", ask.clone()).await;
        assert_eq!(answer.ack, json!({ "ok": true, "accessKey": null }));
        let path = KeyPath { session: sid.clone(), machine: "m".to_owned() };
        let made = api.change(ALICE, async move |change| {
            access_keys::create(change, &path, "secret").await
        });
        let at = made.await.0.unwrap().created_at;
        let answer = api.send(ALICE, "access-key-get", ask.clone()).await;
        assert_eq!(
            answer.ack,
            json!({
                "ok": true,
                "accessKey": {
                    "data": "secret", "dataVersion": 1, "createdAt": at, "updatedAt": at,
                },
            })
        );
        for bad in [
            json!({}),
            json!({ "sessionId": sid }),
            json!({ "sessionId": sid, "machineId": "other" }),
            json!({ "sessionId": "other", "machineId": "m" }),
        ] {
            api.send(ALICE, "access-key-get", bad).await.is_refused("ok");
        }
        api.send(BOB, "access-key-get", ask).await.is_refused("ok");
        api.close().await;
    }

    async fn a_usage_report_replaces_the_one_with_its_key(test) {
        let api = Api::new(test);
        let sid = api.session(ALICE, "t").await.id;
        let (tokens, cost) = (json!({ "total": 5, "input": 3 }), json!({ "total": 0.25 }));
        let report = json!({
            "key": "k", "sessionId": sid, "tokens": tokens, "cost": cost, "x": 1,
        });
        let first = api.send(ALICE, "usage-report", report.clone()).await;
        assert_eq!(first.ack["success"], true);
        let sent = first.only();
        assert_eq!(sent.filter, Filter::UserScopedOnly);
        let at = sent.body["timestamp"].clone();
        assert_eq!(
            sent.body,
            json!({
                "type": "usage", "sid": sid, "id": sid, "key": "k", "tokens": tokens, "cost": cost,
                "timestamp": at,
            })
        );
        let second = api.send(ALICE, "usage-report", report).await;
        for field in ["reportId", "createdAt"] {
            assert_eq!(second.ack[field], first.ack[field], "{field}");
        }
        // No session is a session of its own, and tells nobody.
        let report = json!({ "key": "k", "tokens": { "total": 1 }, "cost": { "total": 1 } });
        let third = api.send(ALICE, "usage-report", report.clone()).await;
        assert_ne!(third.ack["reportId"], first.ack["reportId"]);
        assert!(third.sent.is_empty());
        let fourth = api.send(ALICE, "usage-report", report.clone()).await;
        assert_eq!(fourth.ack["reportId"], third.ack["reportId"]);
        // Of somebody who has nothing stored yet.
        assert_eq!(api.send(BOB, "usage-report", report).await.ack["success"], true);
        api.close().await;
    }

    async fn bad_usage_is_refused(test) {
        let api = Api::new(test);
        let sid = api.session(ALICE, "t").await.id;
        let good = json!({ "key": "k", "tokens": { "total": 1 }, "cost": { "total": 1 } });
        for (field, value) in [
            ("key", json!("")),
            ("key", json!("x".repeat(65))),
            ("key", json!(1)),
            ("tokens", json!({})),
            ("tokens", json!({ "total": "1" })),
            ("tokens", json!([1])),
            ("cost", Value::Null),
            ("sessionId", json!("unknown")),
        ] {
            let mut data = good.clone();
            data[field] = value;
            api.send(ALICE, "usage-report", data).await.is_refused("success");
        }
        let mut stolen = good.clone();
        stolen["sessionId"] = json!(sid);
        api.send(BOB, "usage-report", stolen).await.is_refused("success");
        // A number that no reader takes would spoil the sums.
        let huge = r#"{"key":"k","tokens":{"total":1,"x":1e999},"cost":{"total":1}}"#;
        let huge = RawValue::from_string(huge.to_owned()).unwrap();
        api.send_raw(ALICE, "usage-report", Some(huge)).await.is_refused("success");
        assert_eq!(api.count("usage_reports").await, 0);
        assert_eq!((api.seq(ALICE).await, api.seq(BOB).await), (1, 0));
        // Exactly the limit is taken.
        let mut most = good.clone();
        most["key"] = json!("é".repeat(64));
        assert_eq!(api.send(ALICE, "usage-report", most).await.ack["success"], true);
        assert_eq!(api.count("usage_reports").await, 1);
        api.close().await;
    }

    async fn limits_are_kept_as_they_were_told(test) {
        let api = Api::new(test);
        for bad in [
            json!({}),
            json!({ "limitsAvailable": true }),
            json!({ "limitsAvailable": 1, "weeklyLimits": [] }),
            json!({ "limitsAvailable": true, "weeklyLimits": {} }),
        ] {
            api.send(ALICE, "update-usage-limits", bad).await.is_refused("success");
        }
        assert_eq!(api.count("usage_limits").await, 0);
        let limits = json!({
            "limitsAvailable": true, "provider": "p",
            "weeklyLimits": [{ "id": "w", "percentageUsed": 12.5 }],
        });
        let answer = api.send(ALICE, "update-usage-limits", limits.clone()).await;
        assert_eq!(answer.ack, json!({ "success": true }));
        assert!(answer.sent.is_empty());
        let test = api.test.reopen().await;
        let stored = test.database.read(async |reader: &mut Reader| usage::limits(reader, ALICE).await);
        let (stored, at) = stored.await.unwrap().unwrap();
        assert_eq!(serde_json::from_str::<Value>(&stored).unwrap(), limits);
        assert!(at <= now());
        test.database.close().await;
    }

    async fn relays_pass_all_their_fields_on(test) {
        let api = Api::new(test);
        let sid = api.session(ALICE, "t").await.id;
        let sid = sid.as_str();
        let session = Filter::AllInterestedInSession(sid.into());
        let others = Filter::Exclude(api.sender);
        for (event, fields, filter, except) in [
            (
                "acp-session-update",
                json!({ "update": "u" }),
                session,
                Some(api.sender),
            ),
            (
                "acp-permission-request",
                json!({ "requestId": "r", "payload": "p", "timeoutMs": 5 }),
                Filter::UserScopedOnly,
                None,
            ),
            (
                "acp-permission-response",
                json!({ "requestId": "r", "payload": "p" }),
                others.clone(),
                None,
            ),
            (
                "acp-session-command",
                json!({ "command": "c", "payload": "p", "requestId": "r", "more": [1] }),
                others,
                None,
            ),
            (
                "acp-session-list-response",
                json!({ "payload": "p" }),
                Filter::UserScopedOnly,
                None,
            ),
            (
                "acp-session-command-response",
                json!({ "command": "c", "payload": "p", "requestId": "r", "success": true }),
                Filter::UserScopedOnly,
                None,
            ),
        ] {
            let mut data = fields.clone();
            data["sid"] = json!(sid);
            let answer = api.send(ALICE, event, data.clone()).await;
            assert_eq!(answer.ack, json!({ "ok": true }), "{event}");
            let sent = answer.only();
            assert_eq!((&sent.filter, sent.except), (&filter, except), "{event}");
            assert!(sent.is_ephemeral);
            let mut body = data.clone();
            body["type"] = json!(event);
            assert_eq!(sent.body, body);
            for (field, bad) in fields
                .as_object()
                .unwrap()
                .keys()
                .filter(|name| ["update", "payload", "command"].contains(&name.as_str()))
                .flat_map(|name| [json!(""), json!(1), json!("x".repeat(1_000_001))].map(|bad| (name, bad)))
            {
                let mut data = data.clone();
                data[field] = bad;
                api.send(ALICE, event, data).await.is_refused("ok");
            }
            api.send(BOB, event, data).await.is_refused("ok");
            api.send(ALICE, event, fields).await.is_refused("ok");
        }
        assert_eq!(api.seq(ALICE).await, 1, "ephemerals have no number");
        api.close().await;
    }
}
