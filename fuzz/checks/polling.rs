//! Payloads of clients that poll: packets of text, attachments in base64 among them.
//!
//! Input: the body of a POST.

use dormouse_protocol::envelope::Envelope;
use dormouse_protocol::socket_io::{self, Received};
use dormouse_shard::polling::SEPARATOR;

/// Most bytes of attachments; small, so that the limit is reached.
const MOST: usize = 300;

/// Checks one input.
pub fn check(input: &[u8]) {
    let Ok(payload) = std::str::from_utf8(input) else {
        return;
    };
    let mut pending = None;
    for packet in payload.split(SEPARATOR) {
        match socket_io::text(&mut pending, packet, MOST) {
            Ok(Received::Message(json)) => {
                assert!(Envelope::parse(&json).is_ok(), "no envelope: {json}");
            }
            Ok(_) => {}
            // The session is over.
            Err(_) => return,
        }
    }
}
