//! Devices that take push messages (contract rest.md section 14).

use serde::Serialize;
use sqlx::{AnyConnection, Row as _};
use utoipa::ToSchema;

use super::change::Change;
use super::error::SyncError;
use crate::database::new_id;

/// Most characters of a token.
pub const MAX_TOKEN_CHARS: usize = 1000;
/// Most tokens of one account; the one that was registered first gives way.
const MOST_TOKENS: i64 = 100;

/// A registered device.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct PushToken {
    /// Its name here.
    pub id: String,
    /// The token of the push service.
    pub token: String,
    /// When it was first registered, Unix milliseconds.
    pub created_at: i64,
    /// When it was last registered, Unix milliseconds.
    pub updated_at: i64,
}

/// Registers a token; one that is there is noted as still in use.
///
/// # Errors
/// The database's.
pub async fn register(change: &mut Change<'_>, token: &str) -> Result<(), SyncError> {
    let (account, now) = (change.account().to_string(), change.now());
    change.ensure_account().await?;
    sqlx::query(
        "INSERT INTO push_tokens (account_id, token, id, created_at, updated_at) \
         VALUES ($1, $2, $3, $4, $4) ON CONFLICT (account_id, token) DO UPDATE SET updated_at = $4",
    )
    .bind(account.as_str())
    .bind(token)
    .bind(new_id())
    .bind(now)
    .execute(change.connection())
    .await?;
    sqlx::query(
        "DELETE FROM push_tokens WHERE account_id = $1 AND id NOT IN \
         (SELECT id FROM push_tokens WHERE account_id = $1 ORDER BY id DESC LIMIT $2)",
    )
    .bind(account)
    .bind(MOST_TOKENS)
    .execute(change.connection())
    .await?;
    Ok(())
}

/// The tokens, newest first.
///
/// # Errors
/// The database's.
pub async fn list(reader: &mut AnyConnection, account: &str) -> Result<Vec<PushToken>, SyncError> {
    let query = "SELECT id, token, created_at, updated_at FROM push_tokens \
                 WHERE account_id = $1 ORDER BY id DESC";
    let rows = sqlx::query(query).bind(account).fetch_all(reader).await?;
    let tokens = rows.iter().map(|row| {
        Ok(PushToken {
            id: row.try_get(0)?,
            token: row.try_get(1)?,
            created_at: row.try_get(2)?,
            updated_at: row.try_get(3)?,
        })
    });
    tokens.collect()
}

/// Removes a token; one that is not there is no error.
///
/// # Errors
/// The database's.
pub async fn remove(change: &mut Change<'_>, token: &str) -> Result<(), SyncError> {
    let account = change.account().to_string();
    sqlx::query("DELETE FROM push_tokens WHERE account_id = $1 AND token = $2")
        .bind(account)
        .bind(token)
        .execute(change.connection())
        .await?;
    Ok(())
}
