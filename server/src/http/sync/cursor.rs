//! Cursors of pages: `cursor_v1_<id>`, exclusive (REST contract, section 1.7).

use crate::http::errors::ApiError;
use crate::http::query::Query;

const PREFIX: &str = "cursor_v1_";

/// The id that a page begins after, from the query's `cursor`; `None` for the first page.
///
/// # Errors
/// 400 for a text that no page has given.
pub fn read(query: &Query<'_>) -> Result<Option<String>, ApiError> {
    let Some(text) = query.text("cursor")? else {
        return Ok(None);
    };
    let id = text.strip_prefix(PREFIX).filter(|id| {
        let is_hex = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        id.len() == 32 && id.bytes().all(is_hex)
    });
    id.map(|id| Some(id.to_owned())).ok_or_else(|| {
        let text = "this cursor was not given by a page; leave it out to begin anew";
        ApiError::validation(text)
    })
}

/// Cuts what was read with one too many to a page, and names the next one.
pub fn page<T>(mut items: Vec<T>, most: i64, id: impl Fn(&T) -> &str) -> (Vec<T>, Option<String>) {
    let most = usize::try_from(most).unwrap_or(usize::MAX);
    let has_more = items.len() > most;
    items.truncate(most);
    let last = items.last().filter(|_| has_more);
    let next = last.map(|last| format!("{PREFIX}{}", id(last)));
    (items, next)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cursors_are_read_or_refused() {
        let id = "0123456789abcdef0123456789abcdef";
        let query = format!("cursor=cursor_v1_{id}");
        assert_eq!(read(&Query::new(&query)).unwrap().as_deref(), Some(id));
        for absent in ["", "cursor="] {
            assert_eq!(read(&Query::new(absent)).unwrap(), None);
        }
        for bad in ["x", "cursor_v1_", "cursor_v2_0123", "cursor_v1_ABC", id] {
            let query = format!("cursor={bad}");
            assert!(read(&Query::new(&query)).is_err(), "{bad}");
        }
    }

    #[test]
    fn the_last_page_names_no_next_one() {
        let page = |count: usize| page(vec!["a"; count], 2, |id| id);
        assert_eq!(page(1), (vec!["a"], None));
        assert_eq!(page(2), (vec!["a", "a"], None));
        assert_eq!(page(3), (vec!["a", "a"], Some("cursor_v1_a".to_owned())));
    }
}
