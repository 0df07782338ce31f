//! What is left of what was deleted, for clients that were away (contract data-model.md section 3).

use sqlx::{AnyConnection, Row as _};

use super::change::Change;
use super::error::SyncError;

/// What a tombstone stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A session.
    Session,
    /// An artifact.
    Artifact,
}

impl Kind {
    /// The word in the database.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Session => "session",
            Self::Artifact => "artifact",
        }
    }
}

/// Leaves a tombstone with the number of the update that announces the deletion.
///
/// # Errors
/// The database's.
pub async fn leave(
    change: &mut Change<'_>,
    kind: Kind,
    id: &str,
    seq: i64,
) -> Result<(), SyncError> {
    let (account, now) = (change.account().to_string(), change.now());
    sqlx::query(
        "INSERT INTO tombstones (account_id, kind, id, change_seq, deleted_at) \
         VALUES ($1, $2, $3, $4, $5) ON CONFLICT (account_id, kind, id) \
         DO UPDATE SET change_seq = $4, deleted_at = $5",
    )
    .bind(account)
    .bind(kind.as_str())
    .bind(id)
    .bind(seq)
    .bind(now)
    .execute(change.connection())
    .await?;
    Ok(())
}

/// What was deleted after a number, oldest first.
pub const SINCE: &str = "SELECT id, change_seq, deleted_at FROM tombstones \
     WHERE account_id = $1 AND kind = $2 AND change_seq > $3 ORDER BY change_seq LIMIT $4";

/// Ids and numbers of what was deleted after a number, oldest first.
///
/// # Errors
/// The database's.
pub async fn since(
    reader: &mut AnyConnection,
    account: &str,
    kind: Kind,
    seq: i64,
    most: i64,
) -> Result<Vec<(String, i64, i64)>, SyncError> {
    let rows = sqlx::query(SINCE)
        .bind(account)
        .bind(kind.as_str())
        .bind(seq)
        .bind(most)
        .fetch_all(reader)
        .await?;
    rows.iter()
        .map(|row| Ok((row.try_get(0)?, row.try_get(1)?, row.try_get(2)?)))
        .collect()
}
