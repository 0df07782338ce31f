//! A database that is locked, full, read-only or gone, and comes back.

use std::sync::Arc;

use sqlx::{AnyConnection, Connection as _, Executor as _};

use super::{insert, rows};
use crate::database::connection::{self, Role};
use crate::database::testing::TestDatabase;
use crate::database::{Database, DatabaseError, Location, OpenError, publisher::NoPublisher};

async fn second_connection(test: &TestDatabase) -> AnyConnection {
    let lock_timeout = test.options.lock_timeout;
    connection::open(&test.options.location, Role::Writer, lock_timeout)
        .await
        .unwrap()
}

/// Requires that a write fails as unavailable, and that readiness knows.
async fn is_down(test: &TestDatabase) {
    let err = test
        .database
        .write(async |tx| insert(tx, 1).await)
        .await
        .unwrap_err();
    assert!(err.is_unavailable(), "{err}");
    assert!(test.database.check().await.unwrap_err().is_unavailable());
    assert!(!test.database.counters().is_up());
}

async fn is_up(test: &TestDatabase) {
    test.database
        .write(async |tx| insert(tx, 1).await)
        .await
        .unwrap();
    assert_eq!(rows(&test.database).await, [1]);
    assert!(test.database.counters().is_up());
}

#[tokio::test]
async fn a_locked_file_is_unavailable_until_it_is_released() {
    let test = TestDatabase::sqlite();
    let mut other = second_connection(&test).await;
    other.execute("BEGIN IMMEDIATE").await.unwrap();
    is_down(&test).await;
    // Who only reads does not notice.
    assert!(rows(&test.database).await.is_empty());
    other.execute("ROLLBACK").await.unwrap();
    is_up(&test).await;
    test.database.close().await;
}

#[tokio::test]
async fn a_full_disk_is_unavailable_and_what_was_written_stays() {
    let test = TestDatabase::sqlite();
    let limit = async |test: &TestDatabase, pages: &'static str| {
        let set = test.database.write(async move |tx| {
            tx.connection().execute(pages).await?;
            Ok::<_, DatabaseError>(())
        });
        set.await.unwrap();
    };
    // No smaller than it is: the next page is the one too many.
    limit(&test, "PRAGMA max_page_count = 1").await;
    let big = test.database.write(async |tx| {
        let account = "INSERT INTO accounts (id, settings, created_at, updated_at) \
                       VALUES ('a', $1, 0, 0)";
        sqlx::query(account)
            .bind("x".repeat(100_000))
            .execute(tx.connection())
            .await?;
        Ok::<_, DatabaseError>(())
    });
    let err = big.await.unwrap_err();
    assert!(err.is_unavailable(), "{err}");
    limit(&test, "PRAGMA max_page_count = 1000000").await;
    is_up(&test).await;
    test.database.close().await;
}

#[tokio::test]
async fn a_file_that_became_read_only_is_unavailable_and_opened_anew() {
    let test = TestDatabase::sqlite();
    let set = test.database.write(async |tx| {
        tx.connection().execute("PRAGMA query_only = ON").await?;
        Ok::<_, DatabaseError>(())
    });
    set.await.unwrap();
    let err = test
        .database
        .write(async |tx| insert(tx, 1).await)
        .await
        .unwrap_err();
    assert!(err.is_unavailable(), "{err}");
    // The next write has another connection.
    is_up(&test).await;
    test.database.close().await;
}

#[tokio::test]
#[cfg_attr(not(postgres_is_installed), ignore = "PostgreSQL is not installed")]
async fn a_connection_that_postgres_ends_is_opened_anew() {
    let test = TestDatabase::postgres();
    let pid = test.database.write(async |tx| {
        let row = sqlx::query("SELECT CAST(pg_backend_pid() AS BIGINT)")
            .fetch_one(tx.connection())
            .await?;
        Ok::<i64, DatabaseError>(sqlx::Row::get(&row, 0))
    });
    let pid = pid.await.unwrap();
    let mut other = second_connection(&test).await;
    // Waits until that process is gone.
    sqlx::query("SELECT 1 FROM pg_terminate_backend(CAST($1 AS INTEGER), 10000)")
        .bind(pid)
        .execute(&mut other)
        .await
        .unwrap();
    is_down_once(&test).await;
    is_up(&test).await;
    other.close().await.unwrap();
    test.database.close().await;
}

/// The write that finds the connection gone fails; the next one opens another.
async fn is_down_once(test: &TestDatabase) {
    let err = test
        .database
        .write(async |tx| insert(tx, 1).await)
        .await
        .unwrap_err();
    assert!(err.is_unavailable(), "{err}");
    assert!(!test.database.counters().is_up());
}

#[tokio::test]
async fn what_cannot_be_opened_says_where_it_is_and_what_to_look_at() {
    let folder = tempfile::tempdir().unwrap();
    let test = TestDatabase::sqlite();
    test.database.close().await;
    let no_database = folder.path().join("text.db");
    std::fs::write(
        &no_database,
        "this is no database, only some text of a few bytes",
    )
    .unwrap();
    let locations = [
        Location::Sqlite(folder.path().join("no/such/folder/x.db")),
        Location::Sqlite(folder.path().to_owned()),
        Location::Sqlite(no_database),
        Location::Postgres("postgres://bob:p4ss@127.0.0.1:1/dormouse".to_owned()),
    ];
    for location in locations {
        let mut options = test.options.clone();
        options.location = location;
        let err = Database::open(options, Arc::new(NoPublisher)).unwrap_err();
        assert!(matches!(err, OpenError::Unusable { .. }), "{err:?}");
        let text = err.to_string();
        assert!(
            text.contains("check database.url") && !text.contains("p4ss"),
            "{text}"
        );
    }
}

#[tokio::test]
async fn the_file_is_its_owners_alone() {
    use std::os::unix::fs::PermissionsExt as _;
    let test = TestDatabase::sqlite();
    let Location::Sqlite(path) = &test.options.location else {
        unreachable!("it is a file");
    };
    let mode = std::fs::metadata(path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    test.database.close().await;
}
