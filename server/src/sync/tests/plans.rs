//! Every list walks an index: none sorts or scans an account's rows.

use sqlx::{AssertSqlSafe, Row as _};

use super::*;
use crate::sync::{delta, messages, usage};

#[tokio::test]
async fn lists_walk_their_index() {
    let test = TestDatabase::sqlite();
    for (name, query, index) in [
        (
            "sessions by update",
            sessions::lists::BY_UPDATE,
            "sessions_by_update",
        ),
        ("sessions by id", sessions::lists::BY_ID, "sessions_by_id"),
        (
            "active sessions",
            sessions::lists::ACTIVE,
            "sessions_by_activity",
        ),
        ("messages", messages::NEWEST, "messages_by_time"),
        ("messages by id", messages::BY_ID, "messages_by_id"),
        (
            "messages by number",
            messages::AFTER,
            "session_id=? AND seq>?",
        ),
        ("machines", machines::LIST, "machines_by_activity"),
        (
            "active machines",
            machines::LIST_ACTIVE,
            "machines_by_activity",
        ),
        ("artifacts", artifacts::LIST, "artifacts_by_update"),
        (
            "artifacts since",
            artifacts::LIST_SINCE,
            "artifacts_by_change",
        ),
        (
            "changed sessions",
            delta::CHANGED_SESSIONS,
            "sessions_by_change",
        ),
        (
            "changed machines",
            delta::CHANGED_MACHINES,
            "machines_by_change",
        ),
        (
            "changed artifacts",
            delta::CHANGED_ARTIFACTS,
            "artifacts_by_change",
        ),
        ("usage", usage::REPORTS, "usage_reports_by_time"),
    ] {
        let explain = format!("EXPLAIN QUERY PLAN {query}");
        let read = test.database.read(async move |reader: &mut Reader| {
            let rows = sqlx::query(AssertSqlSafe(explain))
                .fetch_all(reader)
                .await?;
            let plan: Vec<String> = rows.iter().map(|row| row.get("detail")).collect();
            Ok::<_, DatabaseError>(plan)
        });
        let plan = read.await.unwrap();
        assert_eq!(plan.len(), 1, "{name}: {plan:?}");
        assert!(
            plan[0].starts_with("SEARCH ") && plan[0].contains(index),
            "{name}: {plan:?}"
        );
    }
    test.database.close().await;
}
