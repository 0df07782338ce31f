//! Connections of the echo endpoint: taken in, and let go. What they say is answered by `sockets`.

use dormouse_protocol::CloseCode;

use super::Worker;
use super::admin::STOPPING;
use crate::arrival::NewEcho;
use crate::frame::Frame;
use crate::table::Owner;

impl Worker {
    /// Takes in a socket whose messages are sent back.
    pub(super) fn admit_echo(&self, newcomer: NewEcho) {
        let NewEcho {
            mut slot,
            accept,
            permit,
        } = newcomer;
        slot.set_owner(Owner::Echo);
        let mut sockets = self.sockets.borrow_mut();
        match sockets.insert(slot) {
            Ok(token) => {
                sockets.send(token, Frame::raw(accept));
                self.echoes.borrow_mut().insert(token, permit);
                if self.draining.get() {
                    sockets.close(token, CloseCode::GOING_AWAY, STOPPING);
                }
            }
            Err(err) => {
                tracing::error!(%err, "cannot watch a socket; its connection is dropped");
            }
        }
    }
}
