//! Messages of sessions: numbered, immutable, stored once for each local id.

use dormouse_protocol::{ConnectionId, Filter};
use futures_util::TryStreamExt as _;
use serde::Serialize;
use serde_json::value::RawValue;
use sqlx::any::AnyRow;
use sqlx::{AnyConnection, Row as _};
use utoipa::ToSchema;

use super::bodies::{MessageBody, Update, json};
use super::change::Change;
use super::error::SyncError;
use super::sessions::SESSION;
use crate::database::{DatabaseError, new_id};

/// A message as clients see it.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Message {
    /// The id.
    pub id: String,
    /// Its session.
    pub session_id: String,
    /// The client's own id.
    pub local_id: Option<String>,
    /// Its number in the session, from 1.
    pub seq: i64,
    /// Any JSON, as it was sent.
    #[schema(value_type = serde_json::Value)]
    pub content: Box<RawValue>,
    /// Unix ms.
    pub created_at: i64,
    /// Unix ms; messages do not change.
    pub updated_at: i64,
}

macro_rules! message_columns {
    () => {
        "id, session_id, local_id, seq, content, created_at"
    };
}

fn read(row: &AnyRow) -> Result<Message, SyncError> {
    let content: String = row.try_get(4)?;
    let content = RawValue::from_string(content)
        .map_err(|err| DatabaseError::Internal(format!("a message is no JSON: {err}")))?;
    let created_at = row.try_get(5)?;
    Ok(Message {
        id: row.try_get(0)?,
        session_id: row.try_get(1)?,
        local_id: row.try_get(2)?,
        seq: row.try_get(3)?,
        content,
        created_at,
        updated_at: created_at,
    })
}

/// A message to be stored.
#[derive(Clone, Debug)]
pub struct NewMessage {
    /// Its session.
    pub session: String,
    /// JSON.
    pub content: String,
    /// The client's own id.
    pub local_id: Option<String>,
    /// The connection that brought it, which does not get it back.
    pub sender: Option<ConnectionId>,
}

/// The stored form of a ciphertext.
#[must_use]
pub fn encrypted(ciphertext: &str) -> String {
    #[derive(Serialize)]
    struct Content<'a> {
        t: &'static str,
        c: &'a str,
    }

    json(&Content {
        t: "encrypted",
        c: ciphertext,
    })
}

/// Stores a message, or returns the one that its session has with its local id; whether it was
/// stored before.
///
/// # Errors
/// [`SyncError::NotFound`] for the session, or the database's.
pub async fn create(
    change: &mut Change<'_>,
    new: NewMessage,
) -> Result<(Message, bool), SyncError> {
    let (account, now) = (change.account().to_string(), change.now());
    if let Some(local_id) = &new.local_id {
        let stored = sqlx::query(
            "SELECT messages.id, session_id, local_id, messages.seq, content, \
             messages.created_at FROM messages JOIN sessions ON sessions.id = session_id \
             WHERE session_id = $1 AND local_id = $2 AND account_id = $3",
        )
        .bind(new.session.as_str())
        .bind(local_id.as_str())
        .bind(account.as_str())
        .fetch_optional(change.connection())
        .await?;
        if let Some(row) = stored {
            return Ok((read(&row)?, true));
        }
    }
    let account_seq = change.next_seq().await?;
    let counted = sqlx::query(
        "UPDATE sessions SET seq = seq + 1, updated_at = $1, change_seq = $2 \
         WHERE id = $3 AND account_id = $4 RETURNING seq",
    )
    .bind(now)
    .bind(account_seq)
    .bind(new.session.as_str())
    .bind(account)
    .fetch_optional(change.connection())
    .await?;
    // The number of the account goes back with the rest of this change.
    let seq: i64 = counted.ok_or(SyncError::NotFound(SESSION))?.try_get(0)?;
    let row = sqlx::query(concat!(
        "INSERT INTO messages (id, session_id, local_id, seq, content, created_at) \
         VALUES ($1, $2, $3, $4, $5, $6) RETURNING ",
        message_columns!()
    ))
    .bind(new_id())
    .bind(new.session)
    .bind(new.local_id)
    .bind(seq)
    .bind(new.content)
    .bind(now)
    .fetch_one(change.connection())
    .await?;
    let message = read(&row)?;
    let update = Update::NewMessage {
        sid: &message.session_id,
        message: MessageBody {
            id: &message.id,
            seq,
            content: &message.content,
            local_id: message.local_id.as_deref(),
            created_at: now,
            updated_at: now,
        },
    };
    let filter = Filter::AllInterestedInSession(message.session_id.as_str().into());
    change.update_except(account_seq, filter, new.sender, &update);
    Ok((message, false))
}

