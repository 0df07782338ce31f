//! Ids that the server makes.

use uuid::Uuid;

/// A new id: 32 lowercase hex digits, in the order of their making as long as one process makes
/// them (UUID version 7, RFC 9562 section 5.7: 48 bits of Unix milliseconds, then a counter, then
/// random bits). Cursors sort by id and mean creation order (contract data-model.md section 1).
#[must_use]
pub fn new_id() -> String {
    Uuid::now_v7().simple().to_string()
}

#[cfg(test)]
mod tests {
    use super::new_id;

    #[test]
    fn ids_are_hex_and_ascend() {
        let ids: Vec<String> = (0..10_000).map(|_| new_id()).collect();
        for pair in ids.windows(2) {
            assert!(pair[0] < pair[1], "{pair:?}");
        }
        let is_hex = |id: &String| {
            id.len() == 32
                && id
                    .bytes()
                    .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
        };
        assert!(ids.iter().all(is_hex));
    }
}
