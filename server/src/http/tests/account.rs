use serde_json::{Value, json};

use super::server::{TestServer, on_both_servers};

const ACCOUNT: &str = "/v1/account";
const PREFERENCES: &str = "/v1/account/preferences";

on_both_servers! {
    async fn a_profile_is_empty_at_first_and_changed_field_by_field(server) {
        let mut other = server.connect("alice", "").await;
        let get = async |path: &str| {
            let mut profile = server.as_user("alice", "GET", path, "").await.ok();
            assert!(profile["timestamp"].take().is_u64());
            profile
        };
        let profile = |first: Value, last: Value, username: Value| {
            json!({"id": "alice", "timestamp": null, "firstName": first, "lastName": last,
                   "username": username, "github": null, "connectedServices": []})
        };
        let put = async |body: Value| {
            let answer = server
                .as_user("alice", "PUT", ACCOUNT, &body.to_string())
                .await
                .ok();
            assert_eq!(answer["success"], true);
        };
        assert_eq!(
            get(ACCOUNT).await,
            profile(Value::Null, Value::Null, Value::Null)
        );
        put(json!({"firstName": "Alice", "lastName": "L", "username": "alice_1"})).await;
        let update = other.json().await;
        let body = &update["data"]["body"];
        assert_eq!(
            (&update["event"], &body["t"]),
            (&json!("update"), &json!("update-account"))
        );
        assert_eq!(
            (&body["firstName"], &body["lastName"]),
            (&json!("Alice"), &json!("L"))
        );
        assert_eq!(
            get("/v1/account/profile").await,
            profile("Alice".into(), "L".into(), "alice_1".into())
        );
        // Absent and null leave a field; null removes a last name.
        put(json!({"firstName": null, "lastName": null, "username": null})).await;
        assert_eq!(
            get(ACCOUNT).await,
            profile("Alice".into(), Value::Null, "alice_1".into())
        );
        put(json!({})).await;
        let update = other.json().await;
        let second = update["data"]["seq"].as_u64().unwrap();
        assert_eq!(
            (&update["data"]["body"]["lastName"], second),
            (&Value::Null, 2)
        );
        // Nothing was changed, so nobody is told.
        other.has_nothing().await;
        let taken = json!({"username": "alice_1", "firstName": "Bob"}).to_string();
        let answer = server.as_user("bob", "PUT", ACCOUNT, &taken).await;
        answer.is_error(409, &["username-taken"]);
        assert_eq!(answer.json["success"], false);
        let bob = server.as_user("bob", "GET", ACCOUNT, "").await.ok();
        assert_eq!(
            bob["firstName"],
            Value::Null,
            "nothing of a refused change is stored"
        );
        let other_case = json!({"username": "Alice_1"}).to_string();
        server
            .as_user("bob", "PUT", ACCOUNT, &other_case)
            .await
            .ok();
        server.stop().await;
    }

    async fn fields_of_a_profile_have_bounds(server) {
        for (field, value) in [
            ("firstName", json!("")),
            ("firstName", json!("x".repeat(101))),
            ("firstName", json!("a\0")),
            ("firstName", json!(5)),
            ("lastName", json!("x".repeat(101))),
            ("username", json!("ab")),
            ("username", json!("x".repeat(51))),
            ("username", json!("a b")),
            ("username", json!("äöü")),
            ("username", json!("")),
        ] {
            let body = json!({field: value}).to_string();
            let answer = server.as_user("alice", "PUT", ACCOUNT, &body).await;
            answer.is_invalid(&[field]);
        }
        let profile = server.as_user("alice", "GET", ACCOUNT, "").await.ok();
        for field in ["firstName", "lastName", "username"] {
            assert_eq!(profile[field], Value::Null, "{field}");
        }
        let body = json!({"firstName": "é".repeat(100), "lastName": ""}).to_string();
        server.as_user("alice", "PUT", ACCOUNT, &body).await.ok();
        server.stop().await;
    }

    async fn preferences_are_replaced_by_version_alone(server) {
        let mut other = server.connect("alice", "").await;
        let get = async |path: &str| server.as_user("alice", "GET", path, "").await.ok();
        let put = async |settings: Value, version: i64| {
            let body = json!({"settings": settings, "expectedVersion": version}).to_string();
            server
                .as_user("alice", "PUT", PREFERENCES, &body)
                .await
                .ok()
        };
        assert_eq!(
            get(PREFERENCES).await,
            json!({"settings": null, "settingsVersion": 0})
        );
        assert_eq!(
            put(json!("a"), 0).await,
            json!({"success": true, "version": 1})
        );
        let update = other.json().await;
        let body = json!({"t": "update-account", "id": "alice",
                          "settings": {"value": "a", "version": 1}});
        assert_eq!(update["data"]["body"], body);
        let mismatch = json!({"success": false, "error": "version-mismatch", "currentVersion": 1,
                              "currentSettings": "a"});
        assert_eq!(put(json!("b"), 0).await, mismatch);
        assert_eq!(put(json!("b"), 2).await, mismatch);
        let body = json!({"settings": null, "expectedVersion": 1}).to_string();
        let written = server
            .as_user("alice", "POST", "/v1/account/settings", &body)
            .await
            .ok();
        assert_eq!(written, json!({"success": true, "version": 2}));
        assert_eq!(
            get("/v1/account/settings").await,
            json!({"settings": null, "settingsVersion": 2})
        );
        // Of those who race with one version, one wins.
        let (a, b) = tokio::join!(put(json!("a"), 2), put(json!("b"), 2));
        let won = [&a, &b]
            .iter()
            .filter(|answer| answer["success"] == true)
            .count();
        assert_eq!(won, 1, "{a} {b}");
        for body in [
            json!({"expectedVersion": 3}),
            json!({"settings": "a"}),
            json!({"settings": "a", "expectedVersion": -1}),
            json!({"settings": 5, "expectedVersion": 3}),
            json!({"settings": "a\0", "expectedVersion": 3}),
            json!({"settings": "x".repeat(500_001), "expectedVersion": 3}),
        ] {
            let answer = server
                .as_user("alice", "PUT", PREFERENCES, &body.to_string())
                .await;
            answer.is_invalid(&[]);
        }
        assert_eq!(get(PREFERENCES).await["settingsVersion"], 3);
        let longest = put(json!("x".repeat(500_000)), 3).await;
        assert_eq!(longest, json!({"success": true, "version": 4}));
        server.stop().await;
    }
}
