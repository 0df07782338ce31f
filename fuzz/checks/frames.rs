//! Bytes of a client through the frame path. However they are cut into reads, the same messages and
//! the same fault must come out, and nothing may be kept beyond the limit.
//!
//! Input: a byte that says how to cut and whether binary messages are kept, then the bytes.

use bytes::BytesMut;
use dormouse_shard::intake::{self, Ahead, Incoming, IntakeFault};

/// Longest message, bytes; small, so that the limit is reached.
const MOST: usize = 300;

fn read(parts: &[&[u8]], keeps_binary: bool) -> (Vec<Incoming>, Option<IntakeFault>) {
    let (mut bytes, mut ahead, mut message) = (BytesMut::new(), Ahead::default(), None);
    let mut seen = Vec::new();
    for part in parts {
        bytes.extend_from_slice(part);
        loop {
            match intake::next(&mut bytes, &mut ahead, &mut message, MOST, keeps_binary) {
                // Text in one piece is checked by whoever takes it.
                Ok(Some(Incoming::Message(payload))) if intake::text(&payload).is_err() => {
                    assert!(std::str::from_utf8(&payload).is_err());
                    return (seen, Some(IntakeFault::Utf8));
                }
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
        assert!(
            bytes.len() <= 14 + MOST.max(125),
            "{} bytes wait",
            bytes.len()
        );
    }
    (seen, None)
}

/// Checks one input.
pub fn check(input: &[u8]) {
    let Some((how, bytes)) = input.split_first() else {
        return;
    };
    let keeps_binary = how % 2 == 1;
    let whole = read(&[bytes], keeps_binary);
    let parts: Vec<&[u8]> = bytes.chunks(usize::from(*how).max(1)).collect();
    assert_eq!(whole, read(&parts, keeps_binary));
}
