//! The wall clock, for what appears on the wire.

use std::time::{SystemTime, UNIX_EPOCH};

pub use dormouse_protocol::timestamp::iso;

/// Unix time, ms.
pub fn unix_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| {
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    })
}

/// Now, as [`iso`] writes it.
pub fn iso_now() -> String {
    iso(unix_ms())
}
