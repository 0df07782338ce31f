//! API keys as they are made, listed and revoked. The key itself is shown once and never stored.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Serialize;
use sha2::{Digest as _, Sha256};
use sqlx::Row as _;
use utoipa::ToSchema;

use super::tenants;
use crate::database::{DatabaseError, Reader, Tx, new_id};

/// What keys that this server makes begin with.
const MARK: &str = "dm_";
/// Characters of a key that are kept to tell keys apart.
const PREFIX_CHARS: usize = 8;

/// Longest name of a key, and longest scope, characters.
pub const MAX_NAME_CHARS: usize = 128;

/// SHA-256 of a key, by which it is known.
pub type KeyHash = [u8; 32];

/// The hash of a key.
pub fn hash(key: &str) -> KeyHash {
    Sha256::digest(key.as_bytes()).into()
}

/// A hash as it is stored: lowercase hex.
pub fn hex(hash: &KeyHash) -> String {
    hash.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The characters of a key that are kept to tell keys apart.
pub fn prefix(key: &str) -> String {
    key.chars().take(PREFIX_CHARS).collect()
}

/// What a new key is to be.
#[derive(Clone, Debug)]
pub struct NewKey {
    /// Whose it is; made if there is no such tenant.
    pub tenant: String,
    /// A name for people.
    pub name: String,
    /// What it is for; kept and listed.
    pub scopes: Vec<String>,
    /// Requests a minute; none for as many as it likes.
    pub rate_limit: Option<u32>,
    /// When it ends, Unix ms.
    pub expires_at: Option<i64>,
}

/// A key that is stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct StoredKey {
    /// Its id.
    pub id: String,
    /// Whose it is.
    pub tenant: String,
    /// A name for people.
    pub name: String,
    /// Its first characters.
    pub prefix: String,
    /// `ACTIVE`, `REVOKED` or `EXPIRED`.
    pub status: String,
    /// When it ends, Unix ms.
    pub expires_at: Option<i64>,
    /// When it was last used, Unix ms, to the minute.
    pub last_used_at: Option<i64>,
}

/// Makes a key; returns it. It cannot be had again.
///
/// # Errors
/// Those of the database.
pub async fn create(tx: &mut Tx, new: &NewKey) -> Result<String, DatabaseError> {
    let secret: [u8; 32] = rand::random();
    let key = format!("{MARK}{}", URL_SAFE_NO_PAD.encode(secret));
    store(tx, new, &key).await?;
    Ok(key)
}

/// Stores a key that is known already.
///
/// # Errors
/// Those of the database.
pub async fn store(tx: &mut Tx, new: &NewKey, key: &str) -> Result<(), DatabaseError> {
    tenants::ensure(tx, &new.tenant).await?;
    let now = tx.now();
    let scopes = serde_json::json!(new.scopes).to_string();
    sqlx::query(
        "INSERT INTO api_keys (id, tenant_id, name, key_hash, prefix, status, scopes, rate_limit, \
         expires_at, created_at, updated_at) \
         VALUES ($1, $2, $3, $4, $5, 'ACTIVE', $6, $7, $8, $9, $9)",
    )
    .bind(new_id())
    .bind(new.tenant.clone())
    .bind(new.name.clone())
    .bind(hex(&hash(key)))
    .bind(prefix(key))
    .bind(scopes)
    .bind(new.rate_limit.map(i64::from))
    .bind(new.expires_at)
    .bind(now)
    .execute(tx.connection())
    .await?;
    Ok(())
}

/// Up to `limit` keys, by tenant and age.
///
/// # Errors
/// Those of the database.
pub async fn list(
    reader: &mut Reader,
    now: i64,
    limit: i64,
) -> Result<Vec<StoredKey>, DatabaseError> {
    let rows = sqlx::query(
        "SELECT id, tenant_id, name, prefix, status, expires_at, last_used_at FROM api_keys \
         ORDER BY tenant_id, id LIMIT $1",
    )
    .bind(limit)
    .fetch_all(reader)
    .await?;
    let mut keys = Vec::with_capacity(rows.len());
    for row in rows {
        let expires_at: Option<i64> = row.try_get(5)?;
        let mut status: String = row.try_get(4)?;
        if status == "ACTIVE" && expires_at.is_some_and(|at| at <= now) {
            status = "EXPIRED".to_owned();
        }
        keys.push(StoredKey {
            id: row.try_get(0)?,
            tenant: row.try_get(1)?,
            name: row.try_get(2)?,
            prefix: row.try_get(3)?,
            status,
            expires_at,
            last_used_at: row.try_get(6)?,
        });
    }
    Ok(keys)
}

/// Revokes the active key of an id, or of a prefix if it is the only one; returns how many it
/// found. More than one are left as they are.
///
/// # Errors
/// Those of the database.
pub async fn revoke(tx: &mut Tx, id_or_prefix: &str) -> Result<usize, DatabaseError> {
    let rows =
        sqlx::query("SELECT id FROM api_keys WHERE status = 'ACTIVE' AND (id = $1 OR prefix = $1)")
            .bind(id_or_prefix.to_owned())
            .fetch_all(tx.connection())
            .await?;
    if let [row] = &rows[..] {
        let (id, now): (String, i64) = (row.try_get(0)?, tx.now());
        sqlx::query("UPDATE api_keys SET status = 'REVOKED', updated_at = $1 WHERE id = $2")
            .bind(now)
            .bind(id)
            .execute(tx.connection())
            .await?;
    }
    Ok(rows.len())
}
