//! Bytes from a socket become messages: RFC 6455 framing, reassembly and UTF-8 (sections 5 and 8).
//!
//! Frames are unmasked and cut by `actix_http::ws::Parser`. Before it sees a frame, the header is
//! judged here, so that an oversize or illegal frame is refused by its first bytes and no memory
//! is set aside for bytes that have only been announced.

use std::sync::Arc;

use actix_http::ws::{OpCode, Parser};
use bytes::{Bytes, BytesMut};
use bytestring::ByteString;
use dormouse_protocol::{CloseCode, socket_io};

use crate::polling::PollSession;

/// What one step of reading yields.
#[derive(Debug, PartialEq)]
pub enum Incoming {
    /// A whole text message, or a binary one that is read as text (realtime contract, section 4).
    Message(BytesMut),
    /// A whole binary message, where binary is not text.
    Binary(BytesMut),
    /// A part of a message that is not its last.
    Fragment,
    /// A protocol ping with its payload.
    Ping(BytesMut),
    /// A protocol pong.
    Pong,
    /// The peer closes; the code to echo, if it sent one.
    Close(Option<CloseCode>),
}

/// Why reading cannot go on; the connection is closed with its code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IntakeFault {
    /// RSV bit set without an extension.
    #[error("reserved bits set")]
    ReservedBits,
    /// An opcode that RFC 6455 does not define.
    #[error("unknown opcode")]
    Opcode,
    /// A client frame without mask.
    #[error("unmasked frame")]
    Unmasked,
    /// A fragmented or over-long control frame.
    #[error("bad control frame")]
    Control,
    /// A continuation of nothing, or a new message inside another.
    #[error("fragments out of order")]
    Fragments,
    /// A close frame with an illegal code or a one-byte payload.
    #[error("bad close frame")]
    Close,
    /// A length with the most significant bit set, or a frame that does not parse.
    #[error("bad frame")]
    Frame,
    /// Text, or binary read as text, that is not UTF-8.
    #[error("invalid UTF-8")]
    Utf8,
    /// A message over the limit.
    #[error("message too big")]
    TooBig,
}

impl IntakeFault {
    /// The close code that tells the peer.
    pub fn close_code(self) -> CloseCode {
        match self {
            Self::Utf8 => CloseCode::INVALID_UTF8,
            Self::TooBig => CloseCode::TOO_BIG,
            _ => CloseCode::PROTOCOL_ERROR,
        }
    }
}

/// A message that has arrived in part.
#[derive(Debug, Default)]
pub struct Assembly {
    buffer: BytesMut,
    /// Bytes of `buffer` known to be UTF-8.
    checked: usize,
    is_binary: bool,
}

impl Assembly {
    fn push(&mut self, data: &[u8], last: bool) -> Result<(), IntakeFault> {
        self.buffer.extend_from_slice(data);
        if self.is_binary {
            return Ok(());
        }
        let unchecked = self.buffer.get(self.checked..).unwrap_or_default();
        match std::str::from_utf8(unchecked) {
            Ok(text) => self.checked += text.len(),
            Err(err) if err.error_len().is_none() && !last => self.checked += err.valid_up_to(),
            Err(_) => return Err(IntakeFault::Utf8),
        }
        Ok(())
    }
}

/// How far the text of an incomplete frame has been looked at, so that what is no UTF-8 is refused
/// when it comes and not when its frame ends (RFC 6455 section 8.1).
#[derive(Debug, Default)]
pub struct Ahead {
    /// Bytes of the payload that were looked at.
    seen: usize,
    /// The beginning of a character that goes on behind them, and its length.
    begun: ([u8; 3], usize),
}