/// The newest first, ties by number.
pub const NEWEST: &str = concat!(
    "SELECT ",
    message_columns!(),
    " FROM messages WHERE session_id = $1 ORDER BY created_at DESC, seq DESC LIMIT $2"
);

/// Those after a number, in their order.
pub const AFTER: &str = concat!(
    "SELECT ",
    message_columns!(),
    " FROM messages WHERE session_id = $1 AND seq > $2 ORDER BY seq LIMIT $3"
);

/// The newest by id, before a cursor.
pub const BY_ID: &str = concat!(
    "SELECT ",
    message_columns!(),
    " FROM messages WHERE session_id = $1 AND id < $2 ORDER BY id DESC LIMIT $3"
);

/// The newest messages of a session, which must be known to be the caller's.
///
/// # Errors
/// The database's.
pub async fn newest(
    reader: &mut AnyConnection,
    session: &str,
    most: i64,
) -> Result<Vec<Message>, SyncError> {
    let query = sqlx::query(NEWEST).bind(session).bind(most);
    query.fetch_all(reader).await?.iter().map(read).collect()
}

/// The messages of a session after a number, in their order.
///
/// # Errors
/// The database's.
pub async fn after(
    reader: &mut AnyConnection,
    session: &str,
    seq: i64,
    most: i64,
) -> Result<Vec<Message>, SyncError> {
    let query = sqlx::query(AFTER).bind(session).bind(seq).bind(most);
    query.fetch_all(reader).await?.iter().map(read).collect()
}

/// The newest messages of a session by id, exclusively before `before`.
///
/// # Errors
/// The database's.
pub async fn by_id(
    reader: &mut AnyConnection,
    session: &str,
    before: Option<&str>,
    most: i64,
) -> Result<Vec<Message>, SyncError> {
    let query = sqlx::query(BY_ID)
        .bind(session)
        .bind(before.unwrap_or("~"))
        .bind(most);
    query.fetch_all(reader).await?.iter().map(read).collect()
}

/// Where a page of messages begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum From {
    /// After this number, upwards.
    After(i64),
    /// Before this number, downwards.
    Before(i64),
}

/// Those before a number, the highest first.
pub const BEFORE: &str = concat!(
    "SELECT ",
    message_columns!(),
    " FROM messages WHERE session_id = $1 AND seq < $2 ORDER BY seq DESC LIMIT $3"
);

/// A page of a session's messages by their numbers, and whether there are more. It ends early, but
/// never empty, where its contents reach `most_bytes`.
///
/// # Errors
/// The database's.
pub async fn page(
    reader: &mut AnyConnection,
    session: &str,
    from: From,
    most: usize,
    most_bytes: usize,
) -> Result<(Vec<Message>, bool), SyncError> {
    let (query, seq) = match from {
        From::After(seq) => (AFTER, seq),
        From::Before(seq) => (BEFORE, seq),
    };
    let one_more = i64::try_from(most).unwrap_or(i64::MAX).saturating_add(1);
    let mut rows = sqlx::query(query)
        .bind(session)
        .bind(seq)
        .bind(one_more)
        .fetch(reader);
    let (mut messages, mut bytes) = (Vec::new(), 0);
    while let Some(row) = rows.try_next().await? {
        if messages.len() == most || bytes >= most_bytes {
            return Ok((messages, true));
        }
        let message = read(&row)?;
        bytes += message.content.get().len();
        messages.push(message);
    }
    Ok((messages, false))
}
