//! Pages of a list of shards: their order, and cursors into it.
//!
//! The order is total (ties are broken by names), so a cursor, which is a place in the order and
//! not in a list, finds its place again whatever has changed meanwhile.

use std::cmp::Ordering;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use dormouse_protocol::stats::ShardStats;
use serde::{Deserialize, Serialize};

use crate::http::errors::ApiError;
use crate::http::query::Query;

/// Most entries of a page.
const MOST: u64 = 500;
/// Entries of a page when the caller names no number.
const USUAL: u64 = 50;

/// Longest cursor that is looked at, bytes. Those that are given out have two names of at most
/// 128 characters.
const MOST_CURSOR_BYTES: usize = 4096;

/// What shards are ordered by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Key {
    #[serde(rename = "connections")]
    Connections,
    #[serde(rename = "lastActivity")]
    LastActivity,
    #[serde(rename = "queuedBytes")]
    QueuedBytes,
    #[serde(rename = "rejected")]
    Rejected,
    #[serde(rename = "name")]
    Name,
}

/// An order of shards.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Order {
    #[serde(rename = "k")]
    key: Key,
    #[serde(rename = "d")]
    descending: bool,
}

impl Default for Order {
    /// `-connections`: the busiest first.
    fn default() -> Self {
        Self {
            key: Key::Connections,
            descending: true,
        }
    }
}

impl Order {
    /// Reads a name such as `-connections`.
    ///
    /// # Errors
    /// 400, with the names that there are.
    pub fn read(text: &str) -> Result<Self, ApiError> {
        let (descending, name) = match text.strip_prefix('-') {
            Some(name) => (true, name),
            None => (false, text),
        };
        let key = match name {
            "connections" => Key::Connections,
            "lastActivity" => Key::LastActivity,
            "queuedBytes" => Key::QueuedBytes,
            "rejected" => Key::Rejected,
            "name" => Key::Name,
            _ => {
                return Err(ApiError::validation(
                    "sort must be connections, lastActivity, queuedBytes, rejected or name, with \
                     a - in front for the highest first",
                ));
            }
        };
        Ok(Self { key, descending })
    }

    fn value(self, shard: &ShardStats) -> u64 {
        match self.key {
            Key::Connections => shard.connections,
            Key::LastActivity => shard.last_activity_at,
            Key::QueuedBytes => shard.queued_bytes,
            Key::Rejected => shard.rejected,
            Key::Name => 0,
        }
    }

    fn compare(self, a: &Place<'_>, b: &Place<'_>) -> Ordering {
        // `alice-1` may be the first shard of one user and the second of another.
        let names = a.shard.cmp(b.shard).then_with(|| a.user.cmp(b.user));
        match (self.key, self.descending) {
            (Key::Name, true) => names.reverse(),
            (_, true) => b.value.cmp(&a.value).then(names),
            (_, false) => a.value.cmp(&b.value).then(names),
        }
    }

    fn place(self, shard: &ShardStats) -> Place<'_> {
        Place {
            value: self.value(shard),
            shard: &shard.shard,
            user: &shard.user,
        }
    }
}

/// Where a shard is in an order.
#[derive(Clone, Copy, Debug)]
struct Place<'a> {
    value: u64,
    shard: &'a str,
    user: &'a str,
}

/// The place of the last shard of a page.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cursor {
    #[serde(flatten)]
    order: Order,
    #[serde(rename = "v")]
    value: u64,
    #[serde(rename = "s")]
    shard: String,
    #[serde(rename = "u")]
    user: String,
}

impl Cursor {
    /// Reads what [`Self::to_text`] wrote.
    ///
    /// # Errors
    /// 400 for any other text, and for a cursor of another order.
    pub fn read(text: &str, order: Order) -> Result<Self, ApiError> {
        let decoded = (text.len() <= MOST_CURSOR_BYTES)
            .then(|| BASE64_URL_SAFE_NO_PAD.decode(text).ok())
            .flatten();
        let cursor: Option<Self> = decoded.and_then(|json| serde_json::from_slice(&json).ok());
        match cursor {
            None => Err(ApiError::validation(
                "this is no cursor; give the nextCursor of a page as it is, or none for the first \
                 page",
            )),
            Some(cursor) if cursor.order != order => Err(ApiError::validation(
                "the cursor is of another order; keep sort as it was, or begin without a cursor",
            )),
            Some(cursor) => Ok(cursor),
        }
    }

    /// The text for clients, who need not understand it.
    #[must_use]
    pub fn to_text(&self) -> String {
        // Numbers and texts always serialize.
        BASE64_URL_SAFE_NO_PAD.encode(serde_json::to_vec(self).unwrap_or_default())
    }

    fn place(&self) -> Place<'_> {
        Place {
            value: self.value,
            shard: &self.shard,
            user: &self.user,
        }
    }
}

/// Which page of a list is asked for.
#[derive(Debug)]
pub struct PageQuery {
    order: Order,
    cursor: Option<Cursor>,
    limit: usize,
}

impl PageQuery {
    /// Reads `sort`, `cursor` and `limit`.
    ///
    /// # Errors
    /// 400 for one that cannot be used.
    pub fn read(query: &Query<'_>) -> Result<Self, ApiError> {
        let order = query
            .text("sort")?
            .map_or(Ok(Order::default()), Order::read)?;
        let cursor = query.text("cursor")?.map(|text| Cursor::read(text, order));
        Ok(Self {
            order,
            cursor: cursor.transpose()?,
            limit: query.number("limit", 1..=MOST)?.unwrap_or(USUAL) as usize,
        })
    }

