//! Bytes of a client through the frame path. However they are cut into reads, the same messages and
//! the same fault must come out, and nothing may be kept beyond the limit.
#![no_main]

use bytes::BytesMut;
use dormouse_shard::intake::{self, Incoming, IntakeFault};
use libfuzzer_sys::fuzz_target;

/// Longest message, bytes; small, so that the limit is reached.
const MOST: usize = 300;

fn read(parts: &[&[u8]], keeps_binary: bool) -> (Vec<Incoming>, Option<IntakeFault>) {
    let (mut bytes, mut message, mut seen) = (BytesMut::new(), None, Vec::new());
    for part in parts {
        bytes.extend_from_slice(part);
        loop {
            match intake::next(&mut bytes, &mut message, MOST, keeps_binary) {
                Ok(Some(incoming)) => {
                    if let Incoming::Message(payload) | Incoming::Binary(payload) = &incoming {
                        assert!(payload.len() <= MOST);
                    }
                    seen.push(incoming);
                }
                Ok(None) => break,
                Err(fault) => return (seen, Some(fault)),
            }
        }
        // A header, its mask and a payload that is too short by a byte.
        assert!(bytes.len() <= 14 + MOST.max(125), "{} bytes wait", bytes.len());
    }
    (seen, None)
}

fuzz_target!(|input: (u8, Vec<u8>)| {
    let (size, bytes) = input;
    let keeps_binary = size % 2 == 1;
    let whole = read(&[&bytes], keeps_binary);
    let parts: Vec<&[u8]> = bytes.chunks(usize::from(size).max(1)).collect();
    assert_eq!(whole, read(&parts, keeps_binary));
    for incoming in &whole.0 {
        if let Incoming::Message(payload) = incoming {
            let is_text = intake::text(payload).is_ok();
            assert_eq!(is_text, std::str::from_utf8(payload).is_ok());
        }
    }
});
