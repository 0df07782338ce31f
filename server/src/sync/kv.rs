//! The key-value store (contract rest.md section 9, data-model.md kvItem).
//!
//! A deleted key keeps its row and its version, so that an old version never matches again. A batch
//! is applied as a whole or not at all.

use std::collections::BTreeMap;

use dormouse_protocol::Filter;
use serde::Serialize;
use sqlx::{AnyConnection, Row as _};

use super::binary;
use super::change::Change;
use super::error::SyncError;

/// A key as it is stored; without a value it is deleted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    /// The key.
    pub key: String,
    /// The value.
    pub value: Option<Vec<u8>>,
    /// Its version, from 1.
    pub version: i64,
}

/// A write to a key.
#[derive(Clone, Debug)]
pub struct Mutation {
    /// The key.
    pub key: String,
    /// The new value; `None` deletes.
    pub value: Option<Vec<u8>>,
    /// The version that the key must have; 0 for one that was never written, -1 for one that is
    /// absent or deleted.
    pub version: i64,
}

/// A write whose version did not match.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mismatch {
    /// The key.
    pub key: String,
    /// What it is now; version 0 where it was never written.
    pub version: i64,
    /// Its value.
    pub value: Option<Vec<u8>>,
}

/// What became of a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// All of it is written: the new version of each key, in the order of the batch. 0 for a key
    /// that was never written and was to be deleted.
    Applied(Vec<(String, i64)>),
    /// Nothing is written: these do not match.
    Mismatch(Vec<Mismatch>),
}

/// What updates say of a key.
#[derive(Serialize)]
struct Changed<'a> {
    key: &'a str,
    value: Option<String>,
    version: i64,
}

/// The update of a batch.
#[derive(Serialize)]
struct BatchUpdate<'a> {
    t: &'static str,
    changes: Vec<Changed<'a>>,
}

/// Applies a batch, in which no key may be twice.
///
/// # Errors
/// [`SyncError::Conflict`] when another server wrote one of the keys at the same time: then nothing
/// is written, and the same batch may be tried again. Or the database's.
pub async fn mutate(change: &mut Change<'_>, mutations: &[Mutation]) -> Result<Outcome, SyncError> {
    let account = change.account().to_string();
    let keys: Vec<&str> = mutations.iter().map(|write| write.key.as_str()).collect();
    let found = rows(change.connection(), &account, &keys).await?;
    let mut mismatches = Vec::new();
    let mut applied = Vec::new();
    for write in mutations {
        let item = found.get(&write.key);
        let current = item.map_or(0, |item| item.version);
        let is_absent = item.is_none_or(|item| item.value.is_none());
        let matches = match write.version {
            -1 => is_absent,
            version => version == current,
        };
        if !matches {
            mismatches.push(Mismatch {
                key: write.key.clone(),
                version: current,
                value: item.and_then(|item| item.value.clone()),
            });
        } else if item.is_none() && write.value.is_none() {
            applied.push((write.key.clone(), 0));
        } else {
            applied.push((write.key.clone(), current.saturating_add(1)));
        }
    }
    if !mismatches.is_empty() {
        return Ok(Outcome::Mismatch(mismatches));
    }
    let mut changes = Vec::new();
    for (write, (_, version)) in mutations.iter().zip(&applied) {
        if *version > 0 {
            put(change, &account, write, *version).await?;
            changes.push(Changed {
                key: &write.key,
                value: write.value.as_deref().map(binary::encode),
                version: *version,
            });
        }
    }
    if !changes.is_empty() {
        let seq = change.next_seq().await?;
        let update = BatchUpdate {
            t: "kv-batch-update",
            changes,
        };
        change.update(seq, Filter::All, &update);
    }
    Ok(Outcome::Applied(applied))
}

async fn put(
    change: &mut Change<'_>,
    account: &str,
    write: &Mutation,
    version: i64,
) -> Result<(), SyncError> {
    change.ensure_account().await?;
    let now = change.now();
    let written = sqlx::query(
        "INSERT INTO kv_items (account_id, key, version, updated_at, value) \
         VALUES ($1, $2, $3, $4, $5) ON CONFLICT (account_id, key) DO UPDATE \
         SET version = $3, updated_at = $4, value = $5 WHERE kv_items.version = $6",
    )
    .bind(account)
    .bind(write.key.as_str())
    .bind(version)
    .bind(now)
    .bind(write.value.as_deref())
    .bind(version - 1)
    .execute(change.connection())
    .await?;
    if written.rows_affected() == 0 {
        return Err(SyncError::Conflict("the key was just written; try again"));
    }
    Ok(())
}

