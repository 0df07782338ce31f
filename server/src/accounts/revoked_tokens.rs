//! Revoked tokens in the database (data model, revokedToken).

use super::error::AccountError;
use super::public_key::hex;
use crate::auth::{Identity, TokenHash};
use crate::database::{Database, Tx};

/// Revokes a token, durably. It is refused in the servers' memory by [`super::Access`].
///
/// `forget_at_ms` (Unix milliseconds) is the end of the token and of the time in which it could
/// still be refreshed.
///
/// # Errors
/// When it cannot be stored; then nothing is revoked.
pub async fn revoke(
    database: &Database,
    identity: &Identity,
    forget_at_ms: u64,
) -> Result<(), AccountError> {
    let (hash, account) = (hex(&identity.token_hash), identity.user.to_string());
    let forget_at = i64::try_from(forget_at_ms).unwrap_or(i64::MAX);
    let write = database.write(async move |tx| {
        let (now, version) = (tx.now(), next_version(tx).await?);
        let insert = "INSERT INTO revoked_tokens (token_hash, account_id, reason, revoked_at, \
                      expires_at, access_version) VALUES ($1, $2, 'logout', $3, $4, $5) \
                      ON CONFLICT (token_hash) DO NOTHING";
        sqlx::query(insert)
            .bind(hash)
            .bind(account)
            .bind(now)
            .bind(forget_at)
            .bind(version)
            .execute(tx.connection())
            .await?;
        Ok::<_, AccountError>(())
    });
    write.await
}

/// The number of a change of who is refused, for the rows of this transaction.
pub(super) async fn next_version(tx: &mut Tx) -> Result<i64, AccountError> {
    use sqlx::Row as _;
    let update = "UPDATE access_clock SET version = version + 1 WHERE id = 1 RETURNING version";
    let row = sqlx::query(update).fetch_one(tx.connection()).await?;
    Ok(row.try_get(0)?)
}

/// Reads a hash back; `None` when it is none.
pub(super) fn read_hash(text: &str) -> Option<TokenHash> {
    // The same form: 32 bytes in hex.
    super::PublicKey::read(text).map(|key| *key.as_bytes())
}