impl Ahead {
    /// Looks at what is new of a payload that is not complete; each byte once.
    fn look(&mut self, payload: &[u8], mask: [u8; 4]) -> Result<(), IntakeFault> {
        const BLOCK: usize = 1024;
        let mut block = [0; 3 + BLOCK];
        let fresh = payload.get(self.seen..).unwrap_or_default();
        for piece in fresh.chunks(BLOCK) {
            let (begun, length) = self.begun;
            block[..length].copy_from_slice(&begun[..length]);
            let place = self.seen;
            for (index, (to, from)) in block[length..].iter_mut().zip(piece).enumerate() {
                *to = from ^ mask[(place + index) % 4];
            }
            let text = &block[..length + piece.len()];
            let whole = match std::str::from_utf8(text) {
                Ok(text) => text.len(),
                Err(err) if err.error_len().is_none() => err.valid_up_to(),
                Err(_) => return Err(IntakeFault::Utf8),
            };
            self.begin(&text[whole..]);
            self.seen += piece.len();
        }
        Ok(())
    }

    /// Notes an unfinished character: at most three bytes.
    fn begin(&mut self, bytes: &[u8]) {
        let length = bytes.len().min(3);
        self.begun.0[..length].copy_from_slice(&bytes[..length]);
        self.begun.1 = length;
    }
}

/// What one connection keeps for a time: an incomplete frame, an incomplete message, attachments
/// that are outstanding, and the session while it polls.
#[derive(Debug, Default)]
pub struct Partial {
    /// The beginning of a frame.
    pub frame: BytesMut,
    /// How far its text has been looked at.
    pub ahead: Ahead,
    /// The fragments of a message so far.
    pub message: Option<Assembly>,
    /// A Socket.IO packet whose attachments have yet to come.
    pub attachments: Option<Box<socket_io::Pending>>,
    /// The session of a Socket.IO connection that polls.
    pub polling: Option<Arc<PollSession>>,
}

impl Partial {
    /// Whether nothing is kept, so that the memory can be given back.
    pub fn is_empty(&self) -> bool {
        self.frame.is_empty()
            && self.message.is_none()
            && self.attachments.is_none()
            && self.polling.is_none()
    }

    /// Bytes set aside.
    pub fn bytes(&self) -> usize {
        self.frame.len()
            + self
                .message
                .as_ref()
                .map_or(0, |message| message.buffer.len())
    }
}

/// Takes the next event from the bytes; `None` when a frame is incomplete.
///
/// `most` bounds the payload of a message after reassembly, bytes. Binary messages are told from
/// text where `keeps_binary`. Of a message in one frame that is here as a whole, the text is not
/// checked: [`text`] does that.
///
/// # Errors
/// [`IntakeFault`] when the peer breaks the protocol; nothing after it may be read.
pub fn next(
    bytes: &mut BytesMut,
    ahead: &mut Ahead,
    message: &mut Option<Assembly>,
    most: usize,
    keeps_binary: bool,
) -> Result<Option<Incoming>, IntakeFault> {
    let assembled = message.as_ref().map_or(0, |message| message.buffer.len());
    let most_here = most.saturating_sub(assembled);
    let Some(header) = Header::read(bytes, message.is_some(), most_here)? else {
        return Ok(None);
    };
    if !header.is_complete(bytes) {
        let is_text = match (header.opcode, &message) {
            (0, Some(message)) => !message.is_binary,
            (opcode, _) => opcode == 1 || (opcode == 2 && !keeps_binary),
        };
        if is_text && let Some((mask, payload)) = header.payload(bytes) {
            if let (0, Some(message)) = (ahead.seen, &message) {
                ahead.begin(message.buffer.get(message.checked..).unwrap_or_default());
            }
            ahead.look(payload, mask)?;
        }
        return Ok(None);
    }
    *ahead = Ahead::default();
    let parsed = Parser::parse(bytes, true, most).map_err(|_| IntakeFault::Frame)?;
    let Some((last, opcode, payload)) = parsed else {
        return Ok(None);
    };
    let payload = payload.unwrap_or_default();
    Ok(Some(match opcode {
        OpCode::Ping => Incoming::Ping(payload),
        OpCode::Pong => Incoming::Pong,
        OpCode::Close => close(&payload)?,
        OpCode::Binary if last && keeps_binary => Incoming::Binary(payload),
        OpCode::Text | OpCode::Binary if last => Incoming::Message(payload),
        OpCode::Text | OpCode::Binary => {
            let is_binary = keeps_binary && opcode == OpCode::Binary;
            let assembly = Assembly {
                is_binary,
                ..Assembly::default()
            };
            message.insert(assembly).push(&payload, false)?;
            Incoming::Fragment
        }
        OpCode::Continue => {
            let assembly = message.as_mut().ok_or(IntakeFault::Fragments)?;
            assembly.push(&payload, last)?;
            match message.take_if(|_| last) {
                Some(whole) if whole.is_binary => Incoming::Binary(whole.buffer),
                Some(whole) => Incoming::Message(whole.buffer),
                None => Incoming::Fragment,
            }
        }
        OpCode::Bad => return Err(IntakeFault::Opcode),
    }))
}

