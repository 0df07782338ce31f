//! What connections of the echo endpoint say is sent back as it came, text as text and binary as
//! binary (RFC 6455 section 5.6): conformance tests see the path that all connections share.

use super::Sockets;
use super::reading::Flow;
use crate::frame::Frame;
use crate::intake::IntakeFault;
use crate::table::SlotToken;

impl Sockets {
    /// Sends a text back, or refuses what is none.
    pub(super) fn echo_text(&mut self, token: SlotToken, payload: &[u8]) -> Flow {
        match std::str::from_utf8(payload) {
            Ok(text) => {
                self.send(token, Frame::text(text));
                Flow::On
            }
            Err(_) => {
                self.refuse(token, IntakeFault::Utf8);
                Flow::End
            }
        }
    }

    /// Sends a binary message back.
    pub(super) fn echo_binary(&mut self, token: SlotToken, payload: &[u8]) {
        self.send(token, Frame::binary(payload));
    }
}
