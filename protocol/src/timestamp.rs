//! Times as text: ISO 8601 UTC with milliseconds, `2026-01-31T09:15:00.123Z`.

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// Writes Unix milliseconds. Times after the year 9999 have no such form and are shown as its end.
pub fn iso(unix_ms: u64) -> String {
    const FORM: &[time::format_description::BorrowedFormatItem<'_>] = time::macros::format_description!(
        "[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:3]Z"
    );
    OffsetDateTime::from_unix_timestamp_nanos(i128::from(unix_ms) * 1_000_000)
        .ok()
        .and_then(|at| at.format(FORM).ok())
        .unwrap_or_else(|| "9999-12-31T23:59:59.999Z".to_owned())
}

/// Reads a time as Unix milliseconds: RFC 3339 with any offset, or a date alone, which is its
/// midnight in UTC. `None` for other text and for times before 1970.
pub fn parse_iso(text: &str) -> Option<u64> {
    const DATE: &[time::format_description::BorrowedFormatItem<'_>] =
        time::macros::format_description!("[year]-[month]-[day]");
    let at = match OffsetDateTime::parse(text, &Rfc3339) {
        Ok(at) => at,
        Err(_) => time::Date::parse(text, DATE).ok()?.midnight().assume_utc(),
    };
    u64::try_from(at.unix_timestamp_nanos() / 1_000_000).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_the_form_of_the_contract() {
        assert_eq!(iso(0), "1970-01-01T00:00:00.000Z");
        assert_eq!(iso(1_738_314_900_123), "2025-01-31T09:15:00.123Z");
        assert_eq!(iso(u64::MAX), "9999-12-31T23:59:59.999Z");
    }

    #[test]
    fn times_are_read_in_every_usual_form() {
        let at = Some(1_738_314_900_123);
        assert_eq!(parse_iso("2025-01-31T09:15:00.123Z"), at);
        assert_eq!(parse_iso("2025-01-31T10:15:00.123+01:00"), at);
        assert_eq!(parse_iso("2025-01-31T09:15:00Z"), Some(1_738_314_900_000));
        assert_eq!(parse_iso("2025-01-31"), Some(1_738_281_600_000));
        for bad in [
            "",
            "now",
            "2025-02-30",
            "2025-01-31T09:15",
            "1738314900123",
            "1960-01-01",
        ] {
            assert_eq!(parse_iso(bad), None, "{bad}");
        }
    }

    proptest::proptest! {
        #[test]
        fn what_is_written_is_read_again(ms in 0_u64..253_402_300_800_000, text in "\\PC*") {
            proptest::prop_assert_eq!(parse_iso(&iso(ms)), Some(ms));
            let _ = parse_iso(&text);
        }
    }
}
