//! Sessions (contract data-model.md section 3, rest.md section 4).

use dormouse_protocol::Filter;
use serde::Serialize;
use sqlx::any::AnyRow;
use sqlx::{AnyConnection, Row as _};
use utoipa::ToSchema;

use super::binary;
use super::bodies::{Ephemeral, Update, Versioned};
use super::change::Change;
use super::error::SyncError;
use super::session_files;
use super::tombstones::{self, Kind};
use super::versioned::VersionedWrite;
use crate::database::new_id;

pub mod lists;

/// What a lookup that fails has not found.
pub const SESSION: &str = "Session";

/// A session as clients see it.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Session {
    /// The id.
    pub id: String,
    /// The number of its last message; 0 without any.
    pub seq: i64,
    /// Unix ms.
    pub created_at: i64,
    /// Unix ms of the last change.
    pub updated_at: i64,
    /// Whether it runs.
    pub active: bool,
    /// Unix ms of the last sign of life.
    pub active_at: i64,
    /// Ciphertext.
    pub metadata: String,
    /// Grows with each change of the metadata.
    pub metadata_version: i64,
    /// Ciphertext, if there is any.
    pub agent_state: Option<String>,
    /// Grows with each change of the agent state; 0 without any.
    pub agent_state_version: i64,
    /// Base64.
    pub data_encryption_key: Option<String>,
    /// Always null.
    #[schema(value_type = Option<String>)]
    pub last_message: (),
}

/// The columns of a [`Session`], in the order of [`read`].
macro_rules! session_columns {
    () => {
        "id, seq, created_at, updated_at, active, last_active_at, metadata, metadata_version, \
         agent_state, agent_state_version, data_encryption_key"
    };
}
pub(crate) use session_columns;

/// Reads a row of [`session_columns`].
pub(super) fn read(row: &AnyRow) -> Result<Session, SyncError> {
    let key: Option<Vec<u8>> = row.try_get(10)?;
    Ok(Session {
        id: row.try_get(0)?,
        seq: row.try_get(1)?,
        created_at: row.try_get(2)?,
        updated_at: row.try_get(3)?,
        active: row.try_get::<i64, _>(4)? != 0,
        active_at: row.try_get(5)?,
        metadata: row.try_get(6)?,
        metadata_version: row.try_get(7)?,
        agent_state: row.try_get(8)?,
        agent_state_version: row.try_get(9)?,
        data_encryption_key: key.as_deref().map(binary::encode),
        last_message: (),
    })
}

/// A session to be made.
#[derive(Clone, Debug)]
pub struct NewSession {
    /// Names it within its account.
    pub tag: String,
    /// Ciphertext.
    pub metadata: String,
    /// Ciphertext.
    pub agent_state: Option<String>,
    /// The key's bytes.
    pub data_encryption_key: Option<Vec<u8>>,
}

/// Finds a session of an account.
///
/// # Errors
/// [`SyncError::NotFound`], or the database's.
pub async fn find(
    reader: &mut AnyConnection,
    account: &str,
    id: &str,
) -> Result<Session, SyncError> {
    let row = sqlx::query(concat!(
        "SELECT ",
        session_columns!(),
        " FROM sessions WHERE id = $1 AND account_id = $2"
    ))
    .bind(id)
    .bind(account)
    .fetch_optional(reader)
    .await?;
    read(&row.ok_or(SyncError::NotFound(SESSION))?)
}

/// Requires that a session is the account's.
///
/// # Errors
/// [`SyncError::NotFound`], or the database's.
pub async fn require(reader: &mut AnyConnection, account: &str, id: &str) -> Result<(), SyncError> {
    let row = sqlx::query("SELECT seq FROM sessions WHERE id = $1 AND account_id = $2")
        .bind(id)
        .bind(account)
        .fetch_optional(reader)
        .await?;
    row.map(drop).ok_or(SyncError::NotFound(SESSION))
}

