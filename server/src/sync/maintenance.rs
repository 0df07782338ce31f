//! What is removed for its age, once a day (contract data-model.md section 4): tombstones, and
//! sessions that ended without a message.

use std::sync::Arc;
use std::time::Duration;

use dormouse_protocol::Filter;
use sqlx::Row as _;
use tokio::time::{Instant, interval_at};

use super::change::Change;
use super::error::SyncError;
use super::sessions;
use crate::clock::unix_ms;
use crate::database::{Database, Reader};

/// How often, and how long after the start for the first time.
const EVERY: Duration = Duration::from_secs(24 * 60 * 60);
const FIRST: Duration = Duration::from_secs(60);
/// How long tombstones are kept, ms.
const TOMBSTONES_MS: i64 = 30 * 24 * 60 * 60 * 1000;
/// How long sessions without a message are kept after their last change, ms.
const EMPTY_SESSIONS_MS: i64 = 24 * 60 * 60 * 1000;
/// How many accounts or sessions one round looks at: other writes come between them.
const ROUND: i64 = 100;

/// What was removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Removed {
    /// Tombstones.
    pub tombstones: u64,
    /// Sessions.
    pub sessions: u64,
}

/// Removes once a day, as long as it is polled. A failure waits for the next day.
pub async fn daily(database: Database) {
    let mut days = interval_at(Instant::now() + FIRST, EVERY);
    loop {
        days.tick().await;
        let now = i64::try_from(unix_ms()).unwrap_or(i64::MAX);
        match run(&database, now).await {
            Ok(removed) if removed == Removed::default() => {}
            Ok(Removed {
                tombstones,
                sessions,
            }) => tracing::info!(tombstones, sessions, "removed what was too old"),
            Err(err) => tracing::warn!(%err, "cannot remove what is too old"),
        }
    }
}

/// Removes what is too old at `now`, Unix ms.
///
/// # Errors
/// The database's. What was removed before stays removed.
pub async fn run(database: &Database, now: i64) -> Result<Removed, SyncError> {
    Ok(Removed {
        tombstones: remove_tombstones(database, now - TOMBSTONES_MS).await?,
        sessions: remove_empty_sessions(database, now - EMPTY_SESSIONS_MS).await?,
    })
}

/// Each account remembers the highest number that went: a client that has seen less has to fetch
/// everything anew.
async fn remove_tombstones(database: &Database, before: i64) -> Result<u64, SyncError> {
    let mut removed = 0;
    loop {
        let accounts = database.read(async move |reader: &mut Reader| {
            let rows = sqlx::query(
                "SELECT DISTINCT account_id FROM tombstones WHERE deleted_at < $1 LIMIT $2",
            )
            .bind(before)
            .bind(ROUND)
            .fetch_all(reader)
            .await?;
            let accounts: Result<Vec<String>, _> = rows.iter().map(|row| row.try_get(0)).collect();
            Ok::<_, SyncError>(accounts?)
        });
        let accounts = accounts.await?;
        if accounts.is_empty() {
            return Ok(removed);
        }
        for account in accounts {
            let removing = database.write(async move |tx| {
                sqlx::query(
                    "UPDATE accounts SET purged_seq = COALESCE((SELECT MAX(change_seq) FROM \
                     tombstones WHERE account_id = $1 AND deleted_at < $2), purged_seq) \
                     WHERE id = $1",
                )
                .bind(account.as_str())
                .bind(before)
                .execute(tx.connection())
                .await?;
                let delete = "DELETE FROM tombstones WHERE account_id = $1 AND deleted_at < $2";
                let deleted = sqlx::query(delete)
                    .bind(account.as_str())
                    .bind(before)
                    .execute(tx.connection())
                    .await?;
                Ok::<_, SyncError>(deleted.rows_affected())
            });
            removed += removing.await?;
        }
    }
}

/// With tombstones and updates, as if their owners had deleted them.
async fn remove_empty_sessions(database: &Database, before: i64) -> Result<u64, SyncError> {
    let mut removed = 0;
    let mut after = String::new();
    loop {
        let from = after.clone();
        let found = database.read(async move |reader: &mut Reader| {
            let rows = sqlx::query(
                "SELECT id, account_id FROM sessions \
                 WHERE id > $1 AND active = 0 AND seq = 0 AND updated_at < $2 \
                 ORDER BY id LIMIT $3",
            )
            .bind(from)
            .bind(before)
            .bind(ROUND)
            .fetch_all(reader)
            .await?;
            let found: Result<Vec<(String, String)>, sqlx::Error> = rows
                .iter()
                .map(|row| Ok((row.try_get(0)?, row.try_get(1)?)))
                .collect();
            Ok::<_, SyncError>(found?)
        });
        let found = found.await?;
        let Some((last, _)) = found.last() else {
            return Ok(removed);
        };
        after.clone_from(last);
        for (id, account) in found {
            let removing = database.write(async move |tx| {
                let mut change = Change::new(tx, Arc::from(account.as_str()));
                // It may have come back to life since it was read.
                let session = sessions::find(change.connection(), &account, &id).await?;
                if session.active || session.seq > 0 || session.updated_at >= before {
                    return Ok(false);
                }
                sessions::delete(&mut change, &id, Filter::All).await?;
                change.finish(None);
                Ok(true)
            });
            match removing.await {
                Ok(is_removed) => removed += u64::from(is_removed),
                // Its owner was faster.
                Err(SyncError::NotFound(_)) => {}
                Err(err) => return Err(err),
            }
        }
    }
}
