//! Filters of broadcasts.
#![no_main]

use dormouse_protocol::Filter;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(value) = serde_json::from_slice::<serde_json::Value>(bytes) {
        let _ = Filter::from_json(&value);
    }
});