/// Makes a session, or returns the one with its tag exactly as it is stored.
///
/// # Errors
/// The database's.
pub async fn create(change: &mut Change<'_>, new: NewSession) -> Result<Session, SyncError> {
    let (account, now) = (change.account().to_string(), change.now());
    let stored = sqlx::query(concat!(
        "SELECT ",
        session_columns!(),
        " FROM sessions WHERE account_id = $1 AND tag = $2"
    ))
    .bind(account.as_str())
    .bind(new.tag.as_str())
    .fetch_optional(change.connection())
    .await?;
    if let Some(row) = stored {
        return read(&row);
    }
    let seq = change.next_seq().await?;
    let row = sqlx::query(concat!(
        "INSERT INTO sessions (id, account_id, tag, metadata, metadata_version, agent_state, \
         agent_state_version, data_encryption_key, seq, change_seq, create_seq, active, \
         last_active_at, created_at, updated_at) \
         VALUES ($1, $2, $3, $4, 1, $5, $6, $7, 0, $8, $8, 1, $9, $9, $9) RETURNING ",
        session_columns!()
    ))
    .bind(new_id())
    .bind(account.as_str())
    .bind(new.tag)
    .bind(new.metadata)
    .bind(new.agent_state.as_deref())
    .bind(i64::from(new.agent_state.is_some()))
    .bind(new.data_encryption_key)
    .bind(seq)
    .bind(now)
    .fetch_one(change.connection())
    .await?;
    let session = read(&row)?;
    change.update(seq, Filter::UserScopedOnly, &new_session(&session));
    Ok(session)
}

/// The update that announces a session.
pub(super) fn new_session(session: &Session) -> Update<'_> {
    Update::NewSession {
        sid: &session.id,
        id: &session.id,
        seq: session.seq,
        metadata: &session.metadata,
        metadata_version: session.metadata_version,
        agent_state: session.agent_state.as_deref(),
        agent_state_version: session.agent_state_version,
        data_encryption_key: session.data_encryption_key.as_deref(),
        active: session.active,
        active_at: session.active_at,
        created_at: session.created_at,
        updated_at: session.updated_at,
    }
}

/// Replaces the metadata, if the version is the expected one.
///
/// # Errors
/// [`SyncError::NotFound`], or the database's.
pub async fn write_metadata(
    change: &mut Change<'_>,
    id: &str,
    metadata: &str,
    expected: i64,
) -> Result<VersionedWrite<String>, SyncError> {
    let (account, now) = (change.account().to_string(), change.now());
    let written = sqlx::query(
        "UPDATE sessions SET metadata = $1, metadata_version = metadata_version + 1, \
         updated_at = $2 WHERE id = $3 AND account_id = $4 AND metadata_version = $5",
    )
    .bind(metadata)
    .bind(now)
    .bind(id)
    .bind(account.as_str())
    .bind(expected)
    .execute(change.connection())
    .await?;
    if written.rows_affected() == 0 {
        let stored = find(change.connection(), &account, id).await?;
        return Ok(VersionedWrite::Mismatch {
            version: stored.metadata_version,
            value: stored.metadata,
        });
    }
    let version = expected + 1;
    let value = metadata;
    let update = Update::UpdateSession {
        sid: id,
        id,
        metadata: Some(Versioned { value, version }),
        agent_state: None,
    };
    announce(change, id, &update).await?;
    Ok(VersionedWrite::Written(version))
}

/// Replaces the agent state, if the version is the expected one. A state of null counts as one.
///
/// # Errors
/// As [`write_metadata`].
pub async fn write_agent_state(
    change: &mut Change<'_>,
    id: &str,
    state: Option<&str>,
    expected: i64,
) -> Result<VersionedWrite<Option<String>>, SyncError> {
    let (account, now) = (change.account().to_string(), change.now());
    let written = sqlx::query(
        "UPDATE sessions SET agent_state = $1, agent_state_version = agent_state_version + 1, \
         updated_at = $2 WHERE id = $3 AND account_id = $4 AND agent_state_version = $5",
    )
    .bind(state)
    .bind(now)
    .bind(id)
    .bind(account.as_str())
    .bind(expected)
    .execute(change.connection())
    .await?;
    if written.rows_affected() == 0 {
        let stored = find(change.connection(), &account, id).await?;
        return Ok(VersionedWrite::Mismatch {
            version: stored.agent_state_version,
            value: stored.agent_state,
        });
    }
    let version = expected + 1;
    let value = state;
    let update = Update::UpdateSession {
        sid: id,
        id,
        metadata: None,
        agent_state: Some(Versioned { value, version }),
    };
    announce(change, id, &update).await?;
    Ok(VersionedWrite::Written(version))
}

