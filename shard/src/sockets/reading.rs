//! From readable sockets to messages.

use bytes::BytesMut;
use dormouse_protocol::envelope::EXACT_PING;
use dormouse_protocol::{CloseCode, frames};
use rustix::io::Errno;
use rustix::net::RecvFlags;

use super::socket_io::clock;
use super::{Inbound, Lane, Said, Sockets, TICK, UNREAD_PER_TURN};
use crate::frame::Frame;
use crate::intake::{self, Incoming, IntakeFault, Partial};
use crate::mount::Wire;
use crate::table::{Owner, Slot, SlotToken};

/// How reading goes on after an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Flow {
    /// With the next.
    On,
    /// Not now: what is left belongs to another state of the connection.
    Pause,
    /// Not at all: the connection is closing.
    End,
}

impl Sockets {
    /// Reads a ready socket; messages for owners go to `inbox`. One that has more than its share is
    /// read on by [`Sockets::read_again`], and not before.
    pub fn read(&mut self, token: SlotToken, now: u64, inbox: &mut Vec<Inbound>) {
        let Some(slot) = self.table.get(token).filter(|slot| !slot.is_unread()) else {
            return;
        };
        if slot.session().is_some() {
            return self.read_polling(token, now, inbox);
        }
        if slot.partial.is_some() {
            self.feed(token, 0, now, inbox);
        }
        let received = loop {
            let Some(socket) = self.table.get(token).and_then(|slot| slot.socket.as_ref()) else {
                return;
            };
            match rustix::net::recv(socket, &mut self.scratch[..], RecvFlags::DONTWAIT) {
                Err(Errno::INTR) => {}
                received => break received,
            }
        };
        match received {
            Ok((0, _)) => self.peer_gone(token),
            Ok((count, _)) => {
                self.io.bytes_in += count as u64;
                self.feed(token, count, now, inbox);
                // A short read means drained; the next edge reports what comes later. A FIN that has
                // come with these bytes has been reported already.
                let is_short = count < self.scratch.len();
                if !is_short || self.table.get(token).is_some_and(Slot::peer_closed) {
                    self.read_later(token);
                }
            }
            // A peer that has sent its FIN is read to zero, so this one took no output.
            Err(Errno::AGAIN) if self.is_half_gone(token) => self.peer_gone(token),
            Err(Errno::AGAIN) => {}
            Err(_) => self.peer_gone(token),
        }
    }

    /// Has a socket read before the next wait, when it is its turn.
    pub fn read_later(&mut self, token: SlotToken) {
        if let Some(slot) = self.table.get_mut(token)
            && !slot.is_unread()
        {
            slot.set_unread(true);
            self.unread.push_back(token);
        }
    }

    fn is_half_gone(&self, token: SlotToken) -> bool {
        self.table
            .get(token)
            .is_some_and(|slot| slot.peer_closed() && slot.owner() != Owner::Leaving)
    }

    /// Whether some sockets are not read to their end.
    pub fn has_unread(&self) -> bool {
        !self.unread.is_empty()
    }

    /// Goes on reading where [`Sockets::read`] stopped, some sockets in each turn.
    pub fn read_again(&mut self, now: u64, inbox: &mut Vec<Inbound>) {
        for _ in 0..self.unread.len().min(UNREAD_PER_TURN) {
            let Some(token) = self.unread.pop_front() else {
                return;
            };
            if let Some(slot) = self.table.get_mut(token) {
                slot.set_unread(false);
            }
            self.read(token, now, inbox);
        }
    }

    /// Notes that the peer has sent its FIN, so that reading goes on to the end.
    pub fn note_hang_up(&mut self, token: SlotToken) {
        if let Some(slot) = self.table.get_mut(token) {
            slot.note_peer_closed();
        }
    }

    /// Parses `count` fresh bytes of the scratch buffer behind what the slot has kept.
    fn feed(&mut self, token: SlotToken, count: usize, now: u64, inbox: &mut Vec<Inbound>) {
        let Some(slot) = self.table.get(token) else {
            return;
        };
        let (wire, owner) = (slot.wire(), slot.owner());
        let most = match wire {
            Wire::Plain => self.bounds(owner).message_bytes,
            Wire::SocketIo(mount) => clock(&self.mounts, mount).message_bytes,
        };
        let keeps_binary = wire.is_socket_io() || owner == Owner::Echo;
        let Some(slot) = self.table.get_mut(token) else {
            return;
        };
        let fresh = self.scratch.get(..count).unwrap_or_default();
        // Own bytes while something is incomplete, else the worker's buffer.
        let own = slot.partial.take();
        let is_own = own.is_some();
        let Partial {
            mut frame,
            mut ahead,
            mut message,
            mut attachments,
            polling,
        } = match own {
            Some(partial) => *partial,
            None => Partial {
                frame: std::mem::take(&mut self.buffer),
                ..Partial::default()
            },
        };
        frame.extend_from_slice(fresh);
        let mut flow = Flow::On;
        while flow == Flow::On {
            let next = intake::next(&mut frame, &mut ahead, &mut message, most, keeps_binary);
            flow = match (next, wire) {
                (Ok(Some(incoming)), Wire::Plain) => {
                    self.take_incoming(token, incoming, now, inbox)
                }
                (Ok(Some(incoming)), Wire::SocketIo(mount)) => {
                    self.take_socket_io(token, mount, incoming, &mut attachments, inbox)
                }
                (Ok(None), _) => break,
                (Err(fault), _) => {
                    self.refuse(token, fault);
                    Flow::End
                }
            };
        }
        let left =
            flow != Flow::End && (!frame.is_empty() || message.is_some() || attachments.is_some());
        if left && let Some(slot) = self.table.get_mut(token) {
            let frame = if is_own {
                std::mem::take(&mut frame)
            } else {
                BytesMut::from(&frame[..])
            };
            slot.partial = Some(Box::new(Partial {
                frame,
                ahead,
                message,
                attachments,
                polling,
            }));
        }
        if !is_own {
            frame.clear();
            self.buffer = frame;
        }
    }

