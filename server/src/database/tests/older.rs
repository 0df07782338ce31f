//! Databases that the first version has left are brought up to date, with all that is in them.

use std::collections::BTreeMap;

use serde_json::Value;
use sqlx::AssertSqlSafe;

use super::*;
use crate::database::dump::{self, Dump};
use crate::database::location::Location;
use crate::database::testing::older;

/// The tables of the first version.
const TABLES: [&str; 10] = [
    "probe",
    "accounts",
    "sessions",
    "messages",
    "machines",
    "artifacts",
    "access_keys",
    "usage_reports",
    "usage_limits",
    "tombstones",
];

type Rows = BTreeMap<&'static str, Vec<serde_json::Map<String, Value>>>;

async fn rows_of(location: &Location) -> Rows {
    let mut connection = connection::connect(location).await.unwrap();
    let mut all = Rows::new();
    for table in TABLES {
        let select = AssertSqlSafe(format!("SELECT * FROM {table}"));
        let rows = sqlx::query(select)
            .fetch_all(&mut connection)
            .await
            .unwrap();
        let rows = rows.iter().map(|row| dump::fields(row).unwrap());
        all.insert(table, rows.collect());
    }
    all
}

async fn steps_of(location: &Location) -> Vec<i64> {
    let mut connection = connection::connect(location).await.unwrap();
    let query = sqlx::query("SELECT version FROM _sqlx_migrations ORDER BY version");
    let rows = query.fetch_all(&mut connection).await.unwrap();
    rows.iter().map(|row| row.get(0)).collect()
}

on_both_databases! {
    async fn a_database_of_the_first_version_is_brought_up_to_date_with_its_rows(test) {
        let dialect = test.database.dialect();
        let newest = steps_of(&test.options.location).await;
        test.database.close().await;
        let folder = tempfile::tempdir().unwrap();
        let location = older::copy(dialect, folder.path()).await;
        assert_eq!(steps_of(&location).await, older::STEPS);
        let before = rows_of(&location).await;
        assert!(before.values().all(|rows| !rows.is_empty()), "{before:?}");

        let mut options = test.options.clone();
        options.location = location.clone();
        let database = Database::open(options.clone(), Arc::new(NoPublisher)).unwrap();
        database.close().await;
        assert_eq!(steps_of(&location).await, newest);
        let after = rows_of(&location).await;
        for (table, rows) in &before {
            assert_eq!(after[table].len(), rows.len(), "{table}");
            for row in rows {
                // Columns may have come; what was there is as it was.
                let is_kept = after[table].iter().any(|now| {
                    row.iter().all(|(column, value)| now.get(column) == Some(value))
                });
                assert!(is_kept, "{table}: {row:?} is not in {:?}", after[table]);
            }
        }
        assert!(after["accounts"].iter().all(|account| account["status"] == "active"));

        // Once more, there is nothing to do; and the whole is in order.
        Database::open(options, Arc::new(NoPublisher)).unwrap().close().await;
        assert_eq!(rows_of(&location).await, after);
        let mut dump = Dump::open(&location).await.unwrap();
        dump.check().await.unwrap();
        let mut lines = Vec::new();
        dump.export(&mut lines).await.unwrap();
        // In an empty database of today it is the same.
        let today = TestDatabase::sqlite();
        today.database.close().await;
        let mut dump = Dump::open(&today.options.location).await.unwrap();
        dump.import(&lines[..]).await.unwrap();
        let mut imported = rows_of(&today.options.location).await;
        imported.insert("probe", after["probe"].clone());
        assert_eq!(sorted(imported), sorted(after));
    }
}

fn sorted(mut all: Rows) -> Rows {
    for rows in all.values_mut() {
        rows.sort_by_key(|row| Value::Object(row.clone()).to_string());
    }
    all
}