/// The keys that exist, deleted ones included, with a query for all of them.
async fn rows(
    reader: &mut AnyConnection,
    account: &str,
    keys: &[&str],
) -> Result<BTreeMap<String, Item>, SyncError> {
    if keys.is_empty() {
        return Ok(BTreeMap::new());
    }
    let places: Vec<String> = (0..keys.len()).map(|at| format!("${}", at + 2)).collect();
    // Made of numbers and constants.
    let query = format!(
        "SELECT key, value, version FROM kv_items WHERE account_id = $1 AND key IN ({})",
        places.join(", ")
    );
    let mut query = sqlx::query(sqlx::AssertSqlSafe(query)).bind(account);
    for key in keys {
        query = query.bind(*key);
    }
    let rows = query.fetch_all(reader).await?;
    rows.iter()
        .map(|row| item(row).map(|item| (item.key.clone(), item)))
        .collect()
}

fn item(row: &sqlx::any::AnyRow) -> Result<Item, SyncError> {
    Ok(Item {
        key: row.try_get(0)?,
        value: row.try_get(1)?,
        version: row.try_get(2)?,
    })
}

/// Those of the keys that exist and are not deleted, in the order asked for.
///
/// # Errors
/// The database's.
pub async fn get(
    reader: &mut AnyConnection,
    account: &str,
    keys: &[&str],
) -> Result<Vec<Item>, SyncError> {
    let found = rows(reader, account, keys).await?;
    let live = keys.iter().filter_map(|key| found.get(*key));
    Ok(live.filter(|item| item.value.is_some()).cloned().collect())
}

/// Live items by key, from a key up to another, exclusively.
pub const BETWEEN: &str = "SELECT key, value, version FROM kv_items WHERE account_id = $1 \
     AND value IS NOT NULL AND key >= $2 AND key < $3 ORDER BY key LIMIT $4";

/// Live items by key, from a key on.
pub const FROM: &str = "SELECT key, value, version FROM kv_items WHERE account_id = $1 \
     AND value IS NOT NULL AND key >= $2 ORDER BY key LIMIT $3";

/// Up to `limit` items whose key begins with `prefix`, by key.
///
/// # Errors
/// The database's.
pub async fn list(
    reader: &mut AnyConnection,
    account: &str,
    prefix: &str,
    limit: i64,
) -> Result<Vec<Item>, SyncError> {
    let rows = match after_all(prefix) {
        Some(end) => {
            let query = sqlx::query(BETWEEN).bind(account).bind(prefix).bind(end);
            query.bind(limit).fetch_all(reader).await?
        }
        None => {
            let query = sqlx::query(FROM).bind(account).bind(prefix);
            query.bind(limit).fetch_all(reader).await?
        }
    };
    rows.iter().map(item).collect()
}

/// The first text after all that begin with `prefix`; `None` when nothing comes after them.
fn after_all(prefix: &str) -> Option<String> {
    let mut text = prefix.to_owned();
    while let Some(last) = text.pop() {
        // The next code point that is a character.
        let next = (u32::from(last) + 1..=u32::from(char::MAX)).find_map(char::from_u32);
        if let Some(next) = next {
            text.push(next);
            return Some(text);
        }
    }
    None
}

#[cfg(test)]
mod unit_tests {
    use super::*;

    #[test]
    fn a_prefix_ends_where_the_next_begins() {
        assert_eq!(after_all("a").as_deref(), Some("b"));
        assert_eq!(after_all("a%").as_deref(), Some("a&"));
        assert_eq!(after_all("\u{d7ff}").as_deref(), Some("\u{e000}"));
        assert_eq!(after_all("a\u{10ffff}").as_deref(), Some("b"));
        assert_eq!(after_all(""), None);
        assert_eq!(after_all("\u{10ffff}"), None);
    }

    proptest::proptest! {
        #[test]
        fn everything_with_a_prefix_lies_before_its_end(prefix in "\\PC{0,5}", rest in "\\PC{0,5}") {
            let text = format!("{prefix}{rest}");
            if let Some(end) = after_all(&prefix) {
                proptest::prop_assert!(text < end);
                proptest::prop_assert!(prefix < end && !end.starts_with(&prefix) || prefix.is_empty());
            }
        }
    }
}
