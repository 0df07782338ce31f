//! What becomes of entries that were handed out: acknowledged, given back, dead, tried again.

use sqlx::Row as _;
use sqlx::any::AnyArguments;
use sqlx::query::Query;
use sqlx::{Any, AssertSqlSafe};

use super::super::rows;
use super::store::{self, number};
use super::{GroupError, GroupKey, MOST_ATTEMPTS, MOST_DEAD};
use crate::database::{DatabaseError, Reader, Tx};

/// An entry that was handed out too often.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeadLetter {
    /// Its place in the log.
    pub place: u64,
    /// The event's name.
    pub name: String,
    /// The JSON of its payload.
    pub payload: String,
    /// How often it was handed out.
    pub attempts: u64,
    /// Who had it last.
    pub consumer: String,
    /// What was said of the last failure.
    pub error: String,
    /// When it was given up, Unix ms.
    pub died_at: u64,
}

/// Acknowledges entries; returns how many waited for it.
///
/// Whoever has done the work may say so, also after another worker was given the entry.
///
/// # Errors
/// [`GroupError::Unknown`], and those of the database.
pub async fn acknowledge(tx: &mut Tx, key: &GroupKey, places: &[u64]) -> Result<u64, GroupError> {
    store::check(tx.connection(), key).await?;
    let delete = "DELETE FROM event_deliveries \
                  WHERE tenant_id = $1 AND group_name = $2 AND died_at IS NULL";
    Ok(each_place(tx, key, places, delete, |query| query).await?)
}

/// Gives entries back that a worker could not work on: others get them at once, or they are dead
/// letters if that was their last attempt. Returns how many there are of both kinds. What the
/// worker does not have any more is left as it is.
///
/// # Errors
/// [`GroupError::Unknown`], and those of the database.
pub async fn fail(
    tx: &mut Tx,
    key: &GroupKey,
    consumer: &str,
    places: &[u64],
    error: Option<&str>,
) -> Result<(u64, u64), GroupError> {
    store::check(tx.connection(), key).await?;
    let now = tx.now();
    let error = error
        .unwrap_or("it was given back without a reason")
        .to_owned();
    let consumer = consumer.to_owned();
    // What is at 0 has been given back already.
    let bury = "UPDATE event_deliveries SET died_at = $3, error = $4 \
                WHERE tenant_id = $1 AND group_name = $2 AND died_at IS NULL \
                AND consumer = $5 AND attempts >= $6 AND delivered_at > 0";
    let died = each_place(tx, key, places, bury, |query| {
        query
            .bind(now)
            .bind(error.clone())
            .bind(consumer.clone())
            .bind(MOST_ATTEMPTS)
    })
    .await?;
    let release = "UPDATE event_deliveries SET delivered_at = 0, error = $3 \
                   WHERE tenant_id = $1 AND group_name = $2 AND died_at IS NULL \
                   AND consumer = $4 AND delivered_at > 0";
    let released = each_place(tx, key, places, release, |query| {
        query.bind(error.clone()).bind(consumer.clone())
    })
    .await?;
    Ok((released, died))
}

/// Has dead letters handed out again, with all their attempts; returns how many there were.
///
/// # Errors
/// [`GroupError::Unknown`], and those of the database.
pub async fn retry(tx: &mut Tx, key: &GroupKey, places: &[u64]) -> Result<u64, GroupError> {
    store::check(tx.connection(), key).await?;
    let revive = "UPDATE event_deliveries SET died_at = NULL, attempts = 0, delivered_at = 0 \
                  WHERE tenant_id = $1 AND group_name = $2 AND died_at IS NOT NULL";
    Ok(each_place(tx, key, places, revive, |query| query).await?)
}

/// Removes dead letters; returns how many there were.
///
/// # Errors
/// [`GroupError::Unknown`], and those of the database.
pub async fn discard(tx: &mut Tx, key: &GroupKey, places: &[u64]) -> Result<u64, GroupError> {
    store::check(tx.connection(), key).await?;
    let delete = "DELETE FROM event_deliveries \
                  WHERE tenant_id = $1 AND group_name = $2 AND died_at IS NOT NULL";
    Ok(each_place(tx, key, places, delete, |query| query).await?)
}

