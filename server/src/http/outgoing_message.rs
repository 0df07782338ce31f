//! A message that a request asks to have broadcast, and for which of a user's connections
//! (realtime contract, sections 10 and 11).
//!
//! The payload is copied as the text it came as: the server does not read it.

use std::borrow::Cow;
use std::fmt;

use dormouse_config::ByteSize;
use dormouse_protocol::{Filter, frames};
use dormouse_shard::frame::Frame;
use serde::de::{self, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::Value;
use serde_json::value::RawValue;
use utoipa::ToSchema;

use super::errors::ApiError;
use crate::clock::unix_ms;

/// What to send.
#[derive(Clone, Debug, Deserialize, ToSchema)]
pub struct OutgoingMessage<'a> {
    /// Name of the event that clients get; not empty.
    #[serde(borrow, rename = "type")]
    #[schema(value_type = String, min_length = 1, example = "notice")]
    kind: Cow<'a, str>,
    /// Any JSON, delivered byte for byte as `data`; without it there is no `data`.
    #[serde(borrow, default, deserialize_with = "present")]
    #[schema(value_type = Option<Value>, nullable = true)]
    payload: Option<&'a RawValue>,
    /// When the message was sent, Unix milliseconds; now, if absent.
    #[schema(value_type = Option<u64>, example = 1_735_689_600_000_u64)]
    timestamp: Option<UnixMs>,
}

impl OutgoingMessage<'_> {
    /// Name of the event.
    pub fn event(&self) -> &str {
        &self.kind
    }

    /// The frame for every recipient.
    ///
    /// # Errors
    /// 400 without an event name, 413 when the message is larger than `most`.
    pub fn frame(&self, most: ByteSize) -> Result<Frame, ApiError> {
        if self.kind.is_empty() {
            let text = "message.type is empty; name the event that clients are to get";
            return Err(ApiError::validation(text));
        }
        let timestamp = self.timestamp.map_or_else(unix_ms, |UnixMs(ms)| ms);
        let json = frames::broadcast(&self.kind, self.payload, timestamp);
        if json.len() as u64 > most.as_u64() {
            return Err(ApiError::message_too_large(most.as_u64()));
        }
        Ok(Frame::text(&json))
    }
}

/// Which connections a message is for. Absent or null: all of them.
///
/// This is the description of what [`Filter::from_json`] reads.
#[derive(Clone, Debug, ToSchema)]
#[schema(rename_all = "camelCase")]
pub struct FilterFields {
    /// The kind of filter; each but the first two needs its id.
    #[schema(rename = "type")]
    pub kind: FilterKind,
    /// For `session` and `all-interested-in-session`.
    #[schema(nullable = false)]
    pub session_id: Option<String>,
    /// For `machine` and `machine-scoped-only`.
    #[schema(nullable = false)]
    pub machine_id: Option<String>,
    /// For `exclude` and `connection`.
    #[schema(nullable = false)]
    pub connection_id: Option<String>,
    /// For `room`.
    #[schema(nullable = false)]
    pub room: Option<String>,
}

/// The filters.
#[derive(Clone, Copy, Debug, ToSchema)]
#[schema(rename_all = "kebab-case")]
pub enum FilterKind {
    /// Every connection.
    All,
    /// Every `user-scoped` connection.
    UserScopedOnly,
    /// Every connection with this `sessionId`.
    Session,
    /// Every connection with this `machineId`.
    Machine,
    /// Every `user-scoped` one, and `machine-scoped` ones with this `machineId`.
    MachineScopedOnly,
    /// Every `user-scoped` one, and `session-scoped` ones with this `sessionId`.
    AllInterestedInSession,
    /// Every connection but this one.
    Exclude,
    /// This connection.
    Connection,
    /// Every connection that an application has put into this room.
    Room,
}

/// Reads a filter; none is all.
///
/// # Errors
/// 400 for an unknown filter, or one without its id.
pub fn filter(value: Option<&Value>) -> Result<Filter, ApiError> {
    // The texts are the same for every input, so production may say them.
    Filter::from_json(value.unwrap_or(&Value::Null))
        .map_err(|err| ApiError::validation(err.to_string()))
}

