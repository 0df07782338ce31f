//! Lists of sessions; each query walks an index of its order.

use sqlx::AnyConnection;

use super::{Session, read, session_columns};
use crate::sync::error::SyncError;

/// How long after its last sign of life a session counts as active, ms.
pub const ACTIVE_WINDOW_MS: i64 = 15 * 60 * 1000;

/// The newest by their last change.
pub const BY_UPDATE: &str = concat!(
    "SELECT ",
    session_columns!(),
    " FROM sessions WHERE account_id = $1 ORDER BY updated_at DESC, id DESC LIMIT $2"
);

/// The newest by id, before a cursor; those that changed after a time.
pub const BY_ID: &str = concat!(
    "SELECT ",
    session_columns!(),
    " FROM sessions WHERE account_id = $1 AND id < $2 AND updated_at > $3 \
     ORDER BY id DESC LIMIT $4"
);

/// The active ones with a sign of life after a time, newest first.
pub const ACTIVE: &str = concat!(
    "SELECT ",
    session_columns!(),
    " FROM sessions WHERE account_id = $1 AND active = 1 AND last_active_at >= $2 \
     ORDER BY last_active_at DESC, id DESC LIMIT $3"
);

/// The newest sessions by their last change.
///
/// # Errors
/// The database's.
pub async fn by_update(
    reader: &mut AnyConnection,
    account: &str,
    most: i64,
) -> Result<Vec<Session>, SyncError> {
    let query = sqlx::query(BY_UPDATE).bind(account).bind(most);
    query.fetch_all(reader).await?.iter().map(read).collect()
}

/// The newest sessions by id, exclusively before `before`; only those changed after a time.
///
/// # Errors
/// The database's.
pub async fn by_id(
    reader: &mut AnyConnection,
    account: &str,
    before: Option<&str>,
    changed_since: Option<i64>,
    most: i64,
) -> Result<Vec<Session>, SyncError> {
    let query = sqlx::query(BY_ID)
        .bind(account)
        // No id is greater: they are hex.
        .bind(before.unwrap_or("~"))
        .bind(changed_since.unwrap_or(-1))
        .bind(most);
    query.fetch_all(reader).await?.iter().map(read).collect()
}

/// Active sessions with a sign of life in the window before `now`, the most recent first.
///
/// # Errors
/// The database's.
pub async fn active(
    reader: &mut AnyConnection,
    account: &str,
    now: i64,
    most: i64,
) -> Result<Vec<Session>, SyncError> {
    let query = sqlx::query(ACTIVE)
        .bind(account)
        .bind(now - ACTIVE_WINDOW_MS)
        .bind(most);
    query.fetch_all(reader).await?.iter().map(read).collect()
}
