//! The two envelope forms that clients send, read into one (realtime contract, 4.1).
//!
//! Values stay raw JSON: the server forwards what it does not need to understand, byte for byte.

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde::de::{IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

/// The exact text that is answered without waking a shard (realtime contract, section 14).
pub const EXACT_PING: &[u8] = br#"{"event":"ping"}"#;

/// One inbound message, borrowed from its text.
#[derive(Debug)]
pub struct Envelope<'a> {
    /// The event's name (`event` of the client form, `type` of the server form).
    pub event: Cow<'a, str>,
    /// `data` or `payload`, unread.
    pub payload: Option<&'a RawValue>,
    /// `ackId` or `messageId`: a non-empty string or a number, echoed as it came.
    pub correlation: Option<&'a RawValue>,
    /// The `ack` value of the client form; `null` counts as present.
    pub ack: Option<&'a RawValue>,
}

/// Why a text is not an envelope; answered with an `error` frame of code 1002.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EnvelopeError {
    /// Not a JSON object.
    #[error("a message is one JSON object, such as {{\"event\":\"ping\"}}")]
    NotJson,
    /// Neither a string `event` nor a string `type`.
    #[error("a message needs a string \"event\" (or \"type\")")]
    NoEvent,
}

impl<'a> Envelope<'a> {
    /// Reads one message. Where a key is repeated its last value counts, as in JavaScript.
    ///
    /// # Errors
    /// [`EnvelopeError`] when the text is not an object of one of the two forms.
    pub fn parse(text: &'a str) -> Result<Self, EnvelopeError> {
        let fields: Fields<'a> = serde_json::from_str(text).map_err(|_| EnvelopeError::NotJson)?;
        if let Some(event) = fields.event.and_then(string) {
            return Ok(Self {
                event,
                payload: fields.data,
                correlation: fields.ack_id.filter(|raw| is_correlation(raw)),
                ack: fields.ack,
            });
        }
        let event = fields.kind.and_then(string).ok_or(EnvelopeError::NoEvent)?;
        Ok(Self {
            event,
            payload: fields.payload,
            correlation: fields.message_id.filter(|raw| is_correlation(raw)),
            ack: None,
        })
    }

    /// Whether this is a client's acknowledgement of an earlier frame, to be dropped silently
    /// (rule 4 of 4.1).
    pub fn is_acknowledgement(&self) -> bool {
        self.ack.is_some() && self.correlation.is_some() && self.event != crate::event::RPC_RESPONSE
    }
}

/// Reads a raw JSON value as a string, borrowing where nothing is escaped.
pub fn string(raw: &RawValue) -> Option<Cow<'_, str>> {
    #[derive(Deserialize)]
    #[serde(transparent)]
    struct Text<'b>(#[serde(borrow)] Cow<'b, str>);
    if !raw.get().starts_with('"') {
        return None;
    }
    serde_json::from_str::<Text<'_>>(raw.get())
        .ok()
        .map(|text| text.0)
}

fn is_correlation(raw: &RawValue) -> bool {
    match raw.get().as_bytes() {
        [b'"', b'"'] => false,
        [first, ..] => *first == b'"' || *first == b'-' || first.is_ascii_digit(),
        [] => false,
    }
}

#[derive(Default)]
struct Fields<'a> {
    event: Option<&'a RawValue>,
    kind: Option<&'a RawValue>,
    data: Option<&'a RawValue>,
    payload: Option<&'a RawValue>,
    ack_id: Option<&'a RawValue>,
    message_id: Option<&'a RawValue>,
    ack: Option<&'a RawValue>,
}

#[derive(Deserialize)]
#[serde(field_identifier)]
enum Key {
    #[serde(rename = "event")]
    Event,
    #[serde(rename = "type")]
    Kind,
    #[serde(rename = "data")]
    Data,
    #[serde(rename = "payload")]
    Payload,
    #[serde(rename = "ackId")]
    AckId,
    #[serde(rename = "messageId")]
    MessageId,
    #[serde(rename = "ack")]
    Ack,
    #[serde(other)]
    Other,
}

impl<'de: 'a, 'a> Deserialize<'de> for Fields<'a> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct FieldsVisitor;
        impl<'de> Visitor<'de> for FieldsVisitor {
            type Value = Fields<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Fields<'de>, A::Error> {
                let mut fields = Fields::default();
                while let Some(key) = map.next_key::<Key>()? {
                    let slot = match key {
                        Key::Event => &mut fields.event,
                        Key::Kind => &mut fields.kind,
                        Key::Data => &mut fields.data,
                        Key::Payload => &mut fields.payload,
                        Key::AckId => &mut fields.ack_id,
                        Key::MessageId => &mut fields.message_id,
                        Key::Ack => &mut fields.ack,
                        Key::Other => {
                            map.next_value::<IgnoredAny>()?;
                            continue;
                        }
                    };
                    *slot = Some(map.next_value()?);
                }
                Ok(fields)
            }
        }
        deserializer.deserialize_map(FieldsVisitor)
    }
}

#[cfg(test)]
mod tests;
