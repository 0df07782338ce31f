use serde_json::{Value, json};

use super::client::Answer;
use super::server::{TestServer, on_both_servers};

const KV: &str = "/v1/kv";

impl TestServer {
    async fn mutate(&self, mutations: Value) -> Answer {
        let body = json!({"mutations": mutations}).to_string();
        self.as_user("alice", "POST", KV, &body).await
    }

    async fn value(&self, key: &str) -> Answer {
        self.as_user("alice", "GET", &format!("{KV}/{key}"), "")
            .await
    }
}

fn write(key: &str, value: Value, version: i64) -> Value {
    json!({"key": key, "value": value, "version": version})
}

on_both_servers! {
    async fn a_key_lives_through_its_versions(server) {
        let mut other = server.connect("alice", "").await;
        let agent = "clientType=session-scoped&sessionId=s";
        let mut agent = server.connect("alice", agent).await;
        let put = async |value: Value, version: i64| {
            let answer = server
                .mutate(json!([write("k", value, version)]))
                .await
                .ok();
            assert_eq!(answer["success"], true);
            answer["results"][0]["version"].as_i64().unwrap()
        };
        server.value("k").await.is_error(404, &[]);
        assert_eq!(put(json!("YQ"), -1).await, 1);
        let body =
            json!({"t": "kv-batch-update", "changes": [{"key": "k", "value": "YQ==", "version": 1}]});
        // Told to everyone, whatever their type.
        for client in [&mut other, &mut agent] {
            assert_eq!(client.json().await["data"]["body"], body);
        }
        assert_eq!(
            server.value("k").await.ok(),
            json!({"key": "k", "value": "YQ==", "version": 1})
        );
        assert_eq!(put(json!("Yg=="), 1).await, 2);
        assert_eq!(put(Value::Null, 2).await, 3);
        server.value("k").await.is_error(404, &[]);
        // Its version goes on: no old one matches again.
        assert_eq!(put(json!("Yw=="), -1).await, 4);
        assert_eq!(put(Value::Null, 4).await, 5);
        assert_eq!(put(json!("ZA=="), 5).await, 6);
        // A key that was never written can be created with 0, and deleted without a trace.
        assert_eq!(
            server
                .mutate(json!([write("new", json!(""), 0)]))
                .await
                .ok()["results"][0]["version"],
            1
        );
        for version in [-1, 0] {
            let answer = server
                .mutate(json!([write("never", Value::Null, version)]))
                .await
                .ok();
            assert_eq!(answer["results"], json!([{"key": "never", "version": 0}]));
        }
        for _ in 0..6 {
            assert_eq!(other.json().await["data"]["body"]["t"], "kv-batch-update");
        }
        other.has_nothing().await;
        server.stop().await;
    }

    async fn a_batch_is_applied_as_a_whole_or_not_at_all(server) {
        let created = json!([write("a", json!("YQ=="), -1), write("b", json!("Yg=="), -1)]);
        let answer = server.mutate(created.clone()).await.ok();
        let versions = json!([{"key": "a", "version": 1}, {"key": "b", "version": 1}]);
        assert_eq!(answer["results"], versions);
        let mut other = server.connect("alice", "").await;
        let refused = server
            .mutate(json!([
                write("c", json!("Yw=="), -1),
                write("a", json!("eA=="), -1),
                write("b", json!("eA=="), 7),
                write("d", json!("eA=="), 1),
            ]))
            .await;
        refused.is_error(409, &[]);
        assert_eq!(refused.json["success"], false);
        let errors = json!([
            {"key": "a", "error": "version-mismatch", "version": 1, "value": "YQ=="},
            {"key": "b", "error": "version-mismatch", "version": 1, "value": "Yg=="},
            {"key": "d", "error": "version-mismatch", "version": 0, "value": null},
        ]);
        assert_eq!(refused.json["errors"], errors);
        server.value("c").await.is_error(404, &[]);
        assert_eq!(server.value("a").await.ok()["value"], "YQ==");
        other.has_nothing().await;
        // Of those who race, one wins.
        let race = || {
            server.mutate(json!([
                write("a", json!("eA=="), 1),
                write("b", json!("eA=="), 1)
            ]))
        };
        let (one, two) = tokio::join!(race(), race());
        let mut statuses = [one.status, two.status];
        statuses.sort_unstable();
        assert_eq!(statuses, [200, 409]);
        // Others have their own.
        server
            .as_user("bob", "GET", &format!("{KV}/a"), "")
            .await
            .is_error(404, &[]);
        server.stop().await;
    }

    async fn keys_are_listed_by_their_literal_beginning(server) {
        let keys = ["bulk", "a", "a%b", "a_b", "aXb", "A", "ab/c d", "é", "b"];
        let writes: Vec<Value> = keys
            .iter()
            .map(|key| write(key, json!("YQ=="), -1))
            .collect();
        server.mutate(json!(writes)).await.ok();
        server
            .mutate(json!([write("ab", json!("YQ=="), -1)]))
            .await
            .ok();
        server
            .mutate(json!([write("ab", Value::Null, 1)]))
            .await
            .ok();
        let list = async |query: &str| -> Vec<String> {
            let path = format!("{KV}?{query}");
            let answer = server.as_user("alice", "GET", &path, "").await.ok();
            let items = answer["items"].as_array().unwrap();
            items
                .iter()
                .map(|item| item["key"].as_str().unwrap().to_owned())
                .collect()
        };
        assert_eq!(
            list("").await,
            ["A", "a", "a%b", "aXb", "a_b", "ab/c d", "b", "bulk", "é"]
        );
        assert_eq!(list("prefix=a").await, ["a", "a%b", "aXb", "a_b", "ab/c d"]);
        assert_eq!(list("prefix=a%25").await, ["a%b"]);
        assert_eq!(list("prefix=a_").await, ["a_b"]);
        assert_eq!(list("prefix=%C3%A9").await, ["é"]);
        // Deleted keys use nothing of the limit up.
        assert_eq!(list("prefix=ab&limit=1").await, ["ab/c d"]);
        assert_eq!(server.value("ab%2Fc%20d").await.ok()["key"], "ab/c d");
        assert_eq!(server.value("bulk").await.ok()["key"], "bulk");
        for query in [
            "limit=0",
            "limit=1001",
            "prefix=%00",
            &format!("prefix={}", "x".repeat(257)),
        ] {
            let path = format!("{KV}?{query}");
            server
                .as_user("alice", "GET", &path, "")
                .await
                .is_invalid(&[]);
        }
        let bulk = json!({"keys": ["b", "none", "a", "ab"]}).to_string();
        let bulk = server
            .as_user("alice", "POST", "/v1/kv/bulk", &bulk)
            .await
            .ok();
        let found: Vec<_> = bulk["values"]
            .as_array()
            .unwrap()
            .iter()
            .map(|item| &item["key"])
            .collect();
        assert_eq!(found, ["b", "a"]);
        server.stop().await;
    }

    async fn what_breaks_a_bound_is_refused_and_nothing_stored(server) {
        let good = || write("good", json!("YQ=="), -1);
        for (bad, part) in [
            (write("", json!("YQ=="), -1), "key"),
            (write(&"x".repeat(257), json!("YQ=="), -1), "key"),
            (write("a\0", json!("YQ=="), -1), "key"),
            (write("k", json!("%"), -1), "value"),
            (write("k", json!("A".repeat(65_540)), -1), "value"),
            (write("k", json!("YQ=="), -2), "version"),
            (
                json!({"key": "k", "value": "YQ==", "version": 1.5}),
                "version",
            ),
            (json!({"key": "k", "value": "YQ=="}), "version"),
            (json!(["k", "YQ==", -1]), "object"),
            (write("good", json!("Yg=="), -1), "once"),
        ] {
            server
                .mutate(json!([good(), bad]))
                .await
                .is_invalid(&[part]);
        }
        let many: Vec<Value> = (0..101)
            .map(|n| write(&n.to_string(), json!("YQ=="), -1))
            .collect();
        server.mutate(json!(many)).await.is_invalid(&["100"]);
        server.mutate(json!([])).await.is_invalid(&["1 to 100"]);
        for keys in [
            json!([]),
            json!(vec!["a"; 101]),
            json!([""]),
            json!([5]),
            Value::Null,
        ] {
            let body = json!({"keys": keys}).to_string();
            server
                .as_user("alice", "POST", "/v1/kv/bulk", &body)
                .await
                .is_invalid(&[]);
        }
        server.value("%00").await.is_invalid(&["key"]);
        server.value("good").await.is_error(404, &[]);
        let largest = write("large", json!("A".repeat(65_536)), -1);
        server
            .mutate(json!([largest, write(&"é".repeat(256), json!(""), -1)]))
            .await
            .ok();
        server.stop().await;
    }
}
