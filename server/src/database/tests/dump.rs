//! Exports and imports, within one kind of database and from one to the other.

use crate::database::DatabaseError;
use crate::database::dump::{Dump, DumpError};
use crate::database::testing::{TestDatabase, on_both_databases};

/// Stores rows of all types, with references.
async fn fill(test: &TestDatabase) {
    let filling = test.database.write(async |tx| {
        for statement in [
            "INSERT INTO accounts (id, seq, created_at, updated_at) VALUES ('alice', 7, 1, 2)",
            "INSERT INTO sessions (id, account_id, tag, metadata, metadata_version, agent_state, \
             agent_state_version, seq, change_seq, create_seq, active, last_active_at, created_at, \
             updated_at) VALUES ('s', 'alice', 't\"\n', 'é', 1, NULL, 0, 1, 1, 1, 1, 1, 1, 1)",
            "INSERT INTO messages (id, session_id, seq, created_at, content) \
             VALUES ('m', 's', 1, 1, '{}')",
        ] {
            sqlx::query(statement).execute(tx.connection()).await?;
        }
        sqlx::query(
            "INSERT INTO artifacts (id, account_id, header_version, body_version, change_seq, \
             create_seq, created_at, updated_at, data_encryption_key, header, body) \
             VALUES ('a', 'alice', 1, 1, 1, 1, 1, 1, $1, $1, $1)",
        )
        .bind(&[0_u8, 255, 1][..])
        .execute(tx.connection())
        .await?;
        Ok::<_, DatabaseError>(())
    });
    filling.await.unwrap();
}

async fn exported(test: &TestDatabase) -> String {
    let mut dump = Dump::open(&test.options.location).await.unwrap();
    let mut out = Vec::new();
    let count = dump.export(&mut out).await.unwrap();
    let lines = String::from_utf8(out).unwrap();
    assert_eq!(lines.lines().count() as u64, count);
    lines
}

on_both_databases! {
    async fn what_is_exported_can_be_imported_more_than_once(test) {
        fill(&test).await;
        let lines = exported(&test).await;
        let tables: Vec<String> = lines
            .lines()
            .map(|line| {
                let line: serde_json::Value = serde_json::from_str(line).unwrap();
                line["table"].as_str().unwrap().to_owned()
            })
            .collect();
        // Beside them, what the migrations themselves have stored.
        let all = tables.len() as u64;
        let mut filled = tables;
        filled.retain(|table| ["accounts", "sessions", "messages", "artifacts"].contains(&&**table));
        assert_eq!(filled, ["accounts", "sessions", "messages", "artifacts"]);
        // Always into a file, whatever it came from.
        let other = TestDatabase::sqlite();
        for new in [4, 0] {
            let mut dump = Dump::open(&other.options.location).await.unwrap();
            assert_eq!(dump.import(lines.as_bytes()).await.unwrap(), (all, new));
        }
        let mut again: Vec<String> = exported(&other).await.lines().map(str::to_owned).collect();
        let mut before: Vec<String> = lines.lines().map(str::to_owned).collect();
        again.sort();
        before.sort();
        assert_eq!(again, before);
        // And back into its own kind, where everything is already.
        let mut dump = Dump::open(&test.options.location).await.unwrap();
        assert_eq!(dump.import(lines.as_bytes()).await.unwrap(), (all, 0));
        let counts = dump.check().await.unwrap();
        assert!(counts.contains("messages"), "{counts}");
        drop(dump);
        other.database.close().await;
        test.database.close().await;
        let mut dump = Dump::open(&test.options.location).await.unwrap();
        dump.vacuum().await.unwrap();
    }

    async fn an_empty_database_takes_an_export_of_the_other_kind(test) {
        let source = TestDatabase::sqlite();
        fill(&source).await;
        let lines = exported(&source).await;
        let mut dump = Dump::open(&test.options.location).await.unwrap();
        assert_eq!(dump.import(lines.as_bytes()).await.unwrap().1, 4);
        drop(dump);
        source.database.close().await;
        test.database.close().await;
    }

    async fn lines_that_no_export_has_written_are_named(test) {
        let mut dump = Dump::open(&test.options.location).await.unwrap();
        for bad in [
            "no json",
            r#"{"table":"none","row":{"id":"x"}}"#,
            r#"{"table":"accounts","row":{}}"#,
            r#"{"table":"accounts","row":{"id\" --":"x"}}"#,
            r#"{"table":"accounts","row":{"id":true}}"#,
            r#"{"table":"accounts","row":{"id":1.5}}"#,
            r#"{"table":"accounts","row":{"no_column":1}}"#,
            r#"{"table":"sessions","row":{"id":"x"}}"#,
            r#"{"table":"artifacts","row":{"id":"x","header":{"base64":"?"}}}"#,
        ] {
            let text = format!("\n{bad}\n");
            let err = dump.import(text.as_bytes()).await.unwrap_err();
            assert!(matches!(err, DumpError::Line { line: 2, .. }), "{bad}: {err}");
        }
        drop(dump);
        test.database.close().await;
    }
}