async fn announce(change: &mut Change<'_>, id: &str, update: &Update<'_>) -> Result<(), SyncError> {
    let seq = note_change(change, id).await?;
    change.update(seq, Filter::AllInterestedInSession(id.into()), update);
    Ok(())
}

/// Gives a session the next number of the account's sequence as that of its last change.
async fn note_change(change: &mut Change<'_>, id: &str) -> Result<i64, SyncError> {
    let seq = change.next_seq().await?;
    sqlx::query("UPDATE sessions SET change_seq = $1 WHERE id = $2")
        .bind(seq)
        .bind(id)
        .execute(change.connection())
        .await?;
    Ok(seq)
}

/// What became of a session that ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SessionEnd {
    /// It has messages and is kept, inactive.
    Kept,
    /// It had none and is deleted.
    Deleted,
}

/// Ends a session: it becomes inactive, but one without messages is deleted where
/// `deletes_empty`.
///
/// # Errors
/// [`SyncError::NotFound`], or the database's.
pub async fn end(
    change: &mut Change<'_>,
    id: &str,
    at: i64,
    deletes_empty: bool,
) -> Result<SessionEnd, SyncError> {
    let account = change.account().to_string();
    require(change.connection(), &account, id).await?;
    if deletes_empty && !has_messages(change.connection(), id).await? {
        delete(change, id, Filter::UserScopedOnly).await?;
        return Ok(SessionEnd::Deleted);
    }
    deactivate(change, id, at).await?;
    Ok(SessionEnd::Kept)
}

/// Makes a session inactive, and tells so. An ordinary change: clients that were away learn of it.
///
/// # Errors
/// The database's.
pub async fn deactivate(change: &mut Change<'_>, id: &str, at: i64) -> Result<(), SyncError> {
    let now = change.now();
    let seq = change.next_seq().await?;
    sqlx::query(
        "UPDATE sessions SET active = 0, last_active_at = $1, updated_at = $2, change_seq = $3 \
         WHERE id = $4",
    )
    .bind(at)
    .bind(now)
    .bind(seq)
    .bind(id)
    .execute(change.connection())
    .await?;
    let activity = Ephemeral::Activity {
        sid: id,
        id,
        active: false,
        active_at: at,
        thinking: false,
    };
    change.ephemeral(Filter::UserScopedOnly, &activity);
    Ok(())
}

/// As [`deactivate`], if the session is active and its last sign of life came before a time;
/// whether it was.
///
/// # Errors
/// The database's.
pub async fn end_silent(change: &mut Change<'_>, id: &str, before: i64) -> Result<bool, SyncError> {
    let row = sqlx::query(
        "SELECT last_active_at FROM sessions WHERE id = $1 AND active = 1 AND last_active_at < $2",
    )
    .bind(id)
    .bind(before)
    .fetch_optional(change.connection())
    .await?;
    let Some(row) = row else { return Ok(false) };
    deactivate(change, id, row.try_get(0)?).await?;
    Ok(true)
}

async fn has_messages(reader: &mut AnyConnection, id: &str) -> Result<bool, SyncError> {
    let row = sqlx::query("SELECT seq FROM messages WHERE session_id = $1 LIMIT 1")
        .bind(id)
        .fetch_optional(reader)
        .await?;
    Ok(row.is_some())
}

/// Deletes a session with its messages, usage reports and access keys, for good.
///
/// # Errors
/// [`SyncError::NotFound`], or the database's.
pub async fn delete(change: &mut Change<'_>, id: &str, filter: Filter) -> Result<(), SyncError> {
    let account = change.account().to_string();
    require(change.connection(), &account, id).await?;
    for statement in [
        "DELETE FROM messages WHERE session_id = $1",
        "DELETE FROM usage_reports WHERE session_id = $1 AND account_id = $2",
        "DELETE FROM access_keys WHERE session_id = $1",
        "DELETE FROM sessions WHERE id = $1",
    ] {
        let mut query = sqlx::query(statement).bind(id);
        if statement.contains("$2") {
            query = query.bind(account.as_str());
        }
        query.execute(change.connection()).await?;
    }
    session_files::abandon(change, id).await?;
    let seq = change.next_seq().await?;
    tombstones::leave(change, Kind::Session, id, seq).await?;
    change.update(seq, filter, &Update::DeleteSession { sid: id });
    Ok(())
}

