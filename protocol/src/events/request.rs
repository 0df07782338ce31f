//! What a subscriber sends: one JSON object a frame.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::pattern::{Pattern, PatternError};
use crate::envelope::string;

/// Most entries of one connection's set, and of one request.
pub const MAX_PATTERNS: usize = 100;

/// Where a replay begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Since {
    /// With the event after this place of the log; 0 is the log's beginning.
    After(u64),
    /// With the next event, written `$`: nothing is replayed, but live frames carry cursors.
    Now,
}

/// A frame of a subscriber.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// Add these entries.
    Subscribe {
        /// The entries, as they came; some may be in the set already.
        channels: Vec<Pattern>,
        /// Whether events of the past are wanted first.
        since: Option<Since>,
    },
    /// Remove these; those that are no entries of the set are ignored, whatever they are.
    Unsubscribe {
        /// The entries that could be in a set.
        channels: Vec<Pattern>,
    },
    /// Answer `pong`.
    Ping,
}

/// A frame that cannot be used. The connection stays open.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    /// Not JSON, or no object.
    #[error("Invalid message format")]
    Format,
    /// No or an unknown `type`.
    #[error("unknown type; use subscribe, unsubscribe or ping")]
    UnknownType,
    /// `channels` is missing or no list of texts.
    #[error("channels must be a list of texts, such as [\"call.*\"]")]
    NoChannels,
    /// One of the channels is not usable; none is taken.
    #[error("channel {index}: {fault}")]
    Channel {
        /// Its place in the list, from 0.
        index: usize,
        /// What is wrong with it.
        fault: PatternError,
    },
    /// The set would become too large; nothing is added.
    #[error("a connection has at most {MAX_PATTERNS} channels; unsubscribe from some first")]
    TooMany,
    /// `since` is no cursor.
    #[error("since must be the cursor of a frame, \"0\" for the whole log, or \"$\" for now")]
    Since,
}

impl RequestError {
    /// The stable word of the `error` frame.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Format => "BAD_FRAME",
            Self::UnknownType => "UNKNOWN_TYPE",
            Self::NoChannels | Self::Channel { .. } | Self::TooMany => "BAD_CHANNELS",
            Self::Since => "BAD_SINCE",
        }
    }
}

impl Request {
    /// Reads a frame.
    ///
    /// # Errors
    /// [`RequestError`].
    pub fn parse(text: &str) -> Result<Self, RequestError> {
        #[derive(Deserialize)]
        struct Fields<'a> {
            #[serde(borrow, default, rename = "type")]
            kind: Option<&'a RawValue>,
            #[serde(borrow, default)]
            channels: Option<&'a RawValue>,
            #[serde(borrow, default)]
            since: Option<&'a RawValue>,
        }
        // Derived structs take arrays as well.
        if !text.trim_start().starts_with('{') {
            return Err(RequestError::Format);
        }
        let fields: Fields<'_> = match serde_json::from_str(text) {
            Ok(fields) => fields,
            // A field that is given twice is the one case where this is JSON.
            Err(_) => return Err(RequestError::Format),
        };
        let kind = fields.kind.and_then(string);
        match kind.as_deref() {
            Some("subscribe") => Ok(Self::Subscribe {
                channels: strict(fields.channels)?,
                since: fields.since.map(since).transpose()?.flatten(),
            }),
            Some("unsubscribe") => Ok(Self::Unsubscribe {
                channels: lenient(fields.channels)?,
            }),
            Some("ping") => Ok(Self::Ping),
            _ => Err(RequestError::UnknownType),
        }
    }
}

fn list(raw: Option<&RawValue>) -> Result<Vec<String>, RequestError> {
    let raw = raw.ok_or(RequestError::NoChannels)?;
    let all: Vec<String> = serde_json::from_str(raw.get()).map_err(|_| RequestError::NoChannels)?;
    Ok(all)
}

fn strict(raw: Option<&RawValue>) -> Result<Vec<Pattern>, RequestError> {
    let all = list(raw)?;
    let read = |(index, text): (usize, &String)| {
        Pattern::parse(text).map_err(|fault| RequestError::Channel { index, fault })
    };
    all.iter().enumerate().map(read).collect()
}

fn lenient(raw: Option<&RawValue>) -> Result<Vec<Pattern>, RequestError> {
    let all = list(raw)?;
    Ok(all
        .iter()
        .filter_map(|text| Pattern::parse(text).ok())
        .collect())
}

