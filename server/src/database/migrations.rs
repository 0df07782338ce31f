//! The schema, step by step: forward only, run at start.
//!
//! A step is a file per dialect with the same meaning. Steps that a release has had never change:
//! their checksums are kept in the database. New ones get numbers of their own; the tens belong to
//! one topic.

use std::borrow::Cow;

use sqlx::migrate::{MigrateError, Migration, MigrationType, Migrator};
use sqlx::{AnyConnection, SqlSafeStr as _};

use super::error::OpenError;
use super::location::{Dialect, Location};

/// One step.
struct Step {
    version: i64,
    name: &'static str,
    sqlite: &'static str,
    postgres: &'static str,
}

macro_rules! steps {
    ($($version:literal $name:literal,)*) => {
        &[$(Step {
            version: $version,
            name: $name,
            sqlite: include_str!(concat!("migrations/sqlite/", $name, ".sql")),
            postgres: include_str!(concat!("migrations/postgres/", $name, ".sql")),
        }),*]
    };
}

/// All steps, in their order.
const STEPS: &[Step] = steps![
    1 "01_probe",
    10 "10_accounts",
    11 "11_access",
    12 "12_pairing_requests",
    20 "20_sessions",
    21 "21_machines",
    22 "22_artifacts",
    23 "23_access_keys",
    24 "24_usage",
    25 "25_tombstones",
    30 "30_kv_items",
    31 "31_feed_items",
    32 "32_push_tokens",
    40 "40_service_tokens",
    41 "41_session_files",
    42 "42_silence",
    50 "50_tenants",
    51 "51_calls",
    52 "52_event_log",
    53 "53_call_records",
    54 "54_event_groups",
    55 "55_call_totals",
    60 "60_dashboard",
];

/// Brings the database up to date.
pub(super) async fn run(
    connection: &mut AnyConnection,
    location: &Location,
) -> Result<(), OpenError> {
    run_those(connection, location, |_| true).await
}

/// As [`run`], only the steps whose numbers are chosen: what an older version would have made.
pub(super) async fn run_those(
    connection: &mut AnyConnection,
    location: &Location,
    is_chosen: impl Fn(i64) -> bool,
) -> Result<(), OpenError> {
    let steps = STEPS.iter().filter(|step| is_chosen(step.version));
    let migrations = steps.map(|step| {
        let text = match location.dialect() {
            Dialect::Sqlite => step.sqlite,
            Dialect::Postgres => step.postgres,
        };
        let name = Cow::Borrowed(step.name);
        Migration::new(
            step.version,
            name,
            MigrationType::Simple,
            text.into_sql_str(),
            false,
        )
    });
    let migrator = Migrator::with_migrations(migrations.collect());
    let failed = |cause: &dyn std::fmt::Display| OpenError::Migration {
        location: location.to_string(),
        cause: cause.to_string(),
    };
    match migrator.run(connection).await {
        Ok(()) => Ok(()),
        Err(MigrateError::VersionMissing(version)) => Err(OpenError::Newer {
            location: location.to_string(),
            version,
        }),
        Err(MigrateError::Execute(err)) => Err(location.unusable(&err)),
        Err(err) => Err(failed(&err)),
    }
}
