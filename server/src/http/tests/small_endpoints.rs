use serde_json::{Value, json};

use super::client::Answer;
use super::server::{TestServer, on_both_servers};

#[actix_rt::test]
async fn old_apps_are_told_where_to_update() {
    let server = TestServer::start(&[
        ("apps.ios_url", "https://store.example/ios"),
        ("apps.android_url", "https://store.example/android"),
    ])
    .await;
    let ask = async |body: Value| {
        let request = server.request("POST", "/v1/version").body(body.to_string());
        Answer::to(request).await
    };
    for (platform, version, url) in [
        ("ios", "1.4.1", Value::Null),
        ("iOS", "2.0.0", Value::Null),
        ("ios", "1.4.0", json!("https://store.example/ios")),
        ("ios", "1.4.1-beta.1", json!("https://store.example/ios")),
        ("Android", "0.9.9", json!("https://store.example/android")),
        ("android", "new", json!("https://store.example/android")),
        ("web", "0.0.1", Value::Null),
    ] {
        let body = json!({"platform": platform, "version": version, "app_id": "x"});
        assert_eq!(
            ask(body).await.ok(),
            json!({"updateUrl": url}),
            "{platform} {version}"
        );
    }
    for body in [
        json!({"platform": "ios", "version": "1.0.0"}),
        json!({"platform": "ios", "version": 1, "app_id": "x"}),
        json!([]),
    ] {
        ask(body).await.is_invalid(&[]);
    }
    server.stop().await;
}

on_both_servers! {
    async fn push_tokens_are_registered_listed_and_removed(server) {
        let path = "/v1/push-tokens";
        let list = async || -> Vec<String> {
            let answer = server.as_user("alice", "GET", path, "").await.ok();
            let tokens = answer["tokens"].as_array().unwrap();
            tokens
                .iter()
                .map(|token| token["token"].as_str().unwrap().to_owned())
                .collect()
        };
        assert!(list().await.is_empty());
        for token in ["ExponentPushToken[a/b]", "second", "ExponentPushToken[a/b]"] {
            let body = json!({"token": token}).to_string();
            let answer = server.as_user("alice", "POST", path, &body).await.ok();
            assert_eq!(answer, json!({"success": true}));
        }
        assert_eq!(list().await, ["second", "ExponentPushToken[a/b]"]);
        let one = format!("{path}/ExponentPushToken%5Ba%2Fb%5D");
        for _ in 0..2 {
            server.as_user("bob", "DELETE", &one, "").await.ok();
        }
        assert_eq!(list().await.len(), 2, "another's stays");
        for _ in 0..2 {
            server.as_user("alice", "DELETE", &one, "").await.ok();
        }
        assert_eq!(list().await, ["second"]);
        for body in [
            json!({"token": ""}),
            json!({}),
            json!({"token": "x".repeat(1001)}),
        ] {
            server
                .as_user("alice", "POST", path, &body.to_string())
                .await
                .is_invalid(&[]);
        }
        assert_eq!(list().await, ["second"]);
        for number in 0..105 {
            let body = json!({"token": number.to_string()}).to_string();
            server.as_user("alice", "POST", path, &body).await.ok();
        }
        let kept = list().await;
        assert_eq!((kept.len(), kept[0].as_str()), (100, "104"));
        server.stop().await;
    }

    async fn usage_limits_are_unknown_until_somebody_tells_them(server) {
        let limits = server
            .as_user("alice", "GET", "/v1/usage/limits", "")
            .await
            .ok();
        assert_eq!(
            (&limits["limitsAvailable"], &limits["weeklyLimits"]),
            (&json!(false), &json!([]))
        );
        assert!(limits["lastUpdatedAt"].is_u64());
        let told = json!({"limitsAvailable": true, "weeklyLimits": [{"id": "w"}], "provider": "p"});
        let stored = told.to_string();
        let write = server.state().database.write(async move |tx| {
            let mut change = crate::sync::Change::new(tx, "alice".into());
            crate::sync::usage::write_limits(&mut change, &stored).await?;
            change.finish(None);
            Ok::<_, crate::sync::SyncError>(())
        });
        write.await.unwrap();
        let mut limits = server
            .as_user("alice", "GET", "/v1/usage/limits", "")
            .await
            .ok();
        let updated = limits
            .as_object_mut()
            .unwrap()
            .remove("lastUpdatedAt")
            .unwrap();
        assert!(updated.is_u64());
        assert_eq!(limits, told);
        let other = server
            .as_user("bob", "GET", "/v1/usage/limits", "")
            .await
            .ok();
        assert_eq!(other["limitsAvailable"], false);
        server.stop().await;
    }
}
