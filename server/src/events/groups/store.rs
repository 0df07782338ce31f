//! Making, showing and removing groups.

use dormouse_protocol::events::{Pattern, Since};
use sqlx::Row as _;
use sqlx::any::AnyRow;

use super::{GroupError, GroupKey, MOST_GROUPS};
use crate::database::{DatabaseError, Reader, Tx};

/// A group as it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupStanding {
    /// Its name.
    pub name: String,
    /// What it reads.
    pub channels: Vec<Pattern>,
    /// The place of the last entry that it has looked at.
    pub position: u64,
    /// Entries of the log behind its position, of whatever channel.
    pub lag: u64,
    /// Entries that are handed out and not acknowledged.
    pub pending: u64,
    /// Dead letters.
    pub dead: u64,
    /// Entries that had left the log before it came to them.
    pub missed: u64,
    /// When it was made, Unix ms.
    pub created_at: u64,
}

/// Makes a group that begins with the events after `start`, or gives one that exists other
/// channels from now on. Whether it was made.
///
/// # Errors
/// [`GroupError::TooMany`], [`GroupError::Ahead`], and those of the database.
pub async fn put(
    tx: &mut Tx,
    key: &GroupKey,
    channels: &[Pattern],
    start: Since,
) -> Result<bool, GroupError> {
    let channels = channels_json(channels);
    let changed =
        sqlx::query("UPDATE event_groups SET channels = $1 WHERE tenant_id = $2 AND name = $3")
            .bind(channels.clone())
            .bind(key.tenant.clone())
            .bind(key.name.clone())
            .execute(tx.connection())
            .await?;
    if changed.rows_affected() > 0 {
        return Ok(false);
    }
    let groups: i64 = sqlx::query_scalar("SELECT COUNT(*) FROM event_groups WHERE tenant_id = $1")
        .bind(key.tenant.clone())
        .fetch_one(tx.connection())
        .await?;
    if number(groups) >= MOST_GROUPS as u64 {
        return Err(GroupError::TooMany);
    }
    let head = head(tx.connection(), &key.tenant).await?;
    let position = match start {
        Since::Now => head,
        Since::After(place) => i64::try_from(place).unwrap_or(i64::MAX),
    };
    if position > head {
        return Err(GroupError::Ahead);
    }
    let position = if start == Since::After(0) {
        // What left the log before the group was made is nothing that it misses.
        first(tx, &key.tenant)
            .await?
            .map_or(head, |first| first - 1)
    } else {
        position
    };
    let now = tx.now();
    sqlx::query(
        "INSERT INTO event_groups (tenant_id, name, channels, place, created_at) \
         VALUES ($1, $2, $3, $4, $5)",
    )
    .bind(key.tenant.clone())
    .bind(key.name.clone())
    .bind(channels)
    .bind(position)
    .bind(now)
    .execute(tx.connection())
    .await?;
    Ok(true)
}

/// The place of the newest event of a tenant; 0 before the first.
pub(super) async fn head(reader: &mut Reader, tenant: &str) -> Result<i64, DatabaseError> {
    let head: Option<i64> = sqlx::query_scalar("SELECT head FROM event_heads WHERE tenant_id = $1")
        .bind(tenant.to_owned())
        .fetch_optional(reader)
        .await?;
    Ok(head.unwrap_or(0))
}

async fn first(tx: &mut Tx, tenant: &str) -> Result<Option<i64>, DatabaseError> {
    let first: Option<i64> = sqlx::query_scalar(
        "SELECT place FROM event_log WHERE tenant_id = $1 ORDER BY place LIMIT 1",
    )
    .bind(tenant.to_owned())
    .fetch_optional(tx.connection())
    .await?;
    Ok(first)
}

