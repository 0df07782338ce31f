//! The wall clock, for what appears on the wire.

use std::time::{SystemTime, UNIX_EPOCH};

/// Unix time, ms.
pub fn unix_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| {
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    })
}

/// Unix milliseconds as ISO 8601 UTC with milliseconds, as in `2026-01-31T09:15:00.123Z`. Times
/// after the year 9999 have no such form and are shown as its end.
pub fn iso(unix_ms: u64) -> String {
    const FORM: &[time::format_description::BorrowedFormatItem<'_>] = time::macros::format_description!(
        "[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:3]Z"
    );
    time::OffsetDateTime::from_unix_timestamp_nanos(i128::from(unix_ms) * 1_000_000)
        .ok()
        .and_then(|at| at.format(FORM).ok())
        .unwrap_or_else(|| "9999-12-31T23:59:59.999Z".to_owned())
}

/// Now, as [`iso`] writes it.
pub fn iso_now() -> String {
    iso(unix_ms())
}

#[cfg(test)]
mod tests {
    use super::iso;

    #[test]
    fn times_have_the_form_of_the_contract() {
        assert_eq!(iso(0), "1970-01-01T00:00:00.000Z");
        assert_eq!(iso(1_738_314_900_123), "2025-01-31T09:15:00.123Z");
        assert_eq!(iso(u64::MAX), "9999-12-31T23:59:59.999Z");
    }
}
