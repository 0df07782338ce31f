//! Queries of call states, of the log and of idempotency keys.

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::sync::Arc;

use dormouse_protocol::events::{CallState, Pattern};
use dormouse_shard::event_log::{LogPage, LoggedEvent};
use sqlx::Row as _;
use sqlx::any::AnyRow;

use super::change::{CallKey, Calls};
use super::rows;
use super::submission::{Idempotency, Outcome};
use crate::database::{Database, DatabaseError, Reader, Tx};

/// When states expire is rounded up to this, so that the index over it changes seldom.
const EXPIRY_STEP_MS: u64 = 600_000;

/// Loads the calls of these ids, as far as they are stored and not expired.
///
/// # Errors
/// Those of the database, and a state that cannot be read.
pub async fn load_calls(tx: &mut Tx, keys: BTreeSet<CallKey>) -> Result<Calls, DatabaseError> {
    let mut calls = Calls::default();
    let mut of_tenants: BTreeMap<Arc<str>, Vec<String>> = BTreeMap::new();
    for (tenant, call) in keys {
        of_tenants.entry(tenant).or_default().push(call);
    }
    let now = tx.now();
    for (tenant, ids) in of_tenants {
        for piece in rows::pieces(&ids) {
            let text = format!(
                "SELECT call_id, state FROM call_states \
                 WHERE tenant_id = $1 AND expires_at > $2 AND call_id IN ({})",
                rows::list(3, piece.len()),
            );
            let mut query = rows::statement(text).bind(tenant.to_string()).bind(now);
            for id in piece {
                query = query.bind(id.clone());
            }
            for row in query.fetch_all(tx.connection()).await? {
                let (id, state): (String, String) = (row.try_get(0)?, row.try_get(1)?);
                let state: CallState = serde_json::from_str(&state).map_err(|err| {
                    DatabaseError::Internal(format!("the state of call {id:?}: {err}"))
                })?;
                calls.insert((tenant.clone(), id), state);
            }
        }
    }
    Ok(calls)
}

/// Stores the states that have changed, for `ttl` ms or a little longer.
///
/// # Errors
/// Those of the database.
pub async fn store_calls(tx: &mut Tx, calls: &Calls, ttl: u64) -> Result<(), DatabaseError> {
    let now = u64::try_from(tx.now()).unwrap_or(0);
    let expires_at = now.saturating_add(ttl).div_ceil(EXPIRY_STEP_MS) * EXPIRY_STEP_MS;
    let expires_at = i64::try_from(expires_at).unwrap_or(i64::MAX);
    let mut changed: Vec<_> = calls.changed().collect();
    changed.sort_unstable_by_key(|(key, _)| *key);
    for piece in rows::pieces(&changed) {
        let text = format!(
            "INSERT INTO call_states (tenant_id, call_id, status, state, expires_at) VALUES {} \
             ON CONFLICT (tenant_id, call_id) DO UPDATE SET status = excluded.status, \
             state = excluded.state, expires_at = excluded.expires_at",
            rows::values(piece.len(), 5),
        );
        let mut query = rows::statement(text);
        for ((tenant, id), state) in piece {
            let json = serde_json::to_string(state)
                .map_err(|err| DatabaseError::Internal(err.to_string()))?;
            query = query
                .bind(tenant.to_string())
                .bind(id.clone())
                .bind(state.status.as_str())
                .bind(json)
                .bind(expires_at);
        }
        query.execute(tx.connection()).await?;
    }
    Ok(())
}

/// Takes places in a tenant's log; returns the last of them.
///
/// # Errors
/// Those of the database.
pub async fn take_places(tx: &mut Tx, tenant: &str, count: usize) -> Result<u64, DatabaseError> {
    let count = i64::try_from(count).unwrap_or(i64::MAX);
    let head: i64 = sqlx::query_scalar(
        "INSERT INTO event_heads (tenant_id, head) VALUES ($1, $2) \
         ON CONFLICT (tenant_id) DO UPDATE SET head = event_heads.head + excluded.head \
         RETURNING head",
    )
    .bind(tenant.to_owned())
    .bind(count)
    .fetch_one(tx.connection())
    .await?;
    u64::try_from(head).map_err(|_| DatabaseError::Internal("a log is full".to_owned()))
}

