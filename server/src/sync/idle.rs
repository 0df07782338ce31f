//! Sessions and machines that have said nothing for ten minutes become inactive (contract
//! socketio.md section 8): whoever was ended without a word is not shown as running for ever.
//!
//! A machine that is connected is active whatever it says.

use std::sync::Arc;
use std::time::Duration;

use sqlx::Row as _;
use tokio::time::{Instant, interval_at};

use super::change::Change;
use super::error::SyncError;
use super::heartbeats::{Heartbeats, Source};
use super::{machines, sessions};
use crate::clock::unix_ms;
use crate::database::{Database, Reader};

/// How often.
const EVERY: Duration = Duration::from_secs(60);
/// How long a silence is, ms.
const SILENCE_MS: i64 = 10 * 60 * 1000;
/// How many sessions or machines one round looks at: other writes come between them.
const ROUND: i64 = 100;

/// Sessions that are active and have been silent since a time, after a place in that order.
pub const SESSIONS: &str = "SELECT account_id, id, last_active_at FROM sessions \
     WHERE active = 1 AND last_active_at < $1 AND last_active_at >= $2 \
     ORDER BY last_active_at LIMIT $3";

/// The same of machines.
pub const MACHINES: &str = "SELECT account_id, id, last_active_at FROM machines \
     WHERE active = 1 AND last_active_at < $1 AND last_active_at >= $2 \
     ORDER BY last_active_at LIMIT $3";

/// Looks every minute, as long as it is polled. A failure waits for the next.
pub async fn watch(database: Database, heartbeats: Arc<Heartbeats>) {
    let mut minutes = interval_at(Instant::now() + EVERY, EVERY);
    loop {
        minutes.tick().await;
        let now = i64::try_from(unix_ms()).unwrap_or(i64::MAX);
        match sweep(&database, &heartbeats, now).await {
            Ok(0) => {}
            Ok(count) => tracing::debug!(count, "made inactive what was silent"),
            Err(err) => tracing::warn!(%err, "cannot make inactive what is silent"),
        }
    }
}

/// Makes inactive what is silent at `now`, Unix ms; returns how many sessions and machines.
///
/// # Errors
/// The database's. What was made inactive before stays so.
pub async fn sweep(
    database: &Database,
    heartbeats: &Arc<Heartbeats>,
    now: i64,
) -> Result<u64, SyncError> {
    let before = now.saturating_sub(SILENCE_MS);
    let mut count = 0;
    for is_machine in [false, true] {
        let mut from = i64::MIN;
        loop {
            let found = silent(database, is_machine, before, from).await?;
            let last = found.last().map(|(_, at)| *at);
            let is_last = (found.len() as i64) < ROUND;
            for (source, _) in found {
                if !heartbeats.is_connected(&source) {
                    count += u64::from(end(database, heartbeats.clone(), source, before).await?);
                }
            }
            // Of those with one time there may be more than a round: then they wait for the next
            // minute, unless they were taken.
            match last {
                Some(last) if !is_last => from = last.max(from.saturating_add(1)),
                _ => break,
            }
        }
    }
    Ok(count)
}

async fn silent(
    database: &Database,
    is_machine: bool,
    before: i64,
    from: i64,
) -> Result<Vec<(Source, i64)>, SyncError> {
    let found = database.read(async move |reader: &mut Reader| {
        let query = sqlx::query(if is_machine { MACHINES } else { SESSIONS });
        let rows = query.bind(before).bind(from).bind(ROUND);
        let rows = rows.fetch_all(reader).await?;
        let found = rows.iter().map(|row| {
            let account: String = row.try_get(0)?;
            let id: String = row.try_get(1)?;
            let source = if is_machine {
                Source::machine(account.into(), &id)
            } else {
                Source::session(account.into(), &id)
            };
            Ok((source, row.try_get(2)?))
        });
        found.collect::<Result<Vec<_>, SyncError>>()
    });
    found.await
}

/// Makes one inactive, if it is still silent.
async fn end(
    database: &Database,
    heartbeats: Arc<Heartbeats>,
    source: Source,
    before: i64,
) -> Result<bool, SyncError> {
    let ending = database.write(async move |tx| {
        let mut change = Change::new(tx, source.account.clone());
        let ended = if source.is_machine {
            machines::end_silent(&mut change, &source.id, before).await?
        } else {
            sessions::end_silent(&mut change, &source.id, before).await?
        };
        heartbeats.forget(&source);
        change.finish(None);
        Ok::<_, SyncError>(ended)
    });
    ending.await
}
