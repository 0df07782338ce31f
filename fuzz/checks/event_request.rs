//! What subscribers of events send, and the patterns in it.
//!
//! Input: the name of an event in the first line, the frame behind it.

use dormouse_protocol::events::frames;
use dormouse_protocol::events::pattern::prefixes;
use dormouse_protocol::events::{EventName, Pattern, Request, Since};

/// Checks one input.
pub fn check(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else {
        return;
    };
    let (name, frame) = text.split_once('\n').unwrap_or(("", text));
    if let Ok(name) = EventName::parse(name) {
        assert!(prefixes(name.as_str()).all(|prefix| name.as_str().starts_with(prefix)));
    }
    if let Ok(pattern) = Pattern::parse(name) {
        let _ = pattern.matches(name);
    }
    match Request::parse(frame) {
        Ok(Request::Subscribe { channels, since }) => {
            let after = match since {
                Some(Since::After(after)) => Some(after),
                _ => None,
            };
            assert!(after.is_none_or(|after| after <= i64::MAX as u64));
            let told = frames::subscribed(channels.iter(), after);
            assert!(serde_json::from_str::<serde_json::Value>(&told).is_ok());
            for channel in &channels {
                let _ = channel.matches(name);
            }
        }
        Ok(Request::Unsubscribe { .. } | Request::Ping) => {}
        Err(fault) => {
            let told = frames::error(&fault);
            assert!(serde_json::from_str::<serde_json::Value>(&told).is_ok());
        }
    }
}