fn since(raw: &RawValue) -> Result<Option<Since>, RequestError> {
    if raw.get() == "null" {
        return Ok(None);
    }
    let text = string(raw).ok_or(RequestError::Since)?;
    if text == "$" {
        return Ok(Some(Since::Now));
    }
    parse_cursor(&text)
        .map(|after| Some(Since::After(after)))
        .ok_or(RequestError::Since)
}

/// Reads a cursor: a place in the log as a decimal number without sign.
pub fn parse_cursor(text: &str) -> Option<u64> {
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    // Places are kept as 63-bit numbers.
    let number = text
        .parse()
        .ok()
        .filter(|number| *number <= i64::MAX as u64);
    number.filter(|_| is_number)
}

/// Whether a text is JSON at all.
#[cfg(test)]
fn is_json(text: &str) -> bool {
    serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn patterns(texts: &[&str]) -> Vec<Pattern> {
        texts
            .iter()
            .map(|text| Pattern::parse(text).unwrap())
            .collect()
    }

    #[test]
    fn requests_are_read() {
        fn read(text: &str) -> Request {
            Request::parse(text).unwrap()
        }
        assert_eq!(
            read(r#"{"type":"subscribe","channels":["call.*","billing.paid"],"more":1}"#),
            Request::Subscribe {
                channels: patterns(&["call.*", "billing.paid"]),
                since: None
            }
        );
        for (since, expected) in [
            (r#""0""#, Some(Since::After(0))),
            (r#""17""#, Some(Since::After(17))),
            (r#""$""#, Some(Since::Now)),
            ("null", None),
        ] {
            let text = format!(r#"{{"type":"subscribe","channels":[],"since":{since}}}"#);
            let channels = Vec::new();
            assert_eq!(
                read(&text),
                Request::Subscribe {
                    channels,
                    since: expected
                }
            );
        }
        assert_eq!(
            read(r#"{"type":"unsubscribe","channels":["call.*","**",""]}"#),
            Request::Unsubscribe {
                channels: patterns(&["call.*"])
            }
        );
        assert_eq!(read(r#" {"type":"ping"} "#), Request::Ping);
    }

    #[test]
    fn every_fault_has_its_code() {
        let many = format!(
            r#"{{"type":"subscribe","channels":["{}"]}}"#,
            "x".repeat(129)
        );
        for (text, code) in [
            ("", "BAD_FRAME"),
            ("hello", "BAD_FRAME"),
            ("[]", "BAD_FRAME"),
            (r#"["ping"]"#, "BAD_FRAME"),
            ("{", "BAD_FRAME"),
            ("{}", "UNKNOWN_TYPE"),
            (r#"{"type":7}"#, "UNKNOWN_TYPE"),
            (r#"{"type":"publish"}"#, "UNKNOWN_TYPE"),
            (r#"{"type":"subscribe"}"#, "BAD_CHANNELS"),
            (
                r#"{"type":"subscribe","channels":"call.*"}"#,
                "BAD_CHANNELS",
            ),
            (r#"{"type":"subscribe","channels":[1]}"#, "BAD_CHANNELS"),
            (r#"{"type":"subscribe","channels":["*"]}"#, "BAD_CHANNELS"),
            (r#"{"type":"unsubscribe"}"#, "BAD_CHANNELS"),
            (
                r#"{"type":"unsubscribe","channels":[null]}"#,
                "BAD_CHANNELS",
            ),
            (
                r#"{"type":"subscribe","channels":[],"since":7}"#,
                "BAD_SINCE",
            ),
            (
                r#"{"type":"subscribe","channels":[],"since":"-1"}"#,
                "BAD_SINCE",
            ),
            (
                r#"{"type":"subscribe","channels":[],"since":"+1"}"#,
                "BAD_SINCE",
            ),
            (
                r#"{"type":"subscribe","channels":[],"since":"9223372036854775808"}"#,
                "BAD_SINCE",
            ),
            (&many, "BAD_CHANNELS"),
        ] {
            assert_eq!(Request::parse(text).unwrap_err().code(), code, "{text}");
        }
    }

    proptest::proptest! {
        #[test]
        fn arbitrary_texts_never_panic(text in "\\PC*", json in "\\{\"type\":\"\\PC*\"\\}") {
            let _ = Request::parse(&json);
            if !is_json(&text) {
                proptest::prop_assert_eq!(Request::parse(&text), Err(RequestError::Format));
            }
        }
    }
}
