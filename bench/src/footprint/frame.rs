//! WebSocket frames as a client writes and reads them (RFC 6455, section 5).
//!
//! Used by the generator, which must cost little: one pass over a shared read buffer, no copy of a
//! frame that came whole. The floor server reads its masked frames with the same header parser.
//! Pure: no I/O.

/// What a frame carries (RFC 6455, section 5.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Opcode {
    /// A further part of a message.
    Continuation = 0,
    /// Text.
    Text = 1,
    /// Bytes.
    Binary = 2,
    /// The end of the connection.
    Close = 8,
    /// A question whether the peer is there.
    Ping = 9,
    /// Its answer.
    Pong = 10,
}

impl Opcode {
    fn from_bits(bits: u8) -> Option<Self> {
        Some(match bits {
            0 => Self::Continuation,
            1 => Self::Text,
            2 => Self::Binary,
            8 => Self::Close,
            9 => Self::Ping,
            10 => Self::Pong,
            _ => return None,
        })
    }

    fn is_control(self) -> bool {
        matches!(self, Self::Close | Self::Ping | Self::Pong)
    }
}

/// How a peer broke the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// An extension bit without an extension.
    #[error("a reserved bit is set")]
    ReservedBit,
    /// An opcode that means nothing.
    #[error("unknown opcode {0}")]
    Opcode(u8),
    /// A length in more bytes than it needs.
    #[error("the length is not in its shortest form")]
    LengthForm,
    /// A message beyond [`MAX_MESSAGE`].
    #[error("a message is longer than 16 MiB")]
    TooLong,
    /// A control frame of more than 125 bytes or in parts.
    #[error("a control frame is too long or in parts")]
    Control,
    /// A masked frame from a server.
    #[error("a server's frame is masked")]
    Masked,
    /// A continuation of nothing, or a new message within another.
    #[error("the parts of a message are out of order")]
    Parts,
}

/// Longest message taken.
pub const MAX_MESSAGE: usize = 16 << 20;

/// The beginning of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Whether the message ends with this frame.
    pub fin: bool,
    /// What it carries.
    pub opcode: Opcode,
    /// The key of a client's frame.
    pub mask: Option<[u8; 4]>,
    /// Bytes of the header itself.
    pub size: usize,
    /// Bytes of payload after it.
    pub length: usize,
}

impl Header {
    /// Reads the header at the start of `bytes`; `None` while it is incomplete.
    ///
    /// # Errors
    /// [`FrameError`]: nothing that follows can be understood.
    pub fn parse(bytes: &[u8]) -> Result<Option<Self>, FrameError> {
        let &[first, second, ref rest @ ..] = bytes else {
            return Ok(None);
        };
        if first & 0x70 != 0 {
            return Err(FrameError::ReservedBit);
        }
        let bits = first & 0x0f;
        let opcode = Opcode::from_bits(bits).ok_or(FrameError::Opcode(bits))?;
        let fin = first & 0x80 != 0;
        let short = second & 0x7f;
        if opcode.is_control() && (short > 125 || !fin) {
            return Err(FrameError::Control);
        }
        let (length, wide) = match short {
            126 => match rest.first_chunk::<2>() {
                Some(wide) => (u64::from(u16::from_be_bytes(*wide)), 2),
                None => return Ok(None),
            },
            127 => match rest.first_chunk::<8>() {
                Some(wide) => (u64::from_be_bytes(*wide), 8),
                None => return Ok(None),
            },
            short => (u64::from(short), 0),
        };
        if (wide == 2 && length < 126) || (wide == 8 && length <= 0xffff) {
            return Err(FrameError::LengthForm);
        }
        let length = usize::try_from(length).map_err(|_| FrameError::TooLong)?;
        if length > MAX_MESSAGE {
            return Err(FrameError::TooLong);
        }
        let mut size = 2 + wide;
        let mut mask = None;
        if second & 0x80 != 0 {
            let Some(key) = rest.get(wide..).and_then(|rest| rest.first_chunk::<4>()) else {
                return Ok(None);
            };
            mask = Some(*key);
            size += 4;
        }
        Ok(Some(Self {
            fin,
            opcode,
            mask,
            size,
            length,
        }))
    }
}

