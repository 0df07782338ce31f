//! Texts with placeholders: `{unique}`, `{user}`, `{iso}`, `{iso-24h}`, and whatever an earlier
//! answer of the same turn was captured as.
//!
//! Braces that hold no placeholder stay: bodies are JSON. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, SystemTime};

/// A text that has been read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Template(Vec<Part>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(String),
    Unique,
    User,
    /// Now, less this.
    Iso(Duration),
    Captured(String),
}

/// What fills the placeholders.
#[derive(Clone, Debug)]
pub(super) struct Values {
    pub(super) unique: String,
    pub(super) user: usize,
    pub(super) captured: BTreeMap<String, String>,
}

impl Template {
    /// Reads a text.
    ///
    /// # Errors
    /// A placeholder that is neither known nor captured by an earlier request: its name.
    pub(super) fn parse(text: &str, captured: &BTreeSet<String>) -> Result<Self, String> {
        let mut parts = Vec::new();
        let mut rest = text;
        let mut plain = String::new();
        while let Some((before, after)) = rest.split_once('{') {
            plain.push_str(before);
            match placeholder(after) {
                Some((name, remainder)) => {
                    let part = match name {
                        "unique" => Part::Unique,
                        "user" => Part::User,
                        "iso" => Part::Iso(Duration::ZERO),
                        name if captured.contains(name) => Part::Captured(name.to_owned()),
                        name => {
                            let ago = name.strip_prefix("iso-").map(humantime::parse_duration);
                            match ago {
                                Some(Ok(ago)) => Part::Iso(ago),
                                _ => return Err(name.to_owned()),
                            }
                        }
                    };
                    if !plain.is_empty() {
                        parts.push(Part::Text(std::mem::take(&mut plain)));
                    }
                    parts.push(part);
                    rest = remainder;
                }
                None => {
                    plain.push('{');
                    rest = after;
                }
            }
        }
        plain.push_str(rest);
        if !plain.is_empty() {
            parts.push(Part::Text(plain));
        }
        Ok(Self(parts))
    }

    /// The text with its placeholders filled.
    pub(super) fn fill(&self, values: &Values, now: SystemTime) -> String {
        let mut text = String::new();
        for part in &self.0 {
            match part {
                Part::Text(plain) => text.push_str(plain),
                Part::Unique => text.push_str(&values.unique),
                Part::User => text.push_str(&values.user.to_string()),
                Part::Iso(ago) => {
                    let time = now.checked_sub(*ago).unwrap_or(SystemTime::UNIX_EPOCH);
                    text.push_str(&humantime::format_rfc3339_millis(time).to_string());
                }
                Part::Captured(name) => {
                    text.push_str(values.captured.get(name).map_or("", String::as_str));
                }
            }
        }
        text
    }
}

/// A name and the text behind its brace.
fn placeholder(text: &str) -> Option<(&str, &str)> {
    let (name, rest) = text.split_once('}')?;
    let letters = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    let begins = name.as_bytes().first().is_some_and(u8::is_ascii_lowercase);
    (begins && name.bytes().all(letters)).then_some((name, rest))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn values() -> Values {
        Values {
            unique: "u1".to_owned(),
            user: 7,
            captured: [("session".to_owned(), "s9".to_owned())].into(),
        }
    }

    #[test]
    fn placeholders_are_filled_and_json_stays() {
        let known = BTreeSet::from(["session".to_owned()]);
        let fill = |text: &str| {
            let now = SystemTime::UNIX_EPOCH + Duration::from_secs(2 * 86_400);
            Template::parse(text, &known).unwrap().fill(&values(), now)
        };
        assert_eq!(fill("/v1/sessions/{session}"), "/v1/sessions/s9");
        assert_eq!(
            fill(r#"{"a":{"b":"{unique}-{user}"},"c":{}}"#),
            r#"{"a":{"b":"u1-7"},"c":{}}"#
        );
        assert_eq!(fill("{iso-24h}"), "1970-01-02T00:00:00.000Z");
        assert_eq!(fill("{iso}"), "1970-01-03T00:00:00.000Z");
        assert_eq!(fill(""), "");
        for unknown in ["nobody", "iso-soon"] {
            let err = Template::parse(&format!("a{{{unknown}}}"), &known).unwrap_err();
            assert_eq!(err, unknown);
        }
    }

    proptest! {
        #[test]
        fn any_text_without_placeholders_comes_back(text in "[^{]*") {
            let template = Template::parse(&text, &BTreeSet::new()).unwrap();
            prop_assert_eq!(template.fill(&values(), SystemTime::now()), text);
        }

        #[test]
        fn no_text_panics(text in ".*") {
            let _ = Template::parse(&text, &BTreeSet::new());
        }
    }
}