/// `null` is a payload like any other.
fn present<'de: 'a, 'a, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<&'a RawValue>, D::Error> {
    <&RawValue>::deserialize(deserializer).map(Some)
}

/// A time in Unix milliseconds. Numbers such as `1.7e12` are taken, as JSON knows one kind of
/// number only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct UnixMs(u64);

/// Up to here floating point knows every whole number.
const MOST_EXACT: f64 = 9_007_199_254_740_992.0;

impl<'de> Deserialize<'de> for UnixMs {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Number;

        impl Visitor<'_> for Number {
            type Value = UnixMs;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("Unix milliseconds, a whole number")
            }

            fn visit_u64<E: de::Error>(self, number: u64) -> Result<UnixMs, E> {
                Ok(UnixMs(number))
            }

            fn visit_f64<E: de::Error>(self, number: f64) -> Result<UnixMs, E> {
                if number.fract() == 0.0 && (0.0..=MOST_EXACT).contains(&number) {
                    Ok(UnixMs(number as u64))
                } else {
                    Err(E::invalid_value(de::Unexpected::Float(number), &self))
                }
            }
        }

        deserializer.deserialize_u64(Number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(json: &str, most: u64) -> Result<Vec<u8>, String> {
        let message: OutgoingMessage<'_> =
            serde_json::from_str(json).map_err(|err| err.to_string())?;
        let frame = message
            .frame(ByteSize(most))
            .map_err(|err| err.to_string())?;
        Ok(frame.bytes().to_vec())
    }

    fn text(json: &str) -> Result<String, String> {
        // Two bytes of frame header: the messages here are shorter than 126 bytes.
        frame(json, 125).map(|bytes| String::from_utf8(bytes[2..].to_vec()).unwrap())
    }

    #[test]
    fn payloads_are_copied_byte_for_byte() {
        let json = r#"{"type":"a\"b","payload":{ "n":1.50, "s":"\u00e9" },"timestamp":7}"#;
        let expected = r#"{"event":"a\"b","data":{ "n":1.50, "s":"\u00e9" },"timestamp":7}"#;
        assert_eq!(text(json).unwrap(), expected);
        assert_eq!(
            text(r#"{"type":"e","payload":null,"timestamp":1}"#).unwrap(),
            r#"{"event":"e","data":null,"timestamp":1}"#
        );
        assert_eq!(
            text(r#"{"type":"e","timestamp":1,"more":true}"#).unwrap(),
            r#"{"event":"e","timestamp":1}"#
        );
    }

    #[test]
    fn timestamps_are_whole_numbers_or_now() {
        let sent = |timestamp: &str| text(&format!(r#"{{"type":"e","timestamp":{timestamp}}}"#));
        assert!(
            sent("1735689600000.0")
                .unwrap()
                .ends_with(r#":1735689600000}"#)
        );
        assert!(sent("1.5e12").unwrap().ends_with(r#":1500000000000}"#));
        for bad in ["-1", "1.5", "1e300", "\"5\"", "true", "{}"] {
            let err = sent(bad).unwrap_err();
            assert!(err.contains("Unix milliseconds"), "{bad}: {err}");
        }
        let before = unix_ms();
        for absent in [r#"{"type":"e"}"#, r#"{"type":"e","timestamp":null}"#] {
            let sent: Value = serde_json::from_str(&text(absent).unwrap()).unwrap();
            assert!((before..=unix_ms()).contains(&sent["timestamp"].as_u64().unwrap()));
        }
    }

    #[test]
    fn messages_have_a_name_and_a_bound() {
        assert!(text(r#"{"type":""}"#).unwrap_err().contains("message.type"));
        let message = r#"{"type":"e","payload":"xxxx","timestamp":1}"#;
        let exact = r#"{"event":"e","data":"xxxx","timestamp":1}"#.len() as u64;
        assert!(frame(message, exact).is_ok());
        let err = frame(message, exact - 1).unwrap_err();
        assert!(err.contains("larger than 40 bytes"), "{err}");
    }

    proptest::proptest! {
        #[test]
        fn arbitrary_messages_never_panic(json in "\\PC*", number: f64) {
            let _ = frame(&json, 100);
            let _ = frame(&format!(r#"{{"type":"e","timestamp":{number}}}"#), 100);
        }
    }
}
