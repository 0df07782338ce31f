//! A WebSocket frame ready to be written, encoded once and shared by all its recipients.
//!
//! Server frames are unmasked (RFC 6455 section 5.1), so the same bytes serve everybody.

use actix_http::ws::{CloseCode as WireCode, CloseReason, OpCode, Parser};
use bytes::{Bytes, BytesMut};
use dormouse_protocol::CloseCode;

/// Largest payload of a control frame, bytes (RFC 6455 section 5.5).
const MAX_CONTROL_PAYLOAD: usize = 125;

/// Encoded bytes of one frame.
#[derive(Clone, Debug)]
pub struct Frame {
    bytes: Bytes,
    droppable: bool,
    /// When it was put into an outbox, in the worker's ticks (wraps).
    queued_at: u16,
}

impl Frame {
    /// A text message.
    pub fn text(json: &str) -> Self {
        Self {
            bytes: encode(json.as_bytes(), OpCode::Text),
            droppable: false,
            queued_at: 0,
        }
    }

    /// A text message that may be dropped for a reader that falls behind (realtime contract,
    /// section 8: ephemerals are not stored and carry no sequence).
    pub fn ephemeral(json: &str) -> Self {
        Self {
            droppable: true,
            ..Self::text(json)
        }
    }

    /// A protocol ping without payload.
    pub fn ping() -> Self {
        Self {
            bytes: encode(b"", OpCode::Ping),
            droppable: true,
            queued_at: 0,
        }
    }

    /// A protocol pong that echoes a ping's payload (RFC 6455 section 5.5.3).
    pub fn pong(payload: &[u8]) -> Self {
        Self {
            bytes: encode(payload, OpCode::Pong),
            droppable: false,
            queued_at: 0,
        }
    }

    /// A close frame; the reason is cut to what a control frame takes.
    pub fn close(code: CloseCode, reason: &str) -> Self {
        let mut end = reason.len().min(MAX_CONTROL_PAYLOAD - 2);
        while !reason.is_char_boundary(end) {
            end -= 1;
        }
        let reason = CloseReason {
            code: WireCode::from(code.as_u16()),
            description: Some(reason[..end].to_owned()),
        };
        let mut bytes = BytesMut::with_capacity(4 + end);
        Parser::write_close(&mut bytes, Some(reason), false);
        Self {
            bytes: bytes.freeze(),
            droppable: false,
            queued_at: 0,
        }
    }

    /// The answer to a close frame without a code.
    pub fn empty_close() -> Self {
        Self {
            bytes: Bytes::from_static(&[0x88, 0]),
            droppable: false,
            queued_at: 0,
        }
    }

    /// Bytes that are no frame, such as the answer to a handshake.
    pub fn raw(bytes: Bytes) -> Self {
        Self {
            bytes,
            droppable: false,
            queued_at: 0,
        }
    }

    /// What goes on the wire.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Length on the wire, in bytes.
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Whether there is nothing to write.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// The same frame on its way into an outbox, at this tick of the worker.
    #[must_use]
    pub fn queued(mut self, tick: u16) -> Self {
        self.queued_at = tick;
        self
    }

    /// When it was put into an outbox, in ticks.
    pub fn queued_at(&self) -> u16 {
        self.queued_at
    }

    /// Whether the frame may be dropped for a slow reader.
    pub fn is_droppable(&self) -> bool {
        self.droppable
    }
}

fn encode(payload: &[u8], opcode: OpCode) -> Bytes {
    // To the byte: a buffer with room to spare costs one more allocation (77 against 65 ns).
    let header = match payload.len() {
        0..126 => 2,
        126..=0xffff => 4,
        _ => 10,
    };
    let mut bytes = BytesMut::with_capacity(header + payload.len());
    Parser::write_message(&mut bytes, payload, opcode, true, false);
    bytes.freeze()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_have_the_header_of_their_length() {
        assert_eq!(Frame::text("hi").bytes(), b"\x81\x02hi");
        let medium = Frame::text(&"x".repeat(126));
        assert_eq!(medium.bytes()[..4], [0x81, 126, 0, 126]);
        let large = Frame::text(&"x".repeat(65_536));
        assert_eq!(large.bytes()[..10], [0x81, 127, 0, 0, 0, 0, 0, 1, 0, 0]);
        assert_eq!(Frame::ping().bytes(), [0x89, 0]);
        assert_eq!(Frame::pong(b"ab").bytes(), b"\x8a\x02ab");
    }

    #[test]
    fn close_reasons_are_cut_at_a_character() {
        let frame = Frame::close(CloseCode::POLICY, &"é".repeat(100));
        assert_eq!(frame.bytes()[..4], [0x88, 124, 0x03, 0xf0]);
        assert_eq!(frame.len(), 2 + 124);
        assert!(std::str::from_utf8(&frame.bytes()[4..]).is_ok());
    }
}
