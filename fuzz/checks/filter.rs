//! Filters of broadcasts.
//!
//! Input: JSON.

use dormouse_protocol::Filter;

/// Checks one input.
pub fn check(input: &[u8]) {
    if let Ok(value) = serde_json::from_slice::<serde_json::Value>(input) {
        let _ = Filter::from_json(&value);
    }
}
