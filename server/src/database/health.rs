//! Whether the database takes writes.

use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::{Instant, timeout};

use super::error::DatabaseError;
use super::thread::Database;

/// How long an answer serves: readiness is asked for often, and each check waits for the disk.
const FRESH: Duration = Duration::from_secs(1);
/// Longest wait for an answer.
const PATIENCE: Duration = Duration::from_secs(3);

/// The last answer. Whoever asks while a check runs waits for it.
#[derive(Debug, Default)]
pub(super) struct Health {
    last: Mutex<Option<(Instant, Result<(), DatabaseError>)>>,
}

impl Health {
    /// Writes a row, which finds a database that is locked, full, read-only or gone; reads alone
    /// would not.
    pub(super) async fn check(&self, database: &Database) -> Result<(), DatabaseError> {
        let mut last = self.last.lock().await;
        if let Some((at, answer)) = &*last
            && at.elapsed() < FRESH
        {
            return answer.clone();
        }
        let writing = database.write(async |tx| {
            let now = tx.now();
            sqlx::query(
                "INSERT INTO probe (id, checked_at) VALUES (1, $1) \
                 ON CONFLICT (id) DO UPDATE SET checked_at = $1",
            )
            .bind(now)
            .execute(tx.connection())
            .await?;
            Ok::<_, DatabaseError>(())
        });
        let answer = timeout(PATIENCE, writing).await.unwrap_or_else(|_| {
            let text = format!("it did not answer within {} s", PATIENCE.as_secs());
            Err(DatabaseError::Unavailable(text))
        });
        *last = Some((Instant::now(), answer.clone()));
        answer
    }
}
