//! Messages of clients: both envelope forms.
//!
//! Input: the text.

use dormouse_protocol::envelope::Envelope;

/// Checks one input.
pub fn check(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else {
        return;
    };
    if let Ok(envelope) = Envelope::parse(text) {
        assert!(
            text.trim_start().starts_with('{'),
            "only objects are envelopes"
        );
        if let Some(correlation) = envelope.correlation {
            assert!(text.contains(correlation.get()), "echoed as it came");
        }
        let _ = envelope.is_acknowledgement();
    }
}