/// Removes a group with everything that it has handed out, dead letters too.
///
/// # Errors
/// [`GroupError::Unknown`], and those of the database.
pub async fn remove(tx: &mut Tx, key: &GroupKey) -> Result<(), GroupError> {
    let removed = sqlx::query("DELETE FROM event_groups WHERE tenant_id = $1 AND name = $2")
        .bind(key.tenant.clone())
        .bind(key.name.clone())
        .execute(tx.connection())
        .await?;
    if removed.rows_affected() == 0 {
        return Err(GroupError::Unknown);
    }
    sqlx::query("DELETE FROM event_deliveries WHERE tenant_id = $1 AND group_name = $2")
        .bind(key.tenant.clone())
        .bind(key.name.clone())
        .execute(tx.connection())
        .await?;
    Ok(())
}

/// Fails unless there is such a group.
pub(super) async fn check(reader: &mut Reader, key: &GroupKey) -> Result<(), GroupError> {
    let found: Option<i64> =
        sqlx::query_scalar("SELECT place FROM event_groups WHERE tenant_id = $1 AND name = $2")
            .bind(key.tenant.clone())
            .bind(key.name.clone())
            .fetch_optional(reader)
            .await?;
    found.map(|_| ()).ok_or(GroupError::Unknown)
}

/// What is known of groups, before `FROM` is filtered.
const STANDING: &str = "SELECT name, channels, place, missed, created_at, \
     COALESCE((SELECT head FROM event_heads AS h WHERE h.tenant_id = g.tenant_id), 0), \
     (SELECT COUNT(*) FROM event_deliveries AS d WHERE d.tenant_id = g.tenant_id \
      AND d.group_name = g.name AND d.died_at IS NULL), \
     (SELECT COUNT(*) FROM event_deliveries AS d WHERE d.tenant_id = g.tenant_id \
      AND d.group_name = g.name AND d.died_at IS NOT NULL) \
     FROM event_groups AS g WHERE tenant_id = $1";

/// The groups of a tenant, by name.
///
/// # Errors
/// Those of the database.
pub async fn list(reader: &mut Reader, tenant: &str) -> Result<Vec<GroupStanding>, GroupError> {
    let text = format!("{STANDING} ORDER BY name");
    let found = super::super::rows::statement(text)
        .bind(tenant.to_owned())
        .fetch_all(reader)
        .await?;
    found.iter().map(standing).collect()
}

/// One of them.
///
/// # Errors
/// [`GroupError::Unknown`], and those of the database.
pub async fn show(reader: &mut Reader, key: &GroupKey) -> Result<GroupStanding, GroupError> {
    let text = format!("{STANDING} AND name = $2");
    let found = super::super::rows::statement(text)
        .bind(key.tenant.clone())
        .bind(key.name.clone())
        .fetch_optional(reader)
        .await?;
    standing(&found.ok_or(GroupError::Unknown)?)
}

fn standing(row: &AnyRow) -> Result<GroupStanding, GroupError> {
    let (position, head): (i64, i64) = (row.try_get(2)?, row.try_get(5)?);
    let channels: String = row.try_get(1)?;
    Ok(GroupStanding {
        name: row.try_get(0)?,
        channels: read_channels(&channels)?,
        position: number(position),
        lag: number(head.saturating_sub(position)),
        pending: number(row.try_get(6)?),
        dead: number(row.try_get(7)?),
        missed: number(row.try_get(3)?),
        created_at: number(row.try_get(4)?),
    })
}

pub(super) fn number(stored: i64) -> u64 {
    u64::try_from(stored).unwrap_or(0)
}

fn channels_json(channels: &[Pattern]) -> String {
    let texts: Vec<String> = channels.iter().map(Pattern::to_string).collect();
    serde_json::json!(texts).to_string()
}

pub(super) fn read_channels(text: &str) -> Result<Vec<Pattern>, DatabaseError> {
    let fault = |err: &dyn std::fmt::Display| {
        DatabaseError::Internal(format!("the channels of a group: {err}"))
    };
    let texts: Vec<String> = serde_json::from_str(text).map_err(|err| fault(&err))?;
    let read = texts
        .iter()
        .map(|text| Pattern::parse(text).map_err(|err| fault(&err)));
    read.collect()
}