/// A client's frame: one whole message, masked with `key`.
///
/// The key need not be random here: the masking protects proxies from hostile pages, and there is
/// neither between the generator and its server.
pub fn client_frame(opcode: Opcode, payload: &[u8], key: [u8; 4]) -> Vec<u8> {
    let mut frame = frame_header(opcode, payload.len(), 0x80);
    frame.extend_from_slice(&key);
    frame.extend(
        payload
            .iter()
            .zip(key.iter().cycle())
            .map(|(byte, key)| byte ^ key),
    );
    frame
}

/// A server's frame: one whole message, unmasked.
pub fn server_frame(opcode: Opcode, payload: &[u8]) -> Vec<u8> {
    let mut frame = frame_header(opcode, payload.len(), 0);
    frame.extend_from_slice(payload);
    frame
}

fn frame_header(opcode: Opcode, length: usize, mask_bit: u8) -> Vec<u8> {
    let mut header = Vec::with_capacity(14 + length);
    header.push(0x80 | opcode as u8);
    match length {
        0..=125 => header.push(mask_bit | length as u8),
        126..=0xffff => {
            header.push(mask_bit | 126);
            header.extend_from_slice(&(length as u16).to_be_bytes());
        }
        _ => {
            header.push(mask_bit | 127);
            header.extend_from_slice(&(length as u64).to_be_bytes());
        }
    }
    header
}

/// Messages from the bytes of one connection, as they come.
#[derive(Debug, Default)]
pub struct Decoder {
    /// The beginning of a frame whose end has not come.
    partial: Vec<u8>,
    /// The parts so far of a message in several frames.
    parts: Vec<u8>,
    parts_opcode: Option<Opcode>,
}

impl Decoder {
    /// Takes bytes that came, and gives every message and control frame that is complete to
    /// `sink`.
    ///
    /// # Errors
    /// [`FrameError`]: the connection is of no more use.
    pub fn push(
        &mut self,
        bytes: &[u8],
        mut sink: impl FnMut(Opcode, &[u8]),
    ) -> Result<(), FrameError> {
        if self.partial.is_empty() {
            let used = self.take(bytes, &mut sink)?;
            self.partial
                .extend_from_slice(bytes.get(used..).unwrap_or_default());
            return Ok(());
        }
        let mut held = std::mem::take(&mut self.partial);
        held.extend_from_slice(bytes);
        let used = self.take(&held, &mut sink)?;
        held.drain(..used);
        self.partial = held;
        Ok(())
    }

    /// Takes whole frames and returns how many bytes they were.
    fn take(
        &mut self,
        bytes: &[u8],
        sink: &mut impl FnMut(Opcode, &[u8]),
    ) -> Result<usize, FrameError> {
        let mut used = 0;
        while let Some(rest) = bytes.get(used..) {
            let Some(header) = Header::parse(rest)? else {
                break;
            };
            if header.mask.is_some() {
                return Err(FrameError::Masked);
            }
            let Some(payload) = rest.get(header.size..header.size + header.length) else {
                break;
            };
            used += header.size + header.length;
            self.frame(header, payload, sink)?;
        }
        Ok(used)
    }

    fn frame(
        &mut self,
        header: Header,
        payload: &[u8],
        sink: &mut impl FnMut(Opcode, &[u8]),
    ) -> Result<(), FrameError> {
        match (header.opcode, self.parts_opcode) {
            (opcode, _) if opcode.is_control() => sink(opcode, payload),
            (Opcode::Continuation, None) => return Err(FrameError::Parts),
            (Opcode::Continuation, Some(opcode)) => {
                if self.parts.len() + payload.len() > MAX_MESSAGE {
                    return Err(FrameError::TooLong);
                }
                self.parts.extend_from_slice(payload);
                if header.fin {
                    sink(opcode, &self.parts);
                    (self.parts, self.parts_opcode) = (Vec::new(), None);
                }
            }
            (_, Some(_)) => return Err(FrameError::Parts),
            (opcode, None) if header.fin => sink(opcode, payload),
            (opcode, None) => {
                self.parts_opcode = Some(opcode);
                self.parts.extend_from_slice(payload);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
