//! How long lists are that name no `limit`.

use sqlx::AssertSqlSafe;

use super::*;
use crate::clock::unix_ms;

/// Rows of each kind: more than any list shows.
const ROWS: u32 = 160;

on_both_servers! {
    async fn lists_have_their_usual_lengths(server) {
        let id = server.session_id(ALICE, "t").await;
        let key = json!({ "key": "k", "value": "YQ==", "version": -1 });
        let body = json!({ "mutations": [key] });
        server.send(ALICE, "POST", "/v1/kv", body).await.ok();
        let session = id.clone();
        let filled = server.state().database.write(async move |tx| {
            let now = unix_ms();
            let n = format!(
                "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {ROWS})"
            );
            for insert in [
                format!(
                    "INSERT INTO sessions (id, account_id, tag, metadata_version, \
                     agent_state_version, change_seq, create_seq, active, last_active_at, \
                     created_at, updated_at, metadata) SELECT 's' || i, 'alice', 's' || i, 1, 0, i, \
                     i, 1, {now}, {now}, {now}, 'm' FROM n"
                ),
                format!(
                    "INSERT INTO messages (id, session_id, seq, created_at, content) \
                     SELECT 'm' || i, '{session}', i, {now}, '1' FROM n"
                ),
                format!(
                    "INSERT INTO machines (account_id, id, metadata_version, daemon_state_version, \
                     change_seq, create_seq, active, last_active_at, created_at, updated_at, \
                     metadata) SELECT 'alice', 'm' || i, 1, 0, i, i, 0, {now}, {now}, {now}, 'm' \
                     FROM n"
                ),
                format!(
                    "INSERT INTO artifacts (id, account_id, header_version, body_version, \
                     change_seq, create_seq, created_at, updated_at, data_encryption_key, header, \
                     body) SELECT 'a' || i, 'alice', 1, 1, i, i, {now}, {now}, value, value, value \
                     FROM n, kv_items"
                ),
                "INSERT INTO feed_items (account_id, counter, id, created_at, body) \
                 SELECT 'alice', i, 'f' || i, i, '{}' FROM n"
                    .to_owned(),
                format!(
                    "INSERT INTO kv_items (account_id, key, version, updated_at, value) \
                     SELECT 'alice', 'n' || i, 1, {now}, value FROM n, kv_items"
                ),
            ] {
                let query = sqlx::query(AssertSqlSafe(format!("{n} {insert}")));
                query.execute(tx.connection()).await?;
            }
            Ok::<_, crate::database::DatabaseError>(())
        });
        filled.await.unwrap();
        for (path, list, length) in [
            ("/v1/sessions", "sessions", 150),
            ("/v2/sessions", "sessions", 50),
            ("/v2/sessions?limit=200", "sessions", 161),
            ("/v2/sessions/active", "sessions", 150),
            ("/v2/sessions/active?limit=500", "sessions", 161),
            (&format!("/v1/sessions/{id}/messages"), "messages", 150),
            (&format!("/v2/sessions/{id}/messages"), "messages", 50),
            ("/v1/machines", "machines", 50),
            ("/v1/artifacts", "artifacts", 160),
            ("/v1/artifacts?limit=7", "artifacts", 7),
            ("/v1/kv", "items", 100),
            ("/v1/kv?limit=1000", "items", 161),
            ("/v1/feed", "items", 50),
        ] {
            let answer = server.get(ALICE, path).await.ok();
            assert_eq!(answer[list].as_array().unwrap().len(), length, "{path}");
        }
        server.stop().await;
    }
}
