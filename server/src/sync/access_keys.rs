//! Access keys: what one machine needs to read one session (contract rest.md section 7).

use serde::Serialize;
use sqlx::any::AnyRow;
use sqlx::{AnyConnection, Row as _};
use utoipa::ToSchema;

use super::change::Change;
use super::error::SyncError;
use super::versioned::VersionedWrite;
use super::{machines, sessions};
use crate::database::new_id;

/// An access key as clients see it.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct AccessKey {
    /// Ciphertext.
    pub data: String,
    /// Grows with each change, from 1.
    pub data_version: i64,
    /// Unix ms.
    pub created_at: i64,
    /// Unix ms of the last change.
    pub updated_at: i64,
}

/// Which key.
#[derive(Clone, Debug)]
pub struct KeyPath {
    /// The session.
    pub session: String,
    /// The machine.
    pub machine: String,
}

fn read(row: &AnyRow) -> Result<AccessKey, SyncError> {
    Ok(AccessKey {
        data: row.try_get(0)?,
        data_version: row.try_get(1)?,
        created_at: row.try_get(2)?,
        updated_at: row.try_get(3)?,
    })
}

async fn lookup(
    reader: &mut AnyConnection,
    account: &str,
    path: &KeyPath,
) -> Result<Option<AccessKey>, SyncError> {
    let row = sqlx::query(
        "SELECT data, data_version, created_at, updated_at FROM access_keys \
         WHERE account_id = $1 AND session_id = $2 AND machine_id = $3",
    )
    .bind(account)
    .bind(path.session.as_str())
    .bind(path.machine.as_str())
    .fetch_optional(reader)
    .await?;
    row.as_ref().map(read).transpose()
}

/// The key of a session and a machine of the account, if one is stored.
///
/// # Errors
/// [`SyncError::NotFound`] when one of both is not the account's, or the database's.
pub async fn find(
    reader: &mut AnyConnection,
    account: &str,
    path: &KeyPath,
) -> Result<Option<AccessKey>, SyncError> {
    sessions::require(reader, account, &path.session).await?;
    machines::find(reader, account, &path.machine).await?;
    lookup(reader, account, path).await
}

/// Stores a first key.
///
/// # Errors
/// As [`find`], and [`SyncError::Conflict`] when there is one.
pub async fn create(
    change: &mut Change<'_>,
    path: &KeyPath,
    data: &str,
) -> Result<AccessKey, SyncError> {
    let (account, now) = (change.account().to_string(), change.now());
    if find(change.connection(), &account, path).await?.is_some() {
        let text = "there is an access key already; replace it with PUT";
        return Err(SyncError::Conflict(text));
    }
    let row = sqlx::query(
        "INSERT INTO access_keys (id, account_id, session_id, machine_id, data, data_version, \
         created_at, updated_at) VALUES ($1, $2, $3, $4, $5, 1, $6, $6) \
         RETURNING data, data_version, created_at, updated_at",
    )
    .bind(new_id())
    .bind(account)
    .bind(path.session.as_str())
    .bind(path.machine.as_str())
    .bind(data)
    .bind(now)
    .fetch_one(change.connection())
    .await?;
    read(&row)
}

/// Replaces a key, if the version is the expected one.
///
/// # Errors
/// [`SyncError::NotFound`] without a key, or the database's.
pub async fn write(
    change: &mut Change<'_>,
    path: &KeyPath,
    data: &str,
    expected: i64,
) -> Result<VersionedWrite<String>, SyncError> {
    let (account, now) = (change.account().to_string(), change.now());
    let written = sqlx::query(
        "UPDATE access_keys SET data = $1, data_version = data_version + 1, updated_at = $2 \
         WHERE account_id = $3 AND session_id = $4 AND machine_id = $5 AND data_version = $6",
    )
    .bind(data)
    .bind(now)
    .bind(account.as_str())
    .bind(path.session.as_str())
    .bind(path.machine.as_str())
    .bind(expected)
    .execute(change.connection())
    .await?;
    if written.rows_affected() > 0 {
        return Ok(VersionedWrite::Written(expected + 1));
    }
    let stored = lookup(change.connection(), &account, path).await?;
    let stored = stored.ok_or(SyncError::NotFound("Access key"))?;
    Ok(VersionedWrite::Mismatch {
        version: stored.data_version,
        value: stored.data,
    })
}
