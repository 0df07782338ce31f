//! Handing entries of the log to the workers of a group.

use dormouse_protocol::events::Pattern;
use sqlx::Row as _;

use super::super::rows;
use super::store::{self, number, read_channels};
use super::{GroupError, GroupKey, IDLE_MS, MOST_ATTEMPTS, MOST_PENDING};
use crate::database::{DatabaseError, Tx};

/// Entries of the log that one read looks at, at most: others wait for its end.
const LOOK: usize = 256;
/// What is noted of an entry that nobody acknowledged.
const NOT_ACKNOWLEDGED: &str = "it was not acknowledged in time";

/// What a worker asks for.
#[derive(Clone, Debug)]
pub struct Ask {
    /// The group.
    pub key: GroupKey,
    /// The worker.
    pub consumer: String,
    /// Entries at most.
    pub count: usize,
}

/// An entry that is handed out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its place in the log.
    pub place: u64,
    /// The event's name.
    pub name: String,
    /// The JSON of its payload.
    pub payload: String,
    /// How often it has been handed out, this time included.
    pub attempt: u64,
}

/// What a worker is given.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Batch {
    /// The entries: those that others did not acknowledge first, then new ones, each in order.
    pub entries: Vec<Entry>,
    /// Whether the log goes on behind what this read has looked at.
    pub is_behind: bool,
    /// Entries that became dead letters.
    pub died: u64,
    /// Entries that had left the log before they were read; since the group was made.
    pub missed: u64,
}

/// A group as it is read.
struct Reading {
    channels: Vec<Pattern>,
    position: i64,
    missed: i64,
}

/// Hands out entries at this time, Unix ms.
///
/// # Errors
/// [`GroupError::Unknown`], [`GroupError::Full`] when there is nothing else to hand out, and those
/// of the database.
pub async fn read(tx: &mut Tx, ask: &Ask, now: i64) -> Result<Batch, GroupError> {
    let mut group = load(tx, &ask.key).await?;
    let mut batch = Batch {
        died: expire(tx, &ask.key, now).await?,
        ..Batch::default()
    };
    batch.entries = reclaim(tx, ask, now).await?;
    let pending: i64 = sqlx::query_scalar(
        "SELECT COUNT(*) FROM event_deliveries \
         WHERE tenant_id = $1 AND group_name = $2 AND died_at IS NULL",
    )
    .bind(ask.key.tenant.clone())
    .bind(ask.key.name.clone())
    .fetch_one(tx.connection())
    .await?;
    let room = MOST_PENDING.saturating_sub(usize::try_from(pending).unwrap_or(usize::MAX));
    let wanted = ask.count.saturating_sub(batch.entries.len());
    if wanted > 0 && room == 0 && batch.entries.is_empty() {
        return Err(GroupError::Full);
    }
    let wanted = wanted.min(room);
    if wanted > 0 {
        let before = (group.position, group.missed);
        let (fresh, is_behind) = look(tx, &ask.key.tenant, &mut group, wanted).await?;
        hand_out(tx, ask, &fresh, now).await?;
        if (group.position, group.missed) != before {
            advance(tx, &ask.key, &group).await?;
        }
        batch.entries.extend(fresh);
        batch.is_behind = is_behind;
    }
    batch.missed = number(group.missed);
    Ok(batch)
}

async fn load(tx: &mut Tx, key: &GroupKey) -> Result<Reading, GroupError> {
    let row = sqlx::query(
        "SELECT channels, place, missed FROM event_groups WHERE tenant_id = $1 AND name = $2",
    )
    .bind(key.tenant.clone())
    .bind(key.name.clone())
    .fetch_optional(tx.connection())
    .await?
    .ok_or(GroupError::Unknown)?;
    let channels: String = row.try_get(0)?;
    Ok(Reading {
        channels: read_channels(&channels)?,
        position: row.try_get(1)?,
        missed: row.try_get(2)?,
    })
}

/// Makes dead letters of what was handed out often enough; returns how many.
async fn expire(tx: &mut Tx, key: &GroupKey, now: i64) -> Result<u64, DatabaseError> {
    // A clock that stepped back would keep them until it is where it was.
    sqlx::query(
        "UPDATE event_deliveries SET delivered_at = $3 WHERE tenant_id = $1 AND group_name = $2 \
         AND died_at IS NULL AND delivered_at > $4",
    )
    .bind(key.tenant.clone())
    .bind(key.name.clone())
    .bind(now)
    .bind(now)
    .execute(tx.connection())
    .await?;
    let died = sqlx::query(
        "UPDATE event_deliveries SET died_at = $3, error = COALESCE(error, $4) \
         WHERE tenant_id = $1 AND group_name = $2 AND died_at IS NULL \
         AND delivered_at <= $5 AND attempts >= $6",
    )
    .bind(key.tenant.clone())
    .bind(key.name.clone())
    .bind(now)
    .bind(NOT_ACKNOWLEDGED)
    .bind(now.saturating_sub(IDLE_MS))
    .bind(MOST_ATTEMPTS)
    .execute(tx.connection())
    .await?;
    Ok(died.rows_affected())
}

