//! Cursors of pages and logs. What is read is what was given, or refused.
//!
//! Input: the text of a query.

use dormouse_protocol::events::request::parse_cursor;
use dormouse_server::http::admin::shard_page::{Cursor, Order};
use dormouse_server::http::query::Query;
use dormouse_server::http::sync::cursor;
use dormouse_server::sync::feed;

/// Checks one input.
pub fn check(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else {
        return;
    };
    let query = Query::new(text);
    if let Ok(Some(id)) = cursor::read(&query) {
        assert_eq!(id.len(), 32);
    }
    if let Some(place) = parse_cursor(text) {
        assert!(place <= i64::MAX as u64);
    }
    if let Some(counter) = feed::read_cursor(text) {
        assert!(counter >= 0);
        assert_eq!(feed::read_cursor(&feed::cursor(counter)), Some(counter));
    }
    let sort = query.text("sort").ok().flatten();
    let order = sort
        .and_then(|sort| Order::read(sort).ok())
        .unwrap_or_default();
    let given = query.text("cursor").ok().flatten().unwrap_or(text);
    if let Ok(cursor) = Cursor::read(given, order) {
        assert_eq!(Cursor::read(&cursor.to_text(), order).ok(), Some(cursor));
    }
}
