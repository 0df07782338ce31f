//! All rows as text, and back: for backups, and for moving from one kind of database to the other.
//!
//! A line is a JSON object: `{"table","row"}`, with each column by its name; bytes are
//! `{"base64"}`, and null columns are left out. Tables come in the order in which the migrations
//! made them, so that a row comes after those that it refers to. Both ends have the same migrations.

use std::io::{BufRead, Write};

use futures_util::TryStreamExt as _;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use sqlx::any::{AnyRow, AnyTypeInfoKind};
use sqlx::{
    AnyConnection, AssertSqlSafe, Column as _, Executor as _, Row as _, TypeInfo as _,
    ValueRef as _,
};

use super::connection::{self, Role};
use super::location::{Dialect, Location};
use super::{DatabaseError, OpenError, migrations};
use crate::base64_text;

/// How many rows one transaction of an import takes.
const ROWS: usize = 500;
/// The key of an object that stands for bytes.
const BASE64: &str = "base64";

/// Why an export or an import ended.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DumpError {
    /// The database cannot be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The database.
    #[error(transparent)]
    Database(#[from] DatabaseError),
    /// The file.
    #[error("cannot read or write the file: {0}")]
    File(#[from] std::io::Error),
    /// A line that no export has written.
    #[error("line {line} cannot be used: {cause}; what came before it is stored")]
    Line {
        /// From 1.
        line: usize,
        /// What is wrong with it.
        cause: String,
    },
}

impl From<sqlx::Error> for DumpError {
    fn from(err: sqlx::Error) -> Self {
        Self::Database(err.into())
    }
}

/// One line.
#[derive(Debug, Deserialize, Serialize)]
struct Line {
    table: String,
    row: Map<String, Value>,
}

/// A database that is worked on as a whole.
#[derive(Debug)]
pub struct Dump {
    connection: AnyConnection,
    dialect: Dialect,
}

impl Dump {
    /// Opens the database and brings it up to date.
    ///
    /// # Errors
    /// [`OpenError`].
    pub async fn open(location: &Location) -> Result<Self, OpenError> {
        sqlx::any::install_default_drivers();
        let unusable = |err| location.unusable(&err);
        connection::make_file(location).map_err(|err| location.unusable(&err))?;
        let mut connection = connection::connect(location).await.map_err(unusable)?;
        migrations::run(&mut connection, location).await?;
        let (dialect, wait) = (location.dialect(), std::time::Duration::from_secs(10));
        connection::prepare(&mut connection, dialect, Role::Writer, wait)
            .await
            .map_err(unusable)?;
        Ok(Self {
            connection,
            dialect,
        })
    }

    /// The tables that hold data, in the order in which they were made.
    async fn tables(&mut self) -> Result<Vec<String>, DumpError> {
        let query = match self.dialect {
            Dialect::Sqlite => {
                "SELECT name FROM sqlite_master WHERE type = 'table' \
                 AND name NOT LIKE 'sqlite!_%' ESCAPE '!' ORDER BY rowid"
            }
            Dialect::Postgres => {
                "SELECT CAST(relname AS TEXT) FROM pg_class WHERE relkind = 'r' \
                 AND relnamespace = CAST(CAST(current_schema() AS TEXT) AS regnamespace) \
                 ORDER BY oid"
            }
        };
        let rows = sqlx::query(query).fetch_all(&mut self.connection).await?;
        let names: Result<Vec<String>, _> = rows.iter().map(|row| row.try_get(0)).collect();
        let mut names = names?;
        names.retain(|name| name != "probe" && name != "_sqlx_migrations");
        Ok(names)
    }

    /// Writes all rows, as they are at one moment; returns how many.
    ///
    /// # Errors
    /// [`DumpError`].
    pub async fn export(&mut self, out: &mut impl Write) -> Result<u64, DumpError> {
        let tables = self.tables().await?;
        let begin = match self.dialect {
            Dialect::Sqlite => "BEGIN",
            Dialect::Postgres => "BEGIN ISOLATION LEVEL REPEATABLE READ",
        };
        self.connection.execute(begin).await?;
        let mut count = 0;
        for table in tables {
            // Names of tables come from the database itself.
            let select = AssertSqlSafe(format!("SELECT * FROM \"{table}\""));
            let mut rows = sqlx::query(select).fetch(&mut self.connection);
            while let Some(row) = rows.try_next().await? {
                let line = Line {
                    table: table.clone(),
                    row: fields(&row)?,
                };
                serde_json::to_writer(&mut *out, &line).map_err(std::io::Error::from)?;
                out.write_all(b"\n")?;
                count += 1;
            }
        }
        self.connection.execute("ROLLBACK").await?;
        out.flush()?;
        Ok(count)
    }

    /// Stores rows that are not there yet; returns how many were read, and how many were new. Rows
    /// that are there stay as they are, so that an import can be run again.
    ///
    /// # Errors
    /// [`DumpError`].
    pub async fn import(&mut self, input: impl BufRead) -> Result<(u64, u64), DumpError> {
        let tables = self.tables().await?;
        let (mut read, mut new, mut open) = (0, 0, 0);
        for (number, line) in input.lines().enumerate() {
            let line = line?;
            if line.trim().is_empty() {
                continue;
            }
            let fault = |cause: String| DumpError::Line {
                line: number + 1,
                cause,
            };
            let parsed: Line = serde_json::from_str(&line).map_err(|err| fault(err.to_string()))?;
            if !tables.contains(&parsed.table) {
                return Err(fault(format!("there is no table {:?} here", parsed.table)));
            }
            let is_name = |name: &String| {
                name.bytes()
                    .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
            };
            if parsed.row.is_empty() || !parsed.row.keys().all(is_name) {
                return Err(fault("these are no columns".to_owned()));
            }
            if open == 0 {
                self.connection.execute("BEGIN").await?;
            }
            match self.insert(&parsed).await {
                Ok(count) => new += count,
                Err(cause) => {
                    self.connection.execute("ROLLBACK").await?;
                    return Err(fault(cause));
                }
            }
            read += 1;
            open += 1;
            if open == ROWS {
                self.connection.execute("COMMIT").await?;
                open = 0;
            }
        }
        if open > 0 {
            self.connection.execute("COMMIT").await?;
        }
        Ok((read, new))
    }

    async fn insert(&mut self, line: &Line) -> Result<u64, String> {
        let columns: Vec<String> = line.row.keys().map(|name| format!("\"{name}\"")).collect();
        let places: Vec<String> = (1..=columns.len())
            .map(|place| format!("${place}"))
            .collect();
        // The names were looked at.
        let insert = AssertSqlSafe(format!(
            "INSERT INTO \"{}\" ({}) VALUES ({}) ON CONFLICT DO NOTHING",
            line.table,
            columns.join(", "),
            places.join(", ")
        ));
        let mut query = sqlx::query(insert);
        for (name, value) in &line.row {
            query = match value {
                Value::String(text) => query.bind(text.as_str()),
                Value::Number(number) => {
                    let number = number.as_i64();
                    query.bind(number.ok_or_else(|| format!("{name} is no 64-bit integer"))?)
                }
                Value::Object(bytes) => {
                    let text = bytes.get(BASE64).and_then(Value::as_str).unwrap_or("?");
                    let bytes =
                        base64_text::decode(text).map_err(|err| format!("{name}: {err}"))?;
                    query.bind(bytes)
                }
                _ => return Err(format!("{name} is neither text, number nor bytes")),
            };
        }
        let inserted = query.execute(&mut self.connection).await;
        inserted
            .map(|inserted| inserted.rows_affected())
            .map_err(|err| err.to_string())
    }

    /// Looks for damage; returns a line for each table with its rows.
    ///
    /// # Errors
    /// [`DumpError`], also for what is damaged.
    pub async fn check(&mut self) -> Result<String, DumpError> {
        if self.dialect == Dialect::Sqlite {
            let rows = sqlx::query("PRAGMA integrity_check(20)")
                .fetch_all(&mut self.connection)
                .await?;
            let found: Result<Vec<String>, _> = rows.iter().map(|row| row.try_get(0)).collect();
            let found = found?;
            if found != ["ok"] {
                let text = format!("it is damaged: {}", found.join("; "));
                return Err(DatabaseError::Unavailable(text).into());
            }
            let dangling = sqlx::query("PRAGMA foreign_key_check")
                .fetch_all(&mut self.connection)
                .await?;
            if !dangling.is_empty() {
                let text = format!("{} rows refer to rows that are gone", dangling.len());
                return Err(DatabaseError::Unavailable(text).into());
            }
        }
        let mut text = String::new();
        for table in self.tables().await? {
            let count = AssertSqlSafe(format!("SELECT COUNT(*) FROM \"{table}\""));
            let row = sqlx::query(count).fetch_one(&mut self.connection).await?;
            let count: i64 = row.try_get(0)?;
            text.push_str(&format!("{table:<24} {count}\n"));
        }
        Ok(text)
    }

    /// Gives the space of what was removed back to the system.
    ///
    /// # Errors
    /// [`DumpError`], also when a running server holds the file.
    pub async fn vacuum(&mut self) -> Result<(), DumpError> {
        self.connection.execute("VACUUM").await?;
        if self.dialect == Dialect::Sqlite {
            let truncate = "PRAGMA wal_checkpoint(TRUNCATE)";
            self.connection.execute(truncate).await?;
        }
        Ok(())
    }
}

/// The columns of a row that are not null.
pub(super) fn fields(row: &AnyRow) -> Result<Map<String, Value>, DumpError> {
    let mut fields = Map::new();
    for (place, column) in row.columns().iter().enumerate() {
        let raw = row.try_get_raw(place)?;
        if raw.is_null() || raw.type_info().is_null() {
            continue;
        }
        let value = match raw.type_info().kind() {
            AnyTypeInfoKind::Text => Value::String(row.try_get(place)?),
            AnyTypeInfoKind::Blob => {
                let bytes: Vec<u8> = row.try_get(place)?;
                let text = Value::String(base64_text::encode(&bytes));
                Value::Object(Map::from_iter([(BASE64.to_owned(), text)]))
            }
            _ => Value::from(row.try_get::<i64, _>(place)?),
        };
        fields.insert(column.name().to_owned(), value);
    }
    Ok(fields)
}
