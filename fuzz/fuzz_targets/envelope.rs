//! Messages of clients: both envelope forms.
#![no_main]

use dormouse_protocol::envelope::Envelope;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    if let Ok(envelope) = Envelope::parse(text) {
        assert!(text.trim_start().starts_with('{'), "only objects are envelopes");
        if let Some(correlation) = envelope.correlation {
            assert!(text.contains(correlation.get()), "echoed as it came");
        }
        let _ = envelope.is_acknowledgement();
    }
});
