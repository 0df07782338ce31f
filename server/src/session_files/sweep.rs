//! Removes the contents of files whose session is deleted, and what was announced and never came.

use std::time::Duration;

use tokio::time::{Instant, interval_at};

use super::FileFolder;
use crate::clock::unix_ms;
use crate::database::{Database, Reader};
use crate::sync::{SyncError, session_files};

/// How often.
const EVERY: Duration = Duration::from_secs(60);
/// How many files one round removes before other writes come.
const ROUND: i64 = 100;

/// Removes every minute, as long as it is polled; a failure waits for the next. What was announced
/// `kept` ago and has not come is removed as well.
pub async fn run(database: Database, folder: FileFolder, kept: Duration) {
    let mut minutes = interval_at(Instant::now() + EVERY, EVERY);
    loop {
        minutes.tick().await;
        let kept = u64::try_from(kept.as_millis()).unwrap_or(u64::MAX);
        let before = i64::try_from(unix_ms().saturating_sub(kept)).unwrap_or(i64::MAX);
        match once(&database, &folder, before).await {
            Ok(0) => {}
            Ok(files) => tracing::debug!(files, "removed files that nobody needs"),
            Err(err) => tracing::warn!(%err, "cannot remove files that nobody needs"),
        }
    }
}

/// Removes once; returns how many files.
///
/// # Errors
/// The database's. What was removed before stays removed.
pub async fn once(
    database: &Database,
    folder: &FileFolder,
    announced_before: i64,
) -> Result<u64, SyncError> {
    let mut removed = 0;
    loop {
        let found = database.read(async move |reader: &mut Reader| {
            session_files::abandoned(reader, announced_before, ROUND).await
        });
        let found: Vec<String> = found.await?;
        let mut gone = Vec::with_capacity(found.len());
        for id in found {
            match folder.remove(&id).await {
                Ok(()) => gone.push(id),
                Err(err) => tracing::warn!(%err, file = id, "cannot remove a file"),
            }
        }
        if gone.is_empty() {
            return Ok(removed);
        }
        removed += gone.len() as u64;
        let forgetting = database.write(async move |tx| {
            for id in gone {
                session_files::forget(tx.connection(), &id).await?;
            }
            Ok::<_, SyncError>(())
        });
        forgetting.await?;
    }
}
