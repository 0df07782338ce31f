//! Tokens of third parties.

use serde_json::{Value, json};
use sqlx::Row as _;

use super::server::{TestServer, on_both_servers};
use crate::database::{DatabaseError, Reader};

on_both_servers! {
    async fn a_token_is_kept_encrypted_and_comes_back(server) {
        let ask = async |user: &str, method: &str, path: &str, body: Value| {
            let path = format!("/v1/connect/{path}");
            server.as_user(user, method, &path, &body.to_string()).await
        };
        let nothing = || json!({});
        let none = json!({ "token": null });
        assert_eq!(ask("alice", "GET", "openai/token", nothing()).await.ok(), none);
        for token in ["sk-first", "sk-second"] {
            let body = json!({ "token": token });
            let answer = ask("alice", "POST", "openai/register", body).await.ok();
            assert_eq!(answer, json!({ "success": true }));
            let kept = ask("alice", "GET", "openai/token", nothing()).await.ok();
            assert_eq!(kept, json!({ "token": token }));
        }
        assert_eq!(ask("bob", "GET", "openai/token", nothing()).await.ok(), none);
        ask("alice", "POST", "gemini/register", json!({ "token": "g" })).await.ok();
        assert_eq!(
            ask("alice", "GET", "tokens", nothing()).await.ok(),
            json!({ "tokens": [
                { "vendor": "gemini", "token": "g" },
                { "vendor": "openai", "token": "sk-second" },
            ] })
        );
        let stored = server.state().database.read(async |reader: &mut Reader| {
            let rows = sqlx::query("SELECT token FROM service_tokens").fetch_all(reader).await?;
            let sealed = rows.iter().map(|row| row.try_get::<Vec<u8>, _>(0));
            Ok::<_, DatabaseError>(sealed.collect::<Result<Vec<_>, _>>()?)
        });
        for sealed in stored.await.unwrap() {
            assert!(!sealed.windows(3).any(|bytes| bytes == b"sk-"));
        }
        for _ in 0..2 {
            let answer = ask("alice", "DELETE", "openai", nothing()).await.ok();
            assert_eq!(answer, json!({ "success": true }));
            assert_eq!(ask("alice", "GET", "openai/token", nothing()).await.ok(), none);
        }
        server.stop().await;
    }

    async fn other_vendors_and_bad_tokens_are_refused(server) {
        for (path, body) in [
            ("openai", json!({})),
            ("openai", json!({ "token": "" })),
            ("openai", json!({ "token": 1 })),
            ("openai", json!({ "token": "x".repeat(65_537) })),
            ("other", json!({ "token": "x" })),
        ] {
            let path = format!("/v1/connect/{path}/register");
            server.as_user("alice", "POST", &path, &body.to_string()).await.is_invalid(&[]);
        }
        server.as_user("alice", "GET", "/v1/connect/other/token", "").await.is_invalid(&["vendor"]);
        server.as_user("alice", "DELETE", "/v1/connect/other", "").await.is_invalid(&["vendor"]);
        server.stop().await;
    }
}
