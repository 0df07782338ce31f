//! The feed: what a user is told beside the own sessions (contract rest.md section 10, data-model.md
//! feedItem).

use dormouse_protocol::Filter;
use serde::Serialize;
use serde_json::value::RawValue;
use sqlx::{AnyConnection, Row as _};

use super::change::Change;
use super::error::SyncError;
use crate::database::new_id;

/// An item of the feed.
#[derive(Clone, Debug)]
pub struct Item {
    /// Its name.
    pub id: String,
    /// Its number in the user's feed, from 1.
    pub counter: i64,
    /// What is told, a JSON object.
    pub body: String,
    /// What it replaces and is replaced by.
    pub repeat_key: Option<String>,
    /// Unix milliseconds.
    pub created_at: i64,
}

/// Which part of the feed is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// The newest items.
    Newest,
    /// The newest of those with a lower counter.
    Before(i64),
    /// The oldest of those with a higher counter: none between them and it is left out.
    After(i64),
}

/// The newest after a counter.
pub const NEWEST: &str = "SELECT id, counter, body, repeat_key, created_at FROM feed_items \
     WHERE account_id = $1 AND counter > $2 ORDER BY counter DESC LIMIT $3";

/// The newest before a counter.
pub const BEFORE: &str = "SELECT id, counter, body, repeat_key, created_at FROM feed_items \
     WHERE account_id = $1 AND counter < $2 ORDER BY counter DESC LIMIT $3";

/// Those next after a counter.
pub const AFTER: &str = "SELECT id, counter, body, repeat_key, created_at FROM feed_items \
     WHERE account_id = $1 AND counter > $2 ORDER BY counter ASC LIMIT $3";

/// Up to `limit` items, newest first, and whether there are more in that direction.
///
/// # Errors
/// The database's.
pub async fn read(
    reader: &mut AnyConnection,
    account: &str,
    part: Part,
    limit: usize,
) -> Result<(Vec<Item>, bool), SyncError> {
    let query = match part {
        Part::Newest => NEWEST,
        Part::Before(_) => BEFORE,
        Part::After(_) => AFTER,
    };
    let bound = match part {
        Part::Newest => 0,
        Part::Before(counter) | Part::After(counter) => counter,
    };
    // One more than asked for says whether there are more.
    let most = i64::try_from(limit).unwrap_or(i64::MAX).saturating_add(1);
    let query = sqlx::query(query).bind(account).bind(bound).bind(most);
    let rows = query.fetch_all(reader).await?;
    let items = rows.iter().map(|row| {
        Ok(Item {
            id: row.try_get(0)?,
            counter: row.try_get(1)?,
            body: row.try_get(2)?,
            repeat_key: row.try_get(3)?,
            created_at: row.try_get(4)?,
        })
    });
    let mut items = items.collect::<Result<Vec<Item>, SyncError>>()?;
    let has_more = items.len() > limit;
    items.truncate(limit);
    if matches!(part, Part::After(_)) {
        items.reverse();
    }
    Ok((items, has_more))
}

/// The cursor of a counter.
#[must_use]
pub fn cursor(counter: i64) -> String {
    format!("cursor_{counter}")
}

/// The counter of a cursor; `None` for any other text.
#[must_use]
pub fn read_cursor(text: &str) -> Option<i64> {
    let digits = text.strip_prefix("cursor_")?;
    let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    if is_number { digits.parse().ok() } else { None }
}

/// The update of a new item.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct NewFeedPost<'a> {
    t: &'static str,
    id: &'a str,
    body: &'a RawValue,
    cursor: String,
    created_at: i64,
    repeat_key: Option<&'a str>,
    counter: i64,
}

/// Tells the user something. With a repeat key it takes the place of the item that has it, with a
/// counter of its own.
///
/// # Errors
/// The database's.
pub async fn post(
    change: &mut Change<'_>,
    body: &RawValue,
    repeat_key: Option<&str>,
) -> Result<Item, SyncError> {
    let (account, now) = (change.account().to_string(), change.now());
    change.ensure_account().await?;
    let next = "UPDATE accounts SET feed_seq = feed_seq + 1 WHERE id = $1 RETURNING feed_seq";
    let next = sqlx::query(next).bind(account.as_str());
    let counter: i64 = next.fetch_one(change.connection()).await?.try_get(0)?;
    if let Some(key) = repeat_key {
        let replaced = "DELETE FROM feed_items WHERE account_id = $1 AND repeat_key = $2";
        let replaced = sqlx::query(replaced).bind(account.as_str()).bind(key);
        replaced.execute(change.connection()).await?;
    }
    let item = Item {
        id: new_id(),
        counter,
        body: body.get().to_owned(),
        repeat_key: repeat_key.map(str::to_owned),
        created_at: now,
    };
    sqlx::query(
        "INSERT INTO feed_items (account_id, counter, id, repeat_key, created_at, body) \
         VALUES ($1, $2, $3, $4, $5, $6)",
    )
    .bind(account.as_str())
    .bind(counter)
    .bind(item.id.as_str())
    .bind(repeat_key)
    .bind(now)
    .bind(body.get())
    .execute(change.connection())
    .await?;
    let seq = change.next_seq().await?;
    let update = NewFeedPost {
        t: "new-feed-post",
        id: &item.id,
        body,
        cursor: cursor(counter),
        created_at: now,
        repeat_key,
        counter,
    };
    change.update(seq, Filter::UserScopedOnly, &update);
    Ok(item)
}

#[cfg(test)]
mod unit_tests {
    use super::*;

    #[test]
    fn cursors_are_read_as_they_are_written() {
        for counter in [0, 1, 77, i64::MAX] {
            assert_eq!(read_cursor(&cursor(counter)), Some(counter));
        }
        for other in [
            "",
            "cursor_",
            "cursor_-1",
            "cursor_+1",
            "cursor_1 ",
            "cursor_٣",
            "Cursor_1",
            "cursor_9223372036854775808",
        ] {
            assert_eq!(read_cursor(other), None, "{other}");
        }
    }
}