/// The latest time in the ids of the newest events of all tenants, Unix ms; 0 if there are none.
///
/// # Errors
/// Those of the database.
pub async fn latest_id_ms(tx: &mut Tx) -> Result<u64, DatabaseError> {
    // A payload ends with its id. All of it, for each tenant, could be too much to load.
    let ends: Vec<String> = sqlx::query_scalar(
        "SELECT SUBSTR(e.payload, LENGTH(e.payload) - 31) FROM event_heads h \
         JOIN event_log e ON e.tenant_id = h.tenant_id AND e.place = h.head",
    )
    .fetch_all(tx.connection())
    .await?;
    Ok(ends.iter().filter_map(|end| id_ms(end)).max().unwrap_or(0))
}

/// The time in the id that a payload ends with.
fn id_ms(payload_end: &str) -> Option<u64> {
    let (_, id) = payload_end.strip_suffix("\"}")?.rsplit_once('"')?;
    id.split_once('-')?.0.parse().ok()
}

/// An entry of the log.
#[derive(Clone, Debug)]
pub struct LogEntry {
    /// Whose log.
    pub tenant: Arc<str>,
    /// Where.
    pub place: u64,
    /// The event's name.
    pub name: String,
    /// The JSON of its payload.
    pub payload: String,
    /// When it was accepted, Unix ms.
    pub created_at: u64,
}

/// Appends entries to their logs.
///
/// # Errors
/// Those of the database.
pub async fn append(tx: &mut Tx, entries: &[LogEntry]) -> Result<(), DatabaseError> {
    let number = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
    for piece in rows::pieces(entries) {
        let text = format!(
            "INSERT INTO event_log (tenant_id, place, name, payload, created_at) VALUES {}",
            rows::values(piece.len(), 5),
        );
        let mut query = rows::statement(text);
        for entry in piece {
            query = query
                .bind(entry.tenant.to_string())
                .bind(number(entry.place))
                .bind(entry.name.clone())
                .bind(entry.payload.clone())
                .bind(number(entry.created_at));
        }
        query.execute(tx.connection()).await?;
    }
    Ok(())
}

/// Reads a page of a log.
pub fn begin_read(
    database: &Database,
    tenant: Arc<str>,
    after: u64,
    most: usize,
) -> impl Future<Output = Result<LogPage, DatabaseError>> + 'static {
    let database = database.clone();
    async move {
        // Head and entries have to be of the same moment.
        let page =
            database.read_snapshot(async move |reader| page(reader, &tenant, after, most).await);
        page.await
    }
}

async fn page(
    reader: &mut Reader,
    tenant: &str,
    after: u64,
    most: usize,
) -> Result<LogPage, DatabaseError> {
    let head: Option<i64> = sqlx::query_scalar("SELECT head FROM event_heads WHERE tenant_id = $1")
        .bind(tenant.to_owned())
        .fetch_optional(&mut *reader)
        .await?;
    let found = sqlx::query(
        "SELECT place, name, payload FROM event_log WHERE tenant_id = $1 AND place > $2 \
         ORDER BY place LIMIT $3",
    )
    .bind(tenant.to_owned())
    .bind(i64::try_from(after).unwrap_or(i64::MAX))
    .bind(i64::try_from(most).unwrap_or(i64::MAX))
    .fetch_all(&mut *reader)
    .await?;
    let events = logged(found)?;
    let head = head.and_then(|head| u64::try_from(head).ok()).unwrap_or(0);
    Ok(LogPage { events, head })
}

