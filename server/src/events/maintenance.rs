//! What has to be done from time to time: old states, log entries and idempotency keys go, ended
//! keys lose their connections.
//!
//! Everything is done in pieces of a thousand rows, so that no write of a request waits long.

use std::sync::Arc;
use std::time::Duration;

use dormouse_protocol::events::CallStatus;
use dormouse_shard::Workers;
use sqlx::Row as _;
use tokio::time::{Instant, MissedTickBehavior};

use super::counters::EventCounters;
use super::groups::settling;
use super::key_store::KeyStore;
use crate::clock::unix_ms;
use crate::database::{Database, DatabaseError};

/// Time between two looks at ended keys.
const STEP: Duration = Duration::from_secs(5);
/// Time between two rounds of the rest.
const ROUND: Duration = Duration::from_secs(30);
/// Rows removed by one write.
const PIECE: i64 = 1000;
/// How far clocks of those who write keys may be behind, ms.
const CLOCK_SKEW_MS: i64 = 60_000;
/// How long idempotency keys are kept.
pub const IDEMPOTENCY_TTL: Duration = Duration::from_secs(86_400);

/// How much is kept.
#[derive(Clone, Copy, Debug)]
pub struct Retention {
    /// Entries of a tenant's log.
    pub log_entries: u64,
    /// Age of an entry.
    pub log_age: Duration,
}

/// Everything that is looked after.
#[derive(Debug)]
pub struct Maintenance {
    /// Where it is stored.
    pub database: Database,
    /// Keys.
    pub keys: Arc<KeyStore>,
    /// Connections of ended keys.
    pub workers: Workers,
    /// Calls that expire.
    pub counters: Arc<EventCounters>,
    /// How much is kept.
    pub retention: Retention,
}

impl Maintenance {
    /// Runs until it is aborted.
    pub async fn run(self) {
        self.count_active().await;
        let mut steps = tokio::time::interval(STEP);
        steps.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut last_look = now();
        let mut next_round = Instant::now() + ROUND;
        loop {
            steps.tick().await;
            let now = now();
            match self.keys.forget_ended(last_look - CLOCK_SKEW_MS, now).await {
                Ok(ended) => {
                    last_look = now;
                    for key in &ended {
                        self.workers.close_subscribers(key);
                    }
                }
                Err(err) => tracing::debug!(%err, "cannot look for ended keys"),
            }
            if Instant::now() >= next_round {
                next_round = Instant::now() + ROUND;
                if let Err(err) = self.round(now).await {
                    tracing::warn!(%err, "cannot tidy up the events");
                }
            }
        }
    }

    /// One round of everything.
    ///
    /// # Errors
    /// Those of the database; what is not done is done by the next round.
    pub async fn round(&self, now: i64) -> Result<(), DatabaseError> {
        self.keys.write_uses().await?;
        while self.expire_calls(now).await? {}
        let cutoff = now - ms(IDEMPOTENCY_TTL);
        while self.forget_requests(cutoff).await? {}
        while self.trim_dead().await? {}
        for tenant in self.tenants().await? {
            while self.trim(&tenant, now).await? {}
        }
        Ok(())
    }

    /// The calls of before the start that are not over.
    async fn count_active(&self) {
        let counting = self.database.read(async |reader| {
            let count: i64 = sqlx::query_scalar(
                "SELECT COUNT(*) FROM call_states WHERE status NOT IN ('completed', 'failed')",
            )
            .fetch_one(reader)
            .await?;
            Ok::<_, DatabaseError>(count)
        });
        // Calls of since the start are counted twice if they are in here: to count before anything
        // is published would hold the start up.
        match counting.await {
            Ok(count) => self.counters.change_active(count),
            Err(err) => tracing::warn!(%err, "cannot count the calls of before the start"),
        }
    }

    async fn expire_calls(&self, now: i64) -> Result<bool, DatabaseError> {
        let removed: Vec<String> = self
            .database
            .write(async move |tx| {
                let rows = sqlx::query(
                    "DELETE FROM call_states WHERE (tenant_id, call_id) IN \
                     (SELECT tenant_id, call_id FROM call_states WHERE expires_at <= $1 LIMIT $2) \
                     RETURNING status",
                )
                .bind(now)
                .bind(PIECE)
                .fetch_all(tx.connection())
                .await?;
                let statuses: Result<Vec<String>, sqlx::Error> =
                    rows.iter().map(|row| row.try_get(0)).collect();
                Ok::<_, DatabaseError>(statuses?)
            })
            .await?;
        let over = [CallStatus::Completed.as_str(), CallStatus::Failed.as_str()];
        let active = removed
            .iter()
            .filter(|status| !over.contains(&status.as_str()))
            .count();
        self.counters
            .change_active(-i64::try_from(active).unwrap_or(0));
        Ok(removed.len() as i64 == PIECE)
    }

    async fn forget_requests(&self, cutoff: i64) -> Result<bool, DatabaseError> {
        let removed = self
            .database
            .write(async move |tx| {
                let done = sqlx::query(
                    "DELETE FROM event_requests WHERE (tenant_id, idempotency_key) IN \
                     (SELECT tenant_id, idempotency_key FROM event_requests \
                      WHERE created_at <= $1 LIMIT $2)",
                )
                .bind(cutoff)
                .bind(PIECE)
                .execute(tx.connection())
                .await?;
                Ok::<_, DatabaseError>(done.rows_affected())
            })
            .await?;
        Ok(removed >= PIECE as u64)
    }

    async fn trim_dead(&self) -> Result<bool, DatabaseError> {
        let trimming = self
            .database
            .write(async move |tx| settling::trim_dead(tx, PIECE).await);
        Ok(trimming.await? > 0)
    }

    async fn tenants(&self) -> Result<Vec<String>, DatabaseError> {
        self.database
            .read(async |reader| {
                sqlx::query_scalar("SELECT tenant_id FROM event_heads")
                    .fetch_all(reader)
                    .await
                    .map_err(DatabaseError::from)
            })
            .await
    }

    /// Removes the oldest entries of a log, as long as a whole piece of them is too much or too
    /// old; whether it did.
    async fn trim(&self, tenant: &str, now: i64) -> Result<bool, DatabaseError> {
        let tenant = tenant.to_owned();
        let kept = i64::try_from(self.retention.log_entries).unwrap_or(i64::MAX);
        let oldest = now - ms(self.retention.log_age);
        self.database
            .write(async move |tx| {
                let head: i64 =
                    sqlx::query_scalar("SELECT head FROM event_heads WHERE tenant_id = $1")
                        .bind(tenant.clone())
                        .fetch_one(tx.connection())
                        .await?;
                // The last of the first piece: what comes before it is older.
                let last = sqlx::query(
                    "SELECT place, created_at FROM event_log WHERE tenant_id = $1 \
                     ORDER BY place LIMIT 1 OFFSET $2",
                )
                .bind(tenant.clone())
                .bind(PIECE - 1)
                .fetch_optional(tx.connection())
                .await?;
                let Some(last) = last else {
                    return Ok(false);
                };
                let (place, at): (i64, i64) = (last.try_get(0)?, last.try_get(1)?);
                if place > head - kept && at > oldest {
                    return Ok(false);
                }
                sqlx::query("DELETE FROM event_log WHERE tenant_id = $1 AND place <= $2")
                    .bind(tenant)
                    .bind(place)
                    .execute(tx.connection())
                    .await?;
                Ok::<_, DatabaseError>(true)
            })
            .await
    }
}

fn now() -> i64 {
    i64::try_from(unix_ms()).unwrap_or(i64::MAX)
}

fn ms(time: Duration) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX)
}