/// The text of a message, in memory of its own so that the read buffer is free again.
///
/// # Errors
/// [`IntakeFault::Utf8`].
pub fn text(payload: &[u8]) -> Result<ByteString, IntakeFault> {
    ByteString::try_from(Bytes::copy_from_slice(payload)).map_err(|_| IntakeFault::Utf8)
}

/// The header of a frame, without its mask.
#[derive(Clone, Copy, Debug)]
struct Header {
    opcode: u8,
    /// Where the mask begins.
    mask_at: usize,
    /// Length of the payload, bytes.
    length: u64,
}

impl Header {
    const MASK: usize = 4;

    /// Judges a frame by its header (RFC 6455 section 5.2); `None` when that is incomplete.
    fn read(bytes: &[u8], in_message: bool, most: usize) -> Result<Option<Self>, IntakeFault> {
        let &[first, second, ..] = bytes else {
            return Ok(None);
        };
        if first & 0x70 != 0 {
            return Err(IntakeFault::ReservedBits);
        }
        if second & 0x80 == 0 {
            return Err(IntakeFault::Unmasked);
        }
        let (opcode, last, short) = (first & 0x0f, first & 0x80 != 0, second & 0x7f);
        let is_control = opcode >= 8;
        match opcode {
            0 if !in_message => return Err(IntakeFault::Fragments),
            1 | 2 if in_message => return Err(IntakeFault::Fragments),
            0..=2 => {}
            8..=10 if !last || short > 125 => return Err(IntakeFault::Control),
            8..=10 => {}
            _ => return Err(IntakeFault::Opcode),
        }
        let (mask_at, length) = match (short, bytes) {
            (126, &[_, _, a, b, ..]) => (4, u64::from(u16::from_be_bytes([a, b]))),
            (127, &[_, _, a, b, c, d, e, f, g, h, ..]) => {
                (10, u64::from_be_bytes([a, b, c, d, e, f, g, h]))
            }
            (126 | 127, _) => return Ok(None),
            (short, _) => (2, u64::from(short)),
        };
        if length > i64::MAX as u64 {
            return Err(IntakeFault::Frame);
        }
        if !is_control && length > most as u64 {
            return Err(IntakeFault::TooBig);
        }
        Ok(Some(Self {
            opcode,
            mask_at,
            length,
        }))
    }

    /// Whether all of the frame is here.
    fn is_complete(self, bytes: &[u8]) -> bool {
        bytes.len() as u64 >= (self.mask_at + Self::MASK) as u64 + self.length
    }

    /// The mask, once it is here, and what is here of the masked payload.
    fn payload(self, bytes: &[u8]) -> Option<([u8; 4], &[u8])> {
        let (mask, payload) = bytes.get(self.mask_at..)?.split_first_chunk()?;
        Some((*mask, payload))
    }
}

fn close(payload: &[u8]) -> Result<Incoming, IntakeFault> {
    match Parser::try_parse_close_payload(payload) {
        Ok(None) => Ok(Incoming::Close(None)),
        // Echo only a code that is legal to send (realtime contract, section 12).
        Ok(Some(reason)) => {
            let code = CloseCode::sendable(u16::from(reason.code)).unwrap_or(CloseCode::NORMAL);
            Ok(Incoming::Close(Some(code)))
        }
        Err(_) if payload.len() > 2 && std::str::from_utf8(&payload[2..]).is_err() => {
            Err(IntakeFault::Utf8)
        }
        Err(_) => Err(IntakeFault::Close),
    }
}

#[cfg(test)]
mod tests;