    /// The page of these shards, and the `nextCursor` for the one behind it.
    #[must_use]
    pub fn page(&self, shards: Vec<ShardStats>) -> (Vec<ShardStats>, Option<String>) {
        let (shards, next) = page(shards, self.order, self.cursor.as_ref(), self.limit);
        (shards, next.map(|cursor| cursor.to_text()))
    }
}

/// The first `limit` shards behind the cursor, in order, and the cursor for those behind them.
fn page(
    mut shards: Vec<ShardStats>,
    order: Order,
    after: Option<&Cursor>,
    limit: usize,
) -> (Vec<ShardStats>, Option<Cursor>) {
    if let Some(after) = after.map(Cursor::place) {
        shards.retain(|shard| order.compare(&order.place(shard), &after).is_gt());
    }
    let compare = |a: &ShardStats, b: &ShardStats| order.compare(&order.place(a), &order.place(b));
    let has_more = shards.len() > limit;
    if has_more {
        // Only the page is sorted: there may be a hundred thousand shards.
        shards.select_nth_unstable_by(limit, compare);
        shards.truncate(limit);
    }
    shards.sort_unstable_by(compare);
    let next = shards.last().filter(|_| has_more).map(|last| Cursor {
        order,
        value: order.value(last),
        shard: last.shard.clone(),
        user: last.user.clone(),
    });
    (shards, next)
}

#[cfg(test)]
mod tests {
    use dormouse_protocol::stats::{ByType, ShardState};
    use proptest::prelude::*;

    use super::*;

    const ORDERS: [&str; 10] = [
        "connections",
        "-connections",
        "lastActivity",
        "-lastActivity",
        "queuedBytes",
        "-queuedBytes",
        "rejected",
        "-rejected",
        "name",
        "-name",
    ];

    fn shard(user: &str, number: u16, value: u64) -> ShardStats {
        ShardStats {
            shard: match number {
                0 => user.to_owned(),
                number => format!("{user}-{number}"),
            },
            user: user.to_owned(),
            tier: "free".to_owned(),
            state: ShardState::Awake,
            worker: 0,
            connections: value,
            by_type: ByType::default(),
            oldest_connection: None,
            last_activity_at: value,
            queued_bytes: value,
            queued_frames: 0,
            rejected: value,
            sleeps: 0,
            wakes: 0,
        }
    }

    #[test]
    fn each_order_has_its_key_and_breaks_ties_by_name() {
        let shards = vec![shard("b", 0, 1), shard("a", 0, 1), shard("c", 0, 2)];
        let names = |order: &str| {
            let order = Order::read(order).unwrap();
            let (page, next) = page(shards.clone(), order, None, 5);
            assert_eq!(next, None, "the last page");
            page.iter()
                .map(|shard| shard.shard.clone())
                .collect::<String>()
        };
        for key in ["connections", "lastActivity", "queuedBytes", "rejected"] {
            assert_eq!(names(key), "abc");
            assert_eq!(names(&format!("-{key}")), "cab");
        }
        assert_eq!(names("name"), "abc");
        assert_eq!(names("-name"), "cba");
        assert_eq!(Order::read("-connections").unwrap(), Order::default());
    }

    #[test]
    fn unknown_orders_are_refused() {
        for text in ["", "-", "--name", "Name", "user", "name-", "+name"] {
            let err = Order::read(text).unwrap_err().to_string();
            assert!(err.contains("sort must be"), "{text}: {err}");
        }
    }

    #[test]
    fn other_texts_are_no_cursors() {
        let order = Order::default();
        let cursor = Cursor {
            order,
            value: 3,
            shard: "alice".to_owned(),
            user: "alice".to_owned(),
        };
        assert_eq!(Cursor::read(&cursor.to_text(), order).unwrap(), cursor);
        let other = Order::read("name").unwrap();
        let err = Cursor::read(&cursor.to_text(), other)
            .unwrap_err()
            .to_string();
        assert!(err.contains("another order"), "{err}");
        for text in ["x", "e30", "!!!", &"A".repeat(5000)] {
            let err = Cursor::read(text, order).unwrap_err().to_string();
            assert!(err.contains("no cursor"), "{text}: {err}");
        }
    }

    proptest! {
        #[test]
        fn pages_show_every_shard_once_and_in_order(
            values in prop::collection::btree_map(("[a-c]{1,2}(-1)?", 0_u16..3), 0_u64..4, 0..40),
            limit in 1_usize..8,
            order in prop::sample::select(&ORDERS[..]),
        ) {
            let order = Order::read(order).unwrap();
            let shards: Vec<ShardStats> = values
                .into_iter()
                .map(|((user, number), value)| shard(&user, number, value))
                .collect();
            let (whole, _) = page(shards.clone(), order, None, shards.len().max(1));
            let mut seen = Vec::new();
            let mut cursor: Option<Cursor> = None;
            loop {
                let (some, next) = page(shards.clone(), order, cursor.as_ref(), limit);
                prop_assert!(some.len() == limit || next.is_none());
                seen.extend(some);
                let Some(next) = next else { break };
                cursor = Some(Cursor::read(&next.to_text(), order).unwrap());
            }
            prop_assert_eq!(seen, whole);
        }

        #[test]
        fn arbitrary_cursors_never_panic(text in "\\PC*", bytes: Vec<u8>) {
            let _ = Cursor::read(&text, Order::default());
            let _ = Cursor::read(&BASE64_URL_SAFE_NO_PAD.encode(bytes), Order::default());
        }
    }
}