/// Rows of place, name and payload as entries.
fn logged(found: Vec<AnyRow>) -> Result<Vec<LoggedEvent>, DatabaseError> {
    let mut events = Vec::with_capacity(found.len());
    for row in found {
        let (place, name, payload): (i64, String, String) =
            (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
        events.push(LoggedEvent {
            cursor: u64::try_from(place).unwrap_or(0),
            name: name.into(),
            payload: payload.into(),
        });
    }
    Ok(events)
}

/// The newest entries of a log, oldest first, of these channels only if any are named; or those
/// that come first after a place. With the place of the newest entry there is.
///
/// # Errors
/// Those of the database.
pub async fn excerpt(
    reader: &mut Reader,
    tenant: &str,
    channels: &[Pattern],
    after: Option<u64>,
    most: usize,
) -> Result<LogPage, DatabaseError> {
    let head: Option<i64> = sqlx::query_scalar("SELECT head FROM event_heads WHERE tenant_id = $1")
        .bind(tenant.to_owned())
        .fetch_optional(&mut *reader)
        .await?;
    let mut filter = String::new();
    for number in 0..channels.len() {
        filter.push_str(if number == 0 { " AND (" } else { " OR " });
        let (text, length) = (4 + number * 2, 5 + number * 2);
        filter.push_str(&format!(
            "SUBSTR(name, 1, CAST(${length} AS INT)) = ${text}"
        ));
    }
    if !filter.is_empty() {
        filter.push(')');
    }
    let order = if after.is_some() { "ASC" } else { "DESC" };
    let text = format!(
        "SELECT place, name, payload FROM event_log WHERE tenant_id = $1 AND place > $2{filter} \
         ORDER BY place {order} LIMIT $3"
    );
    let mut query = rows::statement(text)
        .bind(tenant.to_owned())
        .bind(i64::try_from(after.unwrap_or(0)).unwrap_or(i64::MAX))
        .bind(i64::try_from(most).unwrap_or(i64::MAX));
    for channel in channels {
        // A name is compared in whole, a prefix with its dot.
        let (text, length) = match channel {
            Pattern::Exact(name) => (name.to_string(), i64::MAX),
            Pattern::Below(prefix) => (format!("{prefix}."), prefix.len() as i64 + 1),
        };
        query = query.bind(text).bind(length.min(i64::from(i32::MAX)));
    }
    let found = query.fetch_all(&mut *reader).await?;
    let mut events = logged(found)?;
    if after.is_none() {
        events.reverse();
    }
    let head = head.and_then(|head| u64::try_from(head).ok()).unwrap_or(0);
    Ok(LogPage { events, head })
}

/// What was answered to a request with this idempotency key, if there was one.
///
/// # Errors
/// Those of the database.
pub async fn answer_of(
    tx: &mut Tx,
    tenant: &str,
    idempotency: &Idempotency,
) -> Result<Option<Outcome>, DatabaseError> {
    let found = sqlx::query(
        "SELECT fingerprint, answer FROM event_requests \
         WHERE tenant_id = $1 AND idempotency_key = $2",
    )
    .bind(tenant.to_owned())
    .bind(idempotency.key.clone())
    .fetch_optional(tx.connection())
    .await?;
    let Some(row) = found else {
        return Ok(None);
    };
    let (fingerprint, answer): (String, String) = (row.try_get(0)?, row.try_get(1)?);
    Ok(Some(if fingerprint == idempotency.fingerprint {
        Outcome::Repeated(answer)
    } else {
        Outcome::Conflict
    }))
}

/// Keeps the answer to a request with an idempotency key.
///
/// # Errors
/// Those of the database.
pub async fn keep_answer(
    tx: &mut Tx,
    tenant: &str,
    idempotency: &Idempotency,
    answer: &str,
) -> Result<(), DatabaseError> {
    let now = tx.now();
    sqlx::query(
        "INSERT INTO event_requests (tenant_id, idempotency_key, fingerprint, answer, created_at) \
         VALUES ($1, $2, $3, $4, $5)",
    )
    .bind(tenant.to_owned())
    .bind(idempotency.key.clone())
    .bind(idempotency.fingerprint.clone())
    .bind(answer.to_owned())
    .bind(now)
    .execute(tx.connection())
    .await?;
    Ok(())
}
