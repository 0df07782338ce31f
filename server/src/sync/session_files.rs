//! Files of sessions, as the database knows them: what was announced, and what is stored. Their
//! contents are [`crate::session_files`]'.

use sqlx::{AnyConnection, Row as _};

use super::change::Change;
use super::error::SyncError;
use super::sessions;
use crate::database::new_id;

/// What a lookup that fails has not found.
pub const FILE: &str = "Attachment";

/// A file that a client will upload.
#[derive(Clone, Debug)]
pub struct NewFile {
    /// Its session.
    pub session: String,
    /// The client's name for it.
    pub name: String,
    /// Bytes.
    pub size: u64,
}

/// A file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionFile {
    /// Its name here.
    pub id: String,
    /// Bytes.
    pub size: u64,
    /// Whether its content is there.
    pub is_stored: bool,
}

/// Announces a file; `None` when the account's files would take more than `most` bytes.
///
/// # Errors
/// [`SyncError::NotFound`] for the session, or the database's.
pub async fn announce(
    change: &mut Change<'_>,
    new: NewFile,
    most: u64,
) -> Result<Option<String>, SyncError> {
    let (account, now) = (change.account().to_string(), change.now());
    sessions::require(change.connection(), &account, &new.session).await?;
    let row = sqlx::query(
        "SELECT CAST(COALESCE(SUM(size), 0) AS BIGINT) FROM session_files \
         WHERE account_id = $1 AND removed_at IS NULL",
    )
    .bind(account.as_str())
    .fetch_one(change.connection())
    .await?;
    let taken: i64 = row.try_get(0)?;
    if taken.unsigned_abs().saturating_add(new.size) > most {
        return Ok(None);
    }
    let id = new_id();
    sqlx::query(
        "INSERT INTO session_files (id, account_id, session_id, name, size, created_at) \
         VALUES ($1, $2, $3, $4, $5, $6)",
    )
    .bind(id.as_str())
    .bind(account)
    .bind(new.session)
    .bind(new.name)
    .bind(i64::try_from(new.size).unwrap_or(i64::MAX))
    .bind(now)
    .execute(change.connection())
    .await?;
    Ok(Some(id))
}

/// Finds a file of a session.
///
/// # Errors
/// [`SyncError::NotFound`], or the database's.
pub async fn find(
    reader: &mut AnyConnection,
    session: &str,
    id: &str,
) -> Result<SessionFile, SyncError> {
    let row = sqlx::query(
        "SELECT size, stored_at FROM session_files \
         WHERE id = $1 AND session_id = $2 AND removed_at IS NULL",
    )
    .bind(id)
    .bind(session)
    .fetch_optional(reader)
    .await?
    .ok_or(SyncError::NotFound(FILE))?;
    Ok(SessionFile {
        id: id.to_owned(),
        size: row.try_get::<i64, _>(0)?.unsigned_abs(),
        is_stored: row.try_get::<Option<i64>, _>(1)?.is_some(),
    })
}

/// Notes that a file's content is there; `false` when the file was removed meanwhile.
///
/// # Errors
/// The database's.
pub async fn stored(connection: &mut AnyConnection, id: &str, now: i64) -> Result<bool, SyncError> {
    let query = "UPDATE session_files SET stored_at = $1 WHERE id = $2 AND removed_at IS NULL";
    let update = sqlx::query(query).bind(now).bind(id);
    Ok(update.execute(connection).await?.rows_affected() > 0)
}

/// Gives up the files of a session that is deleted; their contents are removed later.
///
/// # Errors
/// The database's.
pub async fn abandon(change: &mut Change<'_>, session: &str) -> Result<(), SyncError> {
    let now = change.now();
    sqlx::query(
        "UPDATE session_files SET removed_at = $1 WHERE session_id = $2 AND removed_at IS NULL",
    )
    .bind(now)
    .bind(session)
    .execute(change.connection())
    .await?;
    Ok(())
}

/// Files that have no session any more, and those that were announced before a time and never came.
///
/// # Errors
/// The database's.
pub async fn abandoned(
    reader: &mut AnyConnection,
    announced_before: i64,
    most: i64,
) -> Result<Vec<String>, SyncError> {
    let rows = sqlx::query(
        "SELECT id FROM session_files WHERE (stored_at IS NULL OR removed_at IS NOT NULL) \
         AND (removed_at IS NOT NULL OR created_at < $1) ORDER BY created_at LIMIT $2",
    )
    .bind(announced_before)
    .bind(most)
    .fetch_all(reader)
    .await?;
    let ids = rows.iter().map(|row| Ok(row.try_get(0)?));
    ids.collect()
}

/// Forgets a file whose content is gone; one that came after all is kept.
///
/// # Errors
/// The database's.
pub async fn forget(connection: &mut AnyConnection, id: &str) -> Result<(), SyncError> {
    sqlx::query(
        "DELETE FROM session_files \
         WHERE id = $1 AND (stored_at IS NULL OR removed_at IS NOT NULL)",
    )
    .bind(id)
    .execute(connection)
    .await?;
    Ok(())
}
