//! A WebSocket frame ready to be written, encoded once and shared by all its recipients.
//!
//! Server frames are unmasked (RFC 6455 section 5.1), so the same bytes serve everybody.

use std::sync::{Arc, OnceLock};

use actix_http::ws::{CloseCode as WireCode, CloseReason, OpCode, Parser};
use bytes::{Bytes, BytesMut};
use dormouse_protocol::socket_io::Packets;
use dormouse_protocol::{CloseCode, socket_io};

/// Largest payload of a control frame, bytes (RFC 6455 section 5.5).
const MAX_CONTROL_PAYLOAD: usize = 125;

/// Encoded bytes of one frame.
#[derive(Clone, Debug)]
pub struct Frame {
    bytes: Bytes,
    droppable: bool,
    /// When it was put into an outbox, in the worker's ticks (wraps).
    queued_at: u16,
    /// Whether it is a message of the plain transport, which Socket.IO clients get in their form.
    is_message: bool,
    /// That form, made once for all shards that the frame goes to.
    socket_io: Option<Arc<OnceLock<Option<Bytes>>>>,
}

impl Frame {
    /// A text message.
    pub fn text(json: &str) -> Self {
        Self {
            is_message: true,
            ..Self::raw(encode(json.as_bytes(), OpCode::Text))
        }
    }

    /// A binary message.
    pub fn binary(payload: &[u8]) -> Self {
        Self::raw(encode(payload, OpCode::Binary))
    }

    /// A packet for a Socket.IO client, without attachments.
    pub fn packet(text: &str) -> Self {
        Self::raw(encode(text.as_bytes(), OpCode::Text))
    }

    /// The same frame, whose Socket.IO form is made once for all of its clones.
    #[must_use]
    pub fn shared(mut self) -> Self {
        if self.is_message && self.socket_io.is_none() {
            self.socket_io = Some(Arc::default());
        }
        self
    }

    /// The frame as Socket.IO clients get it; `None` when they get nothing for it. Frames that are
    /// no messages serve both.
    pub(crate) fn for_socket_io(&self) -> Option<Self> {
        if !self.is_message {
            return Some(self.clone());
        }
        let translate = || {
            let text = server_frames(&self.bytes).find_map(|frame| match frame {
                ServerFrame::Text(text) => Some(text),
                ServerFrame::Binary(_) => None,
            });
            Some(packets(&socket_io::from_message(text?)?))
        };
        let bytes = match &self.socket_io {
            Some(shared) => shared.get_or_init(translate).clone(),
            None => translate(),
        };
        Some(Self {
            droppable: self.droppable,
            ..Self::raw(bytes?)
        })
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
            droppable: true,
            ..Self::raw(encode(b"", OpCode::Ping))
        }
    }

    /// A protocol pong that echoes a ping's payload (RFC 6455 section 5.5.3).
    pub fn pong(payload: &[u8]) -> Self {
        Self::raw(encode(payload, OpCode::Pong))
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
        Self::raw(bytes.freeze())
    }

    /// The answer to a close frame without a code.
    pub fn empty_close() -> Self {
        Self::raw(Bytes::from_static(&[0x88, 0]))
    }

    /// Bytes that are no frame, such as the answer to a handshake.
    pub fn raw(bytes: Bytes) -> Self {
        Self {
            bytes,
            droppable: false,
            queued_at: 0,
            is_message: false,
            socket_io: None,
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

/// A frame of the server, read back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ServerFrame<'a> {
    /// Text.
    Text(&'a str),
    /// Binary.
    Binary(&'a [u8]),
}

/// Reads frames that were encoded here: whole, unmasked, text or binary. Others are passed over.
pub(crate) fn server_frames(mut bytes: &[u8]) -> impl Iterator<Item = ServerFrame<'_>> {
    std::iter::from_fn(move || {
        loop {
            let (first, length, rest) = match bytes {
                [first, 126, a, b, rest @ ..] => {
                    (*first, usize::from(u16::from_be_bytes([*a, *b])), rest)
                }
                [first, 127, a, b, c, d, e, f, g, h, rest @ ..] => {
                    let length = u64::from_be_bytes([*a, *b, *c, *d, *e, *f, *g, *h]);
                    (*first, usize::try_from(length).ok()?, rest)
                }
                [first, length, rest @ ..] => (*first, usize::from(*length), rest),
                _ => return None,
            };
            let (payload, left) = rest.split_at_checked(length)?;
            bytes = left;
            match first {
                0x81 => return Some(ServerFrame::Text(std::str::from_utf8(payload).ok()?)),
                0x82 => return Some(ServerFrame::Binary(payload)),
                _ => {}
            }
        }
    })
}

/// Socket.IO packets as WebSocket frames: one for the text, one for each attachment.
fn packets(packets: &Packets) -> Bytes {
    let text = encode(packets.text.as_bytes(), OpCode::Text);
    if packets.attachments.is_empty() {
        return text;
    }
    let mut bytes = BytesMut::from(text);
    for attachment in &packets.attachments {
        Parser::write_message(&mut bytes, &attachment[..], OpCode::Binary, true, false);
    }
    bytes.freeze()
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
    fn messages_have_a_form_for_socket_io_that_clones_share() {
        let form = |frame: &Frame| frame.for_socket_io().map(|frame| frame.bytes().to_vec());
        let frame = Frame::ephemeral(r#"{"event":"x","data":{"$binary":"AQI="}}"#).shared();
        let expected = b"\x81\x27451-[\"x\",{\"_placeholder\":true,\"num\":0}]\x82\x02\x01\x02";
        assert_eq!(form(&frame.clone()).unwrap(), expected);
        let made = frame.socket_io.as_ref().unwrap().get().unwrap();
        assert_eq!(made.as_deref(), Some(&expected[..]));
        assert!(frame.for_socket_io().unwrap().is_droppable());
        assert_eq!(form(&Frame::text(r#"{"event":"disconnect"}"#)), None);
        assert_eq!(form(&Frame::packet("2")).unwrap(), b"\x81\x012");
        let long = format!(r#"{{"event":"x","data":"{}"}}"#, "y".repeat(70_000));
        assert_eq!(form(&Frame::text(&long)).unwrap().len(), 10 + 70_010);
    }

    #[test]
    fn shards_that_need_the_form_for_socket_io_at_the_same_time_share_it() {
        let frame = Frame::text(r#"{"event":"x","data":1}"#).shared();
        let shards = [(); 3].map(|()| {
            let frame = frame.clone();
            std::thread::spawn(move || frame.for_socket_io().unwrap())
        });
        let forms = shards.map(|shard| shard.join().unwrap());
        let places = forms.each_ref().map(|form| form.bytes().as_ptr());
        assert_eq!((places[0], places[0]), (places[1], places[2]));
        assert_eq!(forms[0].bytes(), b"\x81\x0942[\"x\",1]");
    }

    #[test]
    fn close_reasons_are_cut_at_a_character() {
        let frame = Frame::close(CloseCode::POLICY, &"é".repeat(100));
        assert_eq!(frame.bytes()[..4], [0x88, 124, 0x03, 0xf0]);
        assert_eq!(frame.len(), 2 + 124);
        assert!(std::str::from_utf8(&frame.bytes()[4..]).is_ok());
    }
}
