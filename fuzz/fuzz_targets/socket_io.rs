//! Packets of Socket.IO clients, text and attachments in any order. What is read is an envelope,
//! and what an envelope says can be sent on.
#![no_main]

use dormouse_protocol::envelope::Envelope;
use dormouse_protocol::socket_io::{self, Received};
use libfuzzer_sys::fuzz_target;

/// Most bytes of attachments; small, so that the limit is reached.
const MOST: usize = 300;

fuzz_target!(|packets: Vec<Result<&str, &[u8]>>| {
    let mut pending = None;
    for packet in packets {
        let received = match packet {
            Ok(text) => socket_io::text(&mut pending, text, MOST),
            Err(bytes) => socket_io::binary(&mut pending, bytes.to_vec().into(), MOST),
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
});
