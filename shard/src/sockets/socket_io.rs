//! Socket.IO on the sockets of one worker: packets, heartbeats, faults (Socket.IO contract,
//! sections 2 and 3).
//!
//! Everything that concerns the transport ends here: heartbeats wake no shard. What remains is
//! handed on as envelopes.

use bytestring::ByteString;
use dormouse_protocol::CloseCode;
use dormouse_protocol::socket_io::{self as wire, Pending, Received, SocketIoFault};

use super::reading::Flow;
use super::{Inbound, Lane, Said, Sockets, ticks};
use crate::frame::Frame;
use crate::intake::{Incoming, IntakeFault};
use crate::mount::{Mount, MountId, Wire};
use crate::table::{Owner, SlotToken};
use crate::turn::FrameRef;

/// A mount as the table's clock sees it.
#[derive(Clone, Copy, Debug)]
pub(super) struct MountClock {
    pub(super) interval: u16,
    pub(super) timeout: u16,
    pub(super) message_bytes: usize,
}

impl MountClock {
    pub(super) fn of(mount: &Mount) -> Self {
        // Due times are compared over half the clock's range.
        let most = i16::MAX as u16;
        Self {
            interval: ticks(mount.ping_interval).min(most),
            timeout: ticks(mount.ping_timeout).min(most),
            message_bytes: mount.message_bytes,
        }
    }
}

/// The clock of a mount. Mounts are never taken away, so there is one.
pub(super) fn clock(mounts: &[MountClock], mount: MountId) -> MountClock {
    let plain = MountClock {
        interval: i16::MAX as u16,
        timeout: i16::MAX as u16,
        message_bytes: 0,
    };
    mounts.get(mount.index()).copied().unwrap_or(plain)
}

impl Sockets {
    pub(super) fn clock(&self, mount: MountId) -> MountClock {
        clock(&self.mounts, mount)
    }

    /// Handles one event of a WebSocket.
    pub(super) fn take_socket_io(
        &mut self,
        token: SlotToken,
        mount: MountId,
        incoming: Incoming,
        attachments: &mut Option<Box<Pending>>,
        inbox: &mut Vec<Inbound>,
    ) -> Flow {
        let owner = match self.admit(token, &incoming) {
            Ok(owner) => owner,
            Err(flow) => return flow,
        };
        let most = self.clock(mount).message_bytes;
        let received = match incoming {
            Incoming::Message(payload) => match std::str::from_utf8(&payload) {
                Ok(text) => wire::text(attachments, text, most),
                Err(_) => {
                    self.refuse(token, IntakeFault::Utf8);
                    return Flow::End;
                }
            },
            Incoming::Binary(payload) => wire::binary(attachments, payload.freeze(), most),
            Incoming::Ping(payload) => {
                self.send(token, Frame::pong(&payload));
                return Flow::On;
            }
            Incoming::Pong | Incoming::Fragment => return Flow::On,
            Incoming::Close(code) => {
                self.answer_close(token, code);
                return Flow::End;
            }
        };
        self.take_received(token, owner, Wire::SocketIo(mount), received, inbox)
    }

    /// Handles one packet, whatever brought it.
    pub(super) fn take_received(
        &mut self,
        token: SlotToken,
        owner: Owner,
        wire: Wire,
        received: Result<Received, SocketIoFault>,
        inbox: &mut Vec<Inbound>,
    ) -> Flow {
        let probes = self.table.get(token).is_some_and(|slot| slot.probes());
        let said = match received {
            Err(fault) => return self.end_broken(token, fault),
            Ok(Received::Probe) if probes => Said::Probe,
            Ok(Received::Upgrade) if probes => Said::Upgrade,
            // A WebSocket that is tried carries nothing else yet.
            Ok(Received::Close | Received::Noop) if probes => {
                self.close(token, CloseCode::NORMAL, "");
                return Flow::End;
            }
            Ok(_) if probes => return self.end_broken(token, SocketIoFault::Engine),
            Ok(Received::Probe | Received::Upgrade) => {
                return self.end_broken(token, SocketIoFault::Engine);
            }
            Ok(Received::Noop | Received::Incomplete | Received::Ping { ack: None }) => {
                return Flow::On;
            }
            Ok(Received::Pong) => {
                self.note_pong(token, wire);
                return Flow::On;
            }
            Ok(Received::Close) => {
                if let Some(session) = self.table.get(token).and_then(|slot| slot.session()) {
                    session.release();
                }
                self.close(token, CloseCode::NORMAL, "");
                return Flow::End;
            }
            Ok(Received::Connect { namespace, .. }) if *namespace != *wire::ROOT => {
                let refusal = wire::connect_error(&namespace, "Invalid namespace");
                self.send(token, Frame::packet(&refusal));
                return Flow::On;
            }
            Ok(Received::Connect { auth, .. }) if owner == Owner::Lobby => Said::Connect(auth),
            Ok(Received::Connect { .. }) => return self.end_broken(token, SocketIoFault::Packet),
            Ok(Received::Disconnect { namespace }) => {
                if *namespace == *wire::ROOT && owner != Owner::Lobby {
                    self.close(token, CloseCode::NORMAL, "");
                    return Flow::End;
                }
                return Flow::On;
            }
            // Clients wait for this ack to know that what they sent before was handled, so it goes
            // the way of all events.
            Ok(Received::Ping { ack: Some(ack) }) => {
                Said::Message(format!(r#"{{"event":"ping","ackId":{ack}}}"#).into())
            }
            Ok(Received::Message(json)) => Said::Message(ByteString::from(json)),
        };
        let flow = match said {
            // What follows is for the session that takes this socket.
            Said::Upgrade => Flow::Pause,
            _ => Flow::On,
        };
        inbox.push(Inbound {
            token,
            owner,
            wire,
            said,
        });
        flow
    }

    /// Closes a transport whose client broke the protocol.
    pub fn break_off(&mut self, token: SlotToken, fault: SocketIoFault) {
        self.io.protocol_faults += 1;
        if let Some((connection, _)) = self.connection(token) {
            tracing::debug!(%connection, %fault, "a Socket.IO client broke the protocol");
        }
        self.close(token, CloseCode::PROTOCOL_ERROR, "");
    }

    fn end_broken(&mut self, token: SlotToken, fault: SocketIoFault) -> Flow {
        self.break_off(token, fault);
        Flow::End
    }

    fn note_pong(&mut self, token: SlotToken, wire: Wire) {
        let Wire::SocketIo(mount) = wire else {
            return;
        };
        let due = self.tick.wrapping_add(self.clock(mount).interval);
        if let Some(slot) = self.table.get_mut(token)
            && slot.owes_pong()
        {
            slot.set_owes_pong(false);
            slot.ping_due = due;
        }
    }

    /// Sends the heartbeat that is due, or closes a transport whose client owes an answer.
    pub(super) fn sweep_socket_io(
        &mut self,
        token: SlotToken,
        mount: MountId,
        heartbeat: FrameRef,
    ) {
        let (tick, timeout) = (self.tick, self.clock(mount).timeout);
        let Some(slot) = self.table.get_mut(token) else {
            return;
        };
        let is_due = (tick.wrapping_sub(slot.ping_due) as i16) >= 0;
        if !is_due || slot.owner() == Owner::Leaving || slot.probes() {
            return;
        }
        if slot.owes_pong() {
            self.io.idle_closed += 1;
            return self.close(token, CloseCode::GOING_AWAY, "");
        }
        slot.set_owes_pong(true);
        slot.ping_due = tick.wrapping_add(timeout);
        self.post(token, heartbeat, Lane::Fanout);
    }
}
