//! How a connection is opened and set up, by its role and the dialect.

use std::time::Duration;

use sqlx::{AnyConnection, AssertSqlSafe, Connection as _, Executor as _};

use super::location::{Dialect, Location};

/// Pages that SQLite keeps in memory for each connection, KiB. The limit is one of them all together:
/// the writer takes pages over that readers leave, until it has the share of everybody. Readers start
/// anew after each change, so more would seldom be of use to them.
const WRITER_CACHE_KIB: u32 = 2_000;
const READER_CACHE_KIB: u32 = 512;

/// What a connection is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// The only one that changes anything.
    Writer,
    /// One of those that read.
    Reader,
}

/// Opens a connection, and leaves it as it is.
pub(super) async fn connect(location: &Location) -> Result<AnyConnection, sqlx::Error> {
    let options = location
        .options()
        .map_err(|err| sqlx::Error::Configuration(err.into()))?;
    AnyConnection::connect_with(&options).await
}

/// Opens a connection and sets it up.
pub(super) async fn open(
    location: &Location,
    role: Role,
    lock_timeout: Duration,
) -> Result<AnyConnection, sqlx::Error> {
    let mut connection = connect(location).await?;
    prepare(&mut connection, location.dialect(), role, lock_timeout).await?;
    Ok(connection)
}

/// Sets a connection up. Every commit is on disk before it is acknowledged: with WAL and
/// `synchronous = FULL` SQLite waits for the disk at each commit, and PostgreSQL does so unless
/// its `synchronous_commit` has been turned off, which is undone here.
///
/// SQLite moves its log into its file within the commit that makes the log 1,000 pages long: 30 ms, five
/// times a second, at 2,400 events a second. With that on a connection of its own the log became ten
/// times as large and the p99 of clients no better.
pub(super) async fn prepare(
    connection: &mut AnyConnection,
    dialect: Dialect,
    role: Role,
    lock_timeout: Duration,
) -> Result<(), sqlx::Error> {
    let wait = lock_timeout.as_millis();
    let text = match (dialect, role) {
        (Dialect::Sqlite, Role::Writer) => format!(
            "PRAGMA busy_timeout = {wait}; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; \
             PRAGMA foreign_keys = ON; PRAGMA temp_store = MEMORY; \
             PRAGMA cache_size = -{WRITER_CACHE_KIB}"
        ),
        (Dialect::Sqlite, Role::Reader) => format!(
            "PRAGMA busy_timeout = {wait}; PRAGMA query_only = ON; PRAGMA temp_store = MEMORY; \
             PRAGMA cache_size = -{READER_CACHE_KIB}"
        ),
        (Dialect::Postgres, Role::Writer) => {
            format!("SET lock_timeout = {wait}; SET synchronous_commit = on")
        }
        (Dialect::Postgres, Role::Reader) => {
            format!("SET lock_timeout = {wait}; SET default_transaction_read_only = on")
        }
    };
    // Made of numbers and constants only.
    connection
        .execute(sqlx::raw_sql(AssertSqlSafe(text)))
        .await?;
    Ok(())
}

/// Makes the file of a SQLite database if it is missing, readable by its owner only.
pub(super) fn make_file(location: &Location) -> std::io::Result<()> {
    use std::os::unix::fs::OpenOptionsExt as _;
    let Location::Sqlite(path) = location else {
        return Ok(());
    };
    let made = std::fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path);
    match made {
        Err(err) if err.kind() == std::io::ErrorKind::AlreadyExists => Ok(()),
        made => made.map(drop),
    }
}