/// Takes over what has waited too long for its acknowledgement, or was given back.
async fn reclaim(tx: &mut Tx, ask: &Ask, now: i64) -> Result<Vec<Entry>, DatabaseError> {
    let found = sqlx::query(
        "SELECT place, name, payload, attempts FROM event_deliveries \
         WHERE tenant_id = $1 AND group_name = $2 AND died_at IS NULL AND delivered_at <= $3 \
         ORDER BY place LIMIT $4",
    )
    .bind(ask.key.tenant.clone())
    .bind(ask.key.name.clone())
    .bind(now.saturating_sub(IDLE_MS))
    .bind(i64::try_from(ask.count).unwrap_or(i64::MAX))
    .fetch_all(tx.connection())
    .await?;
    let mut entries = Vec::with_capacity(found.len());
    let mut places: Vec<i64> = Vec::with_capacity(found.len());
    for row in found {
        let (place, attempts): (i64, i64) = (row.try_get(0)?, row.try_get(3)?);
        places.push(place);
        entries.push(Entry {
            place: number(place),
            name: row.try_get(1)?,
            payload: row.try_get(2)?,
            attempt: number(attempts + 1),
        });
    }
    for piece in rows::pieces(&places) {
        let text = format!(
            "UPDATE event_deliveries SET consumer = $1, attempts = attempts + 1, \
             delivered_at = $2 WHERE tenant_id = $3 AND group_name = $4 AND place IN ({})",
            rows::list(5, piece.len()),
        );
        let mut query = rows::statement(text)
            .bind(ask.consumer.clone())
            .bind(now)
            .bind(ask.key.tenant.clone())
            .bind(ask.key.name.clone());
        for place in piece {
            query = query.bind(*place);
        }
        query.execute(tx.connection()).await?;
    }
    Ok(entries)
}

/// The next entries of the group's channels, and whether the log goes on behind them. Moves the
/// position past what was looked at.
async fn look(
    tx: &mut Tx,
    tenant: &str,
    group: &mut Reading,
    wanted: usize,
) -> Result<(Vec<Entry>, bool), DatabaseError> {
    let found = sqlx::query(
        "SELECT place, name, payload FROM event_log WHERE tenant_id = $1 AND place > $2 \
         ORDER BY place LIMIT $3",
    )
    .bind(tenant.to_owned())
    .bind(group.position)
    .bind(LOOK as i64)
    .fetch_all(tx.connection())
    .await?;
    let is_page_full = found.len() == LOOK;
    if found.is_empty() {
        let head = store::head(tx.connection(), tenant).await?;
        group.missed += (head - group.position).max(0);
        group.position = group.position.max(head);
        return Ok((Vec::new(), false));
    }
    let mut entries = Vec::with_capacity(wanted);
    for row in found {
        if entries.len() == wanted {
            return Ok((entries, true));
        }
        let (place, name): (i64, String) = (row.try_get(0)?, row.try_get(1)?);
        // Places are given without a gap: what is not there has left the log.
        group.missed += place - group.position - 1;
        group.position = place;
        if group.channels.iter().any(|channel| channel.matches(&name)) {
            entries.push(Entry {
                place: number(place),
                name,
                payload: row.try_get(2)?,
                attempt: 1,
            });
        }
    }
    Ok((entries, is_page_full))
}

/// Notes that entries are handed out.
async fn hand_out(
    tx: &mut Tx,
    ask: &Ask,
    entries: &[Entry],
    now: i64,
) -> Result<(), DatabaseError> {
    for piece in rows::pieces(entries) {
        let text = format!(
            "INSERT INTO event_deliveries (tenant_id, group_name, place, name, payload, consumer, \
             attempts, delivered_at) VALUES {}",
            rows::values(piece.len(), 8),
        );
        let mut query = rows::statement(text);
        for entry in piece {
            query = query
                .bind(ask.key.tenant.clone())
                .bind(ask.key.name.clone())
                .bind(i64::try_from(entry.place).unwrap_or(i64::MAX))
                .bind(entry.name.clone())
                .bind(entry.payload.clone())
                .bind(ask.consumer.clone())
                .bind(1_i64)
                .bind(now);
        }
        query.execute(tx.connection()).await?;
    }
    Ok(())
}

async fn advance(tx: &mut Tx, key: &GroupKey, group: &Reading) -> Result<(), DatabaseError> {
    sqlx::query(
        "UPDATE event_groups SET place = $3, missed = $4 WHERE tenant_id = $1 AND name = $2",
    )
    .bind(key.tenant.clone())
    .bind(key.name.clone())
    .bind(group.position)
    .bind(group.missed)
    .execute(tx.connection())
    .await?;
    Ok(())
}
