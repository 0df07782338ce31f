//! Names of events, such as `call.queue.join`.

use std::fmt;
use std::sync::Arc;

/// Longest name, bytes (contract events.md section 6).
pub const MAX_NAME_BYTES: usize = 128;

/// The families of events, by the first part of their names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Family {
    /// Calls; their events may change the state of one.
    Call,
    /// Money.
    Billing,
    /// Recordings of calls.
    Recording,
}

impl Family {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Call, Self::Billing, Self::Recording];

    /// The first part of the family's names.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Call => "call",
            Self::Billing => "billing",
            Self::Recording => "recording",
        }
    }

    /// The pattern of all its names, as the log has it.
    pub const fn channel(self) -> &'static str {
        match self {
            Self::Call => "call.*",
            Self::Billing => "billing.*",
            Self::Recording => "recording.*",
        }
    }
}

/// The name of an event, which is also its channel: `^(call|billing|recording)(\.[a-z0-9_]+)+$`,
/// at most [`MAX_NAME_BYTES`].
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct EventName {
    text: Arc<str>,
    family: Family,
}

/// A text that names no event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "an event's name is call, billing or recording and at least one more part of a-z, 0-9 and _, \
     joined by dots, such as call.answered; at most {MAX_NAME_BYTES} bytes"
)]
pub struct EventNameError;

impl EventName {
    /// Reads a name.
    ///
    /// # Errors
    /// [`EventNameError`].
    pub fn parse(text: &str) -> Result<Self, EventNameError> {
        let (first, rest) = text.split_once('.').ok_or(EventNameError)?;
        let family = Family::ALL
            .into_iter()
            .find(|family| family.as_str() == first);
        match family {
            Some(family) if text.len() <= MAX_NAME_BYTES && rest.split('.').all(is_part) => {
                Ok(Self {
                    text: text.into(),
                    family,
                })
            }
            _ => Err(EventNameError),
        }
    }

    /// The whole name.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Its family.
    pub fn family(&self) -> Family {
        self.family
    }
}

impl fmt::Display for EventName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// Whether a text may stand between two dots.
pub(super) fn is_part(part: &str) -> bool {
    let is_allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
    !part.is_empty() && part.bytes().all(is_allowed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_the_families_are_read() {
        for (text, family) in [
            ("call.started", Family::Call),
            ("call.queue.join", Family::Call),
            ("billing.invoice_7.paid", Family::Billing),
            ("recording.ready", Family::Recording),
        ] {
            let name = EventName::parse(text).unwrap();
            assert_eq!((name.as_str(), name.family()), (text, family));
        }
        let longest = format!("call.{}", "x".repeat(MAX_NAME_BYTES - 5));
        assert!(EventName::parse(&longest).is_ok());
    }

    #[test]
    fn other_texts_are_no_names() {
        let too_long = format!("call.{}", "x".repeat(MAX_NAME_BYTES - 4));
        for text in [
            "",
            "call",
            "call.",
            ".call",
            "call..x",
            "call.x.",
            "call.Started",
            "calls.started",
            "call.*",
            "call.a b",
            "call.ä",
            "Call.started",
            "call.a\n",
            &too_long,
        ] {
            assert_eq!(EventName::parse(text), Err(EventNameError), "{text:?}");
        }
    }
}