    /// Handles one event of the plain transport.
    fn take_incoming(
        &mut self,
        token: SlotToken,
        incoming: Incoming,
        now: u64,
        inbox: &mut Vec<Inbound>,
    ) -> Flow {
        let owner = match self.admit(token, &incoming) {
            Ok(owner) => owner,
            Err(flow) => return flow,
        };
        match incoming {
            Incoming::Message(text) if owner == Owner::Echo => return self.echo_text(token, &text),
            Incoming::Binary(bytes) if owner == Owner::Echo => self.echo_binary(token, &bytes),
            Incoming::Message(payload) | Incoming::Binary(payload) => {
                if payload[..] == *EXACT_PING && matches!(owner, Owner::Shard(_)) {
                    self.answer_ping(token, now);
                    return Flow::On;
                }
                match intake::text(&payload) {
                    Ok(text) => inbox.push(Inbound {
                        token,
                        owner,
                        wire: Wire::Plain,
                        said: Said::Message(text),
                    }),
                    Err(fault) => {
                        self.refuse(token, fault);
                        return Flow::End;
                    }
                }
            }
            Incoming::Ping(payload) => {
                self.send(token, Frame::pong(&payload));
            }
            Incoming::Pong | Incoming::Fragment => {}
            Incoming::Close(code) => {
                self.answer_close(token, code);
                return Flow::End;
            }
        }
        Flow::On
    }

    /// Counts an event against the connection's rate, and throws away what a closing one sends.
    ///
    /// # Errors
    /// How to go on, when the event is not to be handled.
    pub(super) fn admit(&mut self, token: SlotToken, incoming: &Incoming) -> Result<Owner, Flow> {
        match self.admit_frame(token) {
            Some(Owner::Leaving) => {
                // Only the answer to our close frame is of interest.
                if let Incoming::Close(_) = incoming {
                    self.note_hang_up(token);
                    self.finish_leaving(token);
                    return Err(Flow::End);
                }
                Err(Flow::On)
            }
            Some(owner) => Ok(owner),
            None => Err(Flow::End),
        }
    }

    /// Counts a frame against the connection's rate; `None` when the connection is gone or over.
    pub(super) fn admit_frame(&mut self, token: SlotToken) -> Option<Owner> {
        let tick = self.tick;
        let (per_second, burst) = (self.frames_per_second, self.frame_burst);
        let slot = self.table.get_mut(token)?;
        self.io.frames_in += 1;
        // What a closing connection sends is thrown away, and its end is near: no second verdict.
        if slot.owner() == Owner::Leaving {
            return Some(Owner::Leaving);
        }
        // Conformance tests send messages in many thousand fragments.
        if slot.owner() == Owner::Echo {
            slot.last_seen = tick;
            return Some(Owner::Echo);
        }
        let ticks = u32::from(tick.wrapping_sub(slot.last_seen));
        let refill = u64::from(ticks) * u64::from(per_second) * TICK.as_millis() as u64;
        // Rounded up: a rate under one frame per tick must not shut out who keeps to it.
        let refill = refill.div_ceil(1000);
        let allowance = (u64::from(slot.allowance) + refill).min(u64::from(burst)) as u16;
        slot.last_seen = tick;
        let Some(left) = allowance.checked_sub(1) else {
            self.io.rate_closed += 1;
            self.close(
                token,
                CloseCode::POLICY,
                "too many messages; slow down and reconnect",
            );
            return None;
        };
        slot.allowance = left;
        Some(slot.owner())
    }

    /// The exact ping is answered here, whether the shard is asleep or not: one encoding serves
    /// all pings of a millisecond.
    fn answer_ping(&mut self, token: SlotToken, now: u64) {
        if self.pong.0 != now {
            self.pong = (now, Frame::text(&frames::pong(now, None)));
        }
        self.io.pings += 1;
        let pong = self.turn.hold(self.pong.1.clone());
        self.post(token, pong, Lane::Reply);
        self.turn.release(pong);
    }

    pub(super) fn refuse(&mut self, token: SlotToken, fault: IntakeFault) {
        let is_open = |slot: &Slot| slot.owner() != Owner::Leaving;
        self.io.protocol_faults += u64::from(self.table.get(token).is_some_and(is_open));
        self.close(token, fault.close_code(), &fault.to_string());
    }
}
