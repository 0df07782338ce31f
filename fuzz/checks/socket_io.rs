//! Packets of Socket.IO clients, text and attachments in any order. What is read is an envelope,
//! and what an envelope says can be sent on.
//!
//! Input: packets, parted by 0xff; one that begins with 0xfe is an attachment, others are text.

use dormouse_protocol::envelope::Envelope;
use dormouse_protocol::socket_io::{self, Received};

/// Most bytes of attachments; small, so that the limit is reached.
const MOST: usize = 300;

/// Checks one input.
pub fn check(input: &[u8]) {
    let mut pending = None;
    for packet in input.split(|byte| *byte == 0xff) {
        let received = match (packet, std::str::from_utf8(packet)) {
            ([0xfe, bytes @ ..], _) => socket_io::binary(&mut pending, bytes.to_vec().into(), MOST),
            (_, Ok(text)) => socket_io::text(&mut pending, text, MOST),
            (_, Err(_)) => continue,
        };
        match received {
            Ok(Received::Message(json)) => {
                assert!(Envelope::parse(&json).is_ok(), "no envelope: {json}");
                let _ = socket_io::from_message(&json);
            }
            Ok(_) => {}
            // The transport is closed.
            Err(_) => return,
        }
    }
}