/// How a session's archiving ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Archived {
    /// Kept, inactive for good, since this time.
    Kept(i64),
    /// It had no messages and is deleted.
    Deleted,
}

/// Archives a session: it stays in lists and is never active again. Without messages it is deleted.
///
/// # Errors
/// [`SyncError::NotFound`], [`SyncError::Invalid`] if it is archived already, or the database's.
pub async fn archive(
    change: &mut Change<'_>,
    id: &str,
    reason: &str,
    error: Option<&str>,
) -> Result<Archived, SyncError> {
    let (account, now) = (change.account().to_string(), change.now());
    let row = sqlx::query("SELECT archived_at FROM sessions WHERE id = $1 AND account_id = $2")
        .bind(id)
        .bind(account.as_str())
        .fetch_optional(change.connection())
        .await?
        .ok_or(SyncError::NotFound(SESSION))?;
    if row.try_get::<Option<i64>, _>(0)?.is_some() {
        return Err(SyncError::Invalid(
            "the session is archived already".to_owned(),
        ));
    }
    if !has_messages(change.connection(), id).await? {
        delete(change, id, Filter::All).await?;
        return Ok(Archived::Deleted);
    }
    let seq = change.next_seq().await?;
    sqlx::query(
        "UPDATE sessions SET active = 0, archived_at = $1, archive_reason = $2, \
         archive_error = $3, updated_at = $1, change_seq = $4 WHERE id = $5",
    )
    .bind(now)
    .bind(reason)
    .bind(error)
    .bind(seq)
    .bind(id)
    .execute(change.connection())
    .await?;
    let update = Update::ArchiveSession {
        sid: id,
        archived_at: now,
        archive_reason: reason,
    };
    change.update(seq, Filter::All, &update);
    Ok(Archived::Kept(now))
}

/// How a session stands.
#[derive(Clone, Debug)]
pub struct Standing {
    /// Whether it runs.
    pub is_active: bool,
    /// Unix ms of the last sign of life.
    pub last_active_at: i64,
    /// Unix ms.
    pub stopped_at: Option<i64>,
    /// Why it stopped.
    pub stopped_reason: Option<String>,
    /// Unix ms.
    pub archived_at: Option<i64>,
}

/// How a session of an account stands.
///
/// # Errors
/// [`SyncError::NotFound`], or the database's.
pub async fn standing(
    reader: &mut AnyConnection,
    account: &str,
    id: &str,
) -> Result<Standing, SyncError> {
    let row = sqlx::query(
        "SELECT active, last_active_at, stopped_at, stopped_reason, archived_at FROM sessions \
         WHERE id = $1 AND account_id = $2",
    )
    .bind(id)
    .bind(account)
    .fetch_optional(reader)
    .await?
    .ok_or(SyncError::NotFound(SESSION))?;
    Ok(Standing {
        is_active: row.try_get::<i64, _>(0)? != 0,
        last_active_at: row.try_get(1)?,
        stopped_at: row.try_get(2)?,
        stopped_reason: row.try_get(3)?,
        archived_at: row.try_get(4)?,
    })
}

/// Notes a sign of life. An archived session is not revived; a plain sign of life is no change.
///
/// # Errors
/// [`SyncError::NotFound`] also for an archived session, or the database's.
pub async fn keep_alive(change: &mut Change<'_>, id: &str, at: i64) -> Result<(), SyncError> {
    let (account, now) = (change.account().to_string(), change.now());
    let written = sqlx::query(
        "UPDATE sessions SET last_active_at = $1, active = 1, \
         updated_at = CASE WHEN active = 1 THEN updated_at ELSE $2 END \
         WHERE id = $3 AND account_id = $4 AND archived_at IS NULL",
    )
    .bind(at)
    .bind(now)
    .bind(id)
    .bind(account)
    .execute(change.connection())
    .await?;
    if written.rows_affected() == 0 {
        return Err(SyncError::NotFound(SESSION));
    }
    Ok(())
}
