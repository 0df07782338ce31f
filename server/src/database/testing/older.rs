//! Databases as the first version of the schema left them, with rows in every table.
//!
//! `tests/data/first-schema.db` was made by the steps of the commit that brought the database, and
//! filled with `first-schema.sql`; it is never made anew. PostgreSQL has no file to keep: there the
//! same steps and rows are run.

use std::path::Path;
use std::time::Duration;

use sqlx::{AssertSqlSafe, Connection as _, Executor as _};

use super::postgres;
use crate::database::connection::{self, Role};
use crate::database::location::{Dialect, Location};
use crate::database::migrations;

/// The steps of the first version.
pub const STEPS: [i64; 8] = [1, 10, 20, 21, 22, 23, 24, 25];

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data");
const ROWS: &str = include_str!("../../../tests/data/first-schema.sql");

/// A copy in the folder, or in a schema of PostgreSQL's.
pub async fn copy(dialect: Dialect, folder: &Path) -> Location {
    match dialect {
        Dialect::Sqlite => {
            let path = folder.join("older.db");
            std::fs::copy(Path::new(FOLDER).join("first-schema.db"), &path).unwrap();
            Location::Sqlite(path)
        }
        Dialect::Postgres => {
            let location = Location::Postgres(postgres::fresh_url());
            sqlx::any::install_default_drivers();
            let wait = Duration::from_secs(1);
            let opening = connection::open(&location, Role::Writer, wait);
            let mut connection = opening.await.unwrap();
            let first = |version| STEPS.contains(&version);
            migrations::run_those(&mut connection, &location, first)
                .await
                .unwrap();
            // Bytes are written in another way.
            let rows = AssertSqlSafe(ROWS.replace("X'", r"'\x"));
            connection.execute(sqlx::raw_sql(rows)).await.unwrap();
            location
        }
    }
}

/// Runs statements on a database that nobody has open.
pub async fn change(location: &Location, statements: &'static str) {
    sqlx::any::install_default_drivers();
    let opening = connection::open(location, Role::Writer, Duration::from_secs(1));
    let mut connection = opening.await.unwrap();
    let statements = sqlx::raw_sql(statements);
    connection.execute(statements).await.unwrap();
    connection.close().await.unwrap();
}