/// Runs a statement for places, in pieces; `$1` and `$2` are the group. Returns the rows that it
/// changed.
async fn each_place(
    tx: &mut Tx,
    key: &GroupKey,
    places: &[u64],
    statement: &'static str,
    bind: impl for<'q> Fn(Query<'q, Any, AnyArguments>) -> Query<'q, Any, AnyArguments>,
) -> Result<u64, DatabaseError> {
    let values = 1 + statement.matches('$').count();
    let mut places: Vec<i64> = places
        .iter()
        .filter_map(|place| i64::try_from(*place).ok())
        .collect();
    places.sort_unstable();
    places.dedup();
    let mut changed = 0;
    for piece in rows::pieces(&places) {
        let list = rows::list(values, piece.len());
        let text = AssertSqlSafe(format!("{statement} AND place IN ({list})"));
        let query = sqlx::query(text)
            .bind(key.tenant.clone())
            .bind(key.name.clone());
        let mut query = bind(query);
        for place in piece {
            query = query.bind(*place);
        }
        changed += query.execute(tx.connection()).await?.rows_affected();
    }
    Ok(changed)
}

/// Dead letters behind a place, oldest event first.
///
/// # Errors
/// [`GroupError::Unknown`], and those of the database.
pub async fn dead_letters(
    reader: &mut Reader,
    key: &GroupKey,
    after: u64,
    most: usize,
) -> Result<Vec<DeadLetter>, GroupError> {
    store::check(reader, key).await?;
    let found = sqlx::query(
        "SELECT place, name, payload, attempts, consumer, error, died_at FROM event_deliveries \
         WHERE tenant_id = $1 AND group_name = $2 AND died_at IS NOT NULL AND place > $3 \
         ORDER BY place LIMIT $4",
    )
    .bind(key.tenant.clone())
    .bind(key.name.clone())
    .bind(i64::try_from(after).unwrap_or(i64::MAX))
    .bind(i64::try_from(most).unwrap_or(i64::MAX))
    .fetch_all(reader)
    .await?;
    let mut letters = Vec::with_capacity(found.len());
    for row in found {
        let error: Option<String> = row.try_get(5)?;
        letters.push(DeadLetter {
            place: number(row.try_get(0)?),
            name: row.try_get(1)?,
            payload: row.try_get(2)?,
            attempts: number(row.try_get(3)?),
            consumer: row.try_get(4)?,
            error: error.unwrap_or_default(),
            died_at: number(row.try_get(6)?),
        });
    }
    Ok(letters)
}

/// Removes the oldest dead letters of all groups that have more than [`MOST_DEAD`], at most `piece`
/// of each; returns how many.
///
/// # Errors
/// Those of the database.
pub async fn trim_dead(tx: &mut Tx, piece: i64) -> Result<u64, DatabaseError> {
    let full = sqlx::query(
        "SELECT tenant_id, group_name, COUNT(*) FROM event_deliveries \
         WHERE died_at IS NOT NULL GROUP BY tenant_id, group_name HAVING COUNT(*) > $1",
    )
    .bind(MOST_DEAD as i64)
    .fetch_all(tx.connection())
    .await?;
    let mut removed = 0;
    for row in full {
        let (tenant, name, count): (String, String, i64) =
            (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
        let most = (count - MOST_DEAD as i64).min(piece);
        tracing::warn!(%tenant, group = %name, %most, "the oldest dead letters are removed");
        let done = sqlx::query(
            "DELETE FROM event_deliveries WHERE tenant_id = $1 AND group_name = $2 AND place IN \
             (SELECT place FROM event_deliveries WHERE tenant_id = $3 AND group_name = $4 \
              AND died_at IS NOT NULL ORDER BY died_at, place LIMIT $5)",
        )
        .bind(tenant.clone())
        .bind(name.clone())
        .bind(tenant)
        .bind(name)
        .bind(most)
        .execute(tx.connection())
        .await?;
        removed += done.rows_affected();
    }
    Ok(removed)
}
