//! Query parameters, read by hand so that every fault has a text that names it.
//!
//! Unknown parameters are ignored, text that is empty counts as absent, and numbers are strict
//! decimal integers (REST contract, section 1.1).

use std::borrow::Cow;
use std::ops::RangeInclusive;

use super::errors::ApiError;

/// The parameters of one request.
#[derive(Clone, Debug)]
pub struct Query<'a> {
    pairs: Vec<(Cow<'a, str>, Cow<'a, str>)>,
}

impl<'a> Query<'a> {
    /// Splits a query string; any text can be split.
    #[must_use]
    pub fn new(query: &'a str) -> Self {
        Self {
            pairs: form_urlencoded::parse(query.as_bytes()).collect(),
        }
    }

    fn value(&self, name: &str) -> Result<Option<&str>, ApiError> {
        let mut values = self.pairs.iter().filter(|(key, _)| key == name);
        match (values.next(), values.next()) {
            (value, None) => Ok(value.map(|(_, value)| &**value)),
            (_, Some(_)) => Err(ApiError::validation(format!(
                "the query names {name} more than once; give it once"
            ))),
        }
    }

    /// A text; `None` when it is absent or empty.
    ///
    /// # Errors
    /// 400 when it is given twice.
    pub fn text(&self, name: &str) -> Result<Option<&str>, ApiError> {
        Ok(self.value(name)?.filter(|value| !value.is_empty()))
    }

    /// A whole number within a range; `None` when it is absent.
    ///
    /// # Errors
    /// 400 when it is given twice, is no decimal integer, or is out of range.
    pub fn number(&self, name: &str, range: RangeInclusive<u64>) -> Result<Option<u64>, ApiError> {
        let Some(value) = self.value(name)? else {
            return Ok(None);
        };
        let number = if value.bytes().all(|byte| byte.is_ascii_digit()) {
            value.parse().ok().filter(|number| range.contains(number))
        } else {
            None
        };
        number.map(Some).ok_or_else(|| {
            let (least, most) = (range.start(), range.end());
            ApiError::validation(format!(
                "{name} must be a whole number from {least} to {most}"
            ))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_decoded_and_empty_is_absent() {
        let query = Query::new("user=a%2Fb+c&tier=&other=1");
        assert_eq!(query.text("user").unwrap(), Some("a/b c"));
        assert_eq!(query.text("tier").unwrap(), None);
        assert_eq!(query.text("state").unwrap(), None);
    }

    #[test]
    fn numbers_are_strict_and_bounded() {
        let number = |query: &str| {
            Query::new(query)
                .number("limit", 1..=500)
                .map_err(|err| err.to_string())
        };
        assert_eq!(number(""), Ok(None));
        assert_eq!(number("limit=1"), Ok(Some(1)));
        assert_eq!(number("limit=0500"), Ok(Some(500)));
        for bad in [
            "0",
            "501",
            "",
            "%2B5",
            "-1",
            "1.0",
            "1e2",
            "0x10",
            " 5",
            "٣",
            "99999999999999999999",
        ] {
            let err = number(&format!("limit={bad}")).unwrap_err();
            assert!(err.contains("from 1 to 500"), "{bad}: {err}");
        }
    }

    #[test]
    fn a_parameter_given_twice_is_refused() {
        let query = Query::new("user=a&user=b&limit=1&limit=1");
        assert!(query.text("user").is_err());
        assert!(query.number("limit", 1..=5).is_err());
    }

    proptest::proptest! {
        #[test]
        fn arbitrary_queries_never_panic(text in "\\PC*") {
            let query = Query::new(&text);
            let _ = (query.text("a"), query.number("a", 0..=5));
        }
    }
}
