//! Tokens of third parties that a user's agents share (contract rest.md section 14): one for each
//! vendor, sealed before they come here.

use sqlx::{AnyConnection, Row as _};

use super::change::Change;
use super::error::SyncError;

/// Most characters of a token.
pub const MAX_TOKEN_CHARS: usize = 65_536;

/// A vendor's token, sealed.
#[derive(Clone, Debug)]
pub struct SealedToken {
    /// The vendor's name.
    pub vendor: String,
    /// What [`crate::vault::Vault::open`] takes.
    pub sealed: Vec<u8>,
}

/// Stores the token of a vendor, in the place of an earlier one.
///
/// # Errors
/// The database's.
pub async fn store(
    change: &mut Change<'_>,
    vendor: &str,
    sealed: Vec<u8>,
) -> Result<(), SyncError> {
    let (account, now) = (change.account().to_string(), change.now());
    change.ensure_account().await?;
    sqlx::query(
        "INSERT INTO service_tokens (account_id, vendor, token, created_at, updated_at) \
         VALUES ($1, $2, $3, $4, $4) \
         ON CONFLICT (account_id, vendor) DO UPDATE SET token = $3, updated_at = $4",
    )
    .bind(account)
    .bind(vendor)
    .bind(sealed)
    .bind(now)
    .execute(change.connection())
    .await?;
    Ok(())
}

/// The tokens of an account, by vendor.
///
/// # Errors
/// The database's.
pub async fn list(
    reader: &mut AnyConnection,
    account: &str,
) -> Result<Vec<SealedToken>, SyncError> {
    let query = "SELECT vendor, token FROM service_tokens WHERE account_id = $1 ORDER BY vendor";
    let rows = sqlx::query(query).bind(account).fetch_all(reader).await?;
    let tokens = rows.iter().map(|row| {
        Ok(SealedToken {
            vendor: row.try_get(0)?,
            sealed: row.try_get(1)?,
        })
    });
    tokens.collect()
}

/// The token of one vendor.
///
/// # Errors
/// The database's.
pub async fn find(
    reader: &mut AnyConnection,
    account: &str,
    vendor: &str,
) -> Result<Option<Vec<u8>>, SyncError> {
    let query = "SELECT token FROM service_tokens WHERE account_id = $1 AND vendor = $2";
    let row = sqlx::query(query).bind(account).bind(vendor);
    let row = row.fetch_optional(reader).await?;
    Ok(row.map(|row| row.try_get(0)).transpose()?)
}

/// Removes the token of a vendor; one that is not there is no error.
///
/// # Errors
/// The database's.
pub async fn remove(change: &mut Change<'_>, vendor: &str) -> Result<(), SyncError> {
    let account = change.account().to_string();
    sqlx::query("DELETE FROM service_tokens WHERE account_id = $1 AND vendor = $2")
        .bind(account)
        .bind(vendor)
        .execute(change.connection())
        .await?;
    Ok(())
}
