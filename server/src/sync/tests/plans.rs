//! Every list walks an index, on both databases: none sorts or scans an account's rows.

use sqlx::{AssertSqlSafe, Row as _};

use super::*;
use crate::database::Dialect;
use crate::sync::{delta, feed, kv, messages, tombstones, usage};

/// Rows of each of two accounts: enough that walking an index is what a planner with statistics
/// chooses.
const ROWS: i64 = 3000;

/// A value of a list's query.
#[derive(Clone, Copy)]
enum Bound {
    Text(&'static str),
    Number(i64),
}
use Bound::{Number, Text};

/// The name of a list, its query, the index that it walks in SQLite and in PostgreSQL, and the
/// query's values behind the account or the session.
type List = (
    &'static str,
    &'static str,
    [&'static str; 2],
    &'static [Bound],
);

const LISTS: &[List] = &[
    (
        "sessions by update",
        sessions::lists::BY_UPDATE,
        ["sessions_by_update"; 2],
        &[Number(150)],
    ),
    (
        "sessions by id",
        sessions::lists::BY_ID,
        ["sessions_by_id"; 2],
        &[Text("~"), Number(-1), Number(51)],
    ),
    (
        "active sessions",
        sessions::lists::ACTIVE,
        ["sessions_by_activity"; 2],
        &[Number(100), Number(150)],
    ),
    (
        "messages",
        messages::NEWEST,
        ["messages_by_time"; 2],
        &[Number(150)],
    ),
    (
        "messages by id",
        messages::BY_ID,
        ["messages_by_id"; 2],
        &[Text("~"), Number(51)],
    ),
    (
        "messages by number",
        messages::AFTER,
        ["session_id=? AND seq>?", "messages_session_id_seq_key"],
        &[Number(100), Number(150)],
    ),
    (
        "machines",
        machines::LIST,
        ["machines_by_activity"; 2],
        &[Number(50)],
    ),
    (
        "active machines",
        machines::LIST_ACTIVE,
        ["machines_by_activity"; 2],
        &[Number(50)],
    ),
    (
        "the last change of an artifact",
        artifacts::list::LAST_CHANGE,
        ["artifacts_by_change"; 2],
        &[],
    ),
    (
        "artifacts",
        artifacts::list::LIST,
        [
            "artifacts_by_update (account_id=? AND (updated_at,id)<(?,?))",
            "artifacts_by_update",
        ],
        &[Number(150), Number(3000), Number(2000), Text("~")],
    ),
    (
        "artifacts since",
        artifacts::list::LIST_SINCE,
        [
            "artifacts_by_change (account_id=? AND change_seq>? AND change_seq<?)",
            "artifacts_by_change",
        ],
        &[Number(150), Number(2000), Number(100)],
    ),
    (
        "changed sessions",
        delta::CHANGED_SESSIONS,
        ["sessions_by_change"; 2],
        &[Number(100), Number(100)],
    ),
    (
        "changed machines",
        delta::CHANGED_MACHINES,
        ["machines_by_change"; 2],
        &[Number(100), Number(50)],
    ),
    (
        "changed artifacts",
        delta::CHANGED_ARTIFACTS,
        ["artifacts_by_change"; 2],
        &[Number(100), Number(100)],
    ),
    (
        "tombstones",
        tombstones::SINCE,
        ["tombstones_by_change"; 2],
        &[Text("session"), Number(100), Number(100)],
    ),
    (
        "usage",
        usage::REPORTS,
        ["usage_reports_by_time"; 2],
        &[Number(100), Number(110)],
    ),
    (
        "keys",
        kv::BETWEEN,
        ["account_id=? AND key>? AND key<?", "kv_items_pkey"],
        &[Text("k"), Text("l"), Number(100)],
    ),
    (
        "keys from one on",
        kv::FROM,
        ["account_id=? AND key>?", "kv_items_pkey"],
        &[Text("k"), Number(100)],
    ),
    (
        "feed",
        feed::NEWEST,
        ["account_id=? AND counter>?", "feed_items_pkey"],
        &[Number(0), Number(51)],
    ),
    (
        "feed before",
        feed::BEFORE,
        ["account_id=? AND counter<?", "feed_items_pkey"],
        &[Number(2000), Number(51)],
    ),
    (
        "feed after",
        feed::AFTER,
        ["account_id=? AND counter>?", "feed_items_pkey"],
        &[Number(2000), Number(51)],
    ),
];

/// Fills the tables by statements that both databases know. `{a}` is the account, `{n}` how many.
const FILL: [&str; 9] = [
    "INSERT INTO accounts (id, created_at, updated_at) VALUES ('{a}', 0, 0)",
    "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {n}) \
     INSERT INTO sessions (id, account_id, tag, metadata_version, agent_state_version, change_seq, \
     create_seq, active, last_active_at, created_at, updated_at, metadata) \
     SELECT '{a}' || i, '{a}', 't' || i, 1, 0, i, i, i % 2, i, i, i, 'm' FROM n",
    "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {n}) \
     INSERT INTO messages (id, session_id, seq, created_at, content) \
     SELECT '{a}' || i, '{a}1', i, i, '1' FROM n",
    "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {n}) \
     INSERT INTO machines (account_id, id, metadata_version, daemon_state_version, change_seq, \
     create_seq, active, last_active_at, created_at, updated_at, metadata) \
     SELECT '{a}', 'm' || i, 1, 0, i, i, i % 2, i, i, i, 'm' FROM n",
    "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {n}) \
     INSERT INTO artifacts (id, account_id, header_version, body_version, change_seq, create_seq, \
     created_at, updated_at, data_encryption_key, header, body) \
     SELECT '{a}' || i, '{a}', 1, 1, i, i, i, i, {bytes}, {bytes}, {bytes} FROM n",
    "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {n}) \
     INSERT INTO tombstones (account_id, kind, id, change_seq, deleted_at) \
     SELECT '{a}', 'session', 'gone' || i, i, i FROM n",
    "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {n}) \
     INSERT INTO usage_reports (id, account_id, key, data, created_at, updated_at) \
     SELECT '{a}' || i, '{a}', 'k' || i, '1', i, i FROM n",
    "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {n}) \
     INSERT INTO kv_items (account_id, key, version, updated_at, value) \
     SELECT '{a}', 'k' || i, 1, i, {bytes} FROM n",
    "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {n}) \
     INSERT INTO feed_items (account_id, counter, id, created_at, body) \
     SELECT '{a}', i, '{a}' || i, i, '{}' FROM n",
];

async fn fill(test: &TestDatabase) {
    let is_postgres = test.database.dialect() == Dialect::Postgres;
    let bytes = if is_postgres {
        r"'\x00'::bytea"
    } else {
        "X'00'"
    };
    let filling = test.database.write(async move |tx| {
        for account in [ALICE, BOB] {
            for statement in FILL {
                let statement = statement
                    .replace("{a}", account)
                    .replace("{n}", &ROWS.to_string())
                    .replace("{bytes}", bytes);
                let query = sqlx::query(AssertSqlSafe(statement));
                query.execute(tx.connection()).await?;
            }
        }
        // What PostgreSQL's own maintenance does sooner or later; nobody does it for SQLite.
        if is_postgres {
            sqlx::query("ANALYZE").execute(tx.connection()).await?;
        }
        Ok::<_, DatabaseError>(())
    });
    filling.await.unwrap();
}

/// The steps of a query's plan, from the outermost in.
async fn plan(test: &TestDatabase, query: &'static str, values: &'static [Bound]) -> Vec<String> {
    let (explain, column) = match test.database.dialect() {
        Dialect::Sqlite => ("EXPLAIN QUERY PLAN ", "detail"),
        Dialect::Postgres => ("EXPLAIN (COSTS OFF) ", "QUERY PLAN"),
    };
    let explain = AssertSqlSafe(format!("{explain}{query}"));
    let owner = if query.contains("FROM messages") {
        "alice1"
    } else {
        ALICE
    };
    let read = test.database.read(async move |reader: &mut Reader| {
        let mut query = sqlx::query(explain).bind(owner);
        for value in values {
            query = match *value {
                Text(text) => query.bind(text),
                Number(number) => query.bind(number),
            };
        }
        let rows = query.fetch_all(reader).await?;
        Ok::<_, DatabaseError>(rows.iter().map(|row| row.get(column)).collect())
    });
    read.await.unwrap()
}

on_both_databases! {
    async fn lists_walk_their_index(test) {
        fill(&test).await;
        for (name, query, [in_sqlite, in_postgres], values) in LISTS {
            let steps = plan(&test, query, values).await;
            let all = steps.join("\n");
            match test.database.dialect() {
                Dialect::Sqlite => {
                    assert_eq!(steps.len(), 1, "{name}: {all}");
                    assert!(all.starts_with("SEARCH ") && all.contains(in_sqlite), "{name}: {all}");
                }
                Dialect::Postgres => {
                    assert!(all.contains(in_postgres), "{name}: {all}");
                    let walks = !all.contains("Sort") && !all.contains("Seq Scan");
                    assert!(walks && all.contains("Index Cond"), "{name}: {all}");
                }
            }
        }
        test.database.close().await;
    }
}
