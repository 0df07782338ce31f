//! The end of a connection (RFC 6455 section 7).
//!
//! The owner loses a connection when its close begins, so that it counts and receives nothing
//! from then on. The socket stays until the close frame is read: to close it with input unread
//! would make the kernel reset it, and the peer would lose the frame that says why.

use std::io;

use bytes::Bytes;
use dormouse_protocol::{CloseCode, socket_io};
use tokio::time::Instant;

use super::{LINGER, Sockets};
use crate::frame::Frame;
use crate::mount::Wire;
use crate::table::{Owner, Slot, SlotToken};

impl Sockets {
    /// Closes a connection with a code and a reason, then waits a little for the peer to agree.
    pub fn close(&mut self, token: SlotToken, code: CloseCode, reason: &str) {
        let frame = match self.wire(token) {
            Wire::Plain => Frame::close(code, reason),
            // Socket.IO clients see 1005 whatever the reason (Socket.IO contract, section 2).
            Wire::SocketIo(_) => Frame::empty_close(),
        };
        self.begin_close(token, code, frame);
    }

    /// Closes a connection on somebody's word. Socket.IO clients come back by themselves unless
    /// they are told not to, so they are, but for codes that ask them to come back.
    pub fn kick(&mut self, token: SlotToken, code: CloseCode, reason: &str) {
        let comes_back = [
            CloseCode::GOING_AWAY,
            CloseCode::RESTART,
            CloseCode::SLOW_CONSUMER,
        ];
        if self.wire(token).is_socket_io() && !comes_back.contains(&code) {
            self.send(token, Frame::packet(&socket_io::disconnected()));
        }
        self.close(token, code, reason);
    }

    /// Echoes the peer's close frame.
    pub(super) fn answer_close(&mut self, token: SlotToken, code: Option<CloseCode>) {
        self.note_hang_up(token);
        let frame = code.map_or_else(Frame::empty_close, |code| Frame::close(code, ""));
        self.begin_close(token, CloseCode::NORMAL, frame);
    }

    /// Takes a socket in only to write these bytes and close it: a handshake that is refused.
    ///
    /// # Errors
    /// When the kernel refuses to watch it.
    pub fn say_last(&mut self, mut slot: Slot, bytes: Bytes) -> io::Result<()> {
        slot.set_owner(Owner::Leaving);
        slot.partial = None;
        let token = self.insert(slot)?;
        let held = self.turn.hold(Frame::raw(bytes));
        if let Some(slot) = self.table.get_mut(token) {
            self.turn.append(&mut slot.head, &mut slot.tail, held);
            self.replies.push_back(token);
        }
        self.turn.release(held);
        self.lingering.push_back((Instant::now() + LINGER, token));
        Ok(())
    }

    fn begin_close(&mut self, token: SlotToken, code: CloseCode, frame: Frame) {
        self.take_change(token);
        let Some(slot) = self.table.get_mut(token) else {
            return;
        };
        let (id, owner) = (slot.id, slot.owner());
        if owner == Owner::Leaving {
            return;
        }
        self.io.count_close(code);
        if slot.socket.is_none() {
            return self.end_polling(token, id, owner);
        }
        slot.partial = None;
        if let Some(outbox) = &mut slot.outbox {
            // A reader that is too slow would not live to see the frame behind megabytes.
            if code == CloseCode::SLOW_CONSUMER {
                let dropped = outbox.keep_begun() as u64;
                if owner == Owner::Subscriber {
                    self.io.events_dropped += dropped;
                }
            }
            outbox.push_unbounded(frame);
            slot.set_owner(Owner::Leaving);
        } else {
            // Appended past the rule that a leaving connection is posted nothing: this is its last.
            slot.set_owner(Owner::Leaving);
            let held = self.turn.hold(frame);
            if self.turn.append(&mut slot.head, &mut slot.tail, held) == 1 {
                self.replies.push_back(token);
            }
            self.turn.release(held);
        }
        self.lingering.push_back((Instant::now() + LINGER, token));
        self.note_end(token, id, owner);
    }

    /// Goes on once everything is written: gone if the peer agreed, else half-closed.
    pub(super) fn finish_leaving(&mut self, token: SlotToken) {
        let Some(slot) = self.table.get(token) else {
            return;
        };
        if slot.outbox.is_some() || slot.head != crate::table::NONE {
            return;
        }
        if let Some(socket) = &slot.socket {
            // The peer may be gone already; there is nobody to tell.
            let _ = rustix::net::shutdown(socket, rustix::net::Shutdown::Write);
        }
        if slot.peer_closed() {
            self.take(token);
        } else {
            self.watch_output(token, false);
        }
    }

    /// The socket is at its end or broken: nothing can be said any more.
    pub(super) fn peer_gone(&mut self, token: SlotToken) {
        if let Some(slot) = self.take(token)
            && slot.owner() != Owner::Leaving
        {
            self.io.count_abnormal();
            self.note_end(token, slot.id, slot.owner());
        }
    }

    /// A write failed: nothing more can be said, but what the peer said before it went may still
    /// wait to be read. The connection is gone once that is done.
    pub(super) fn write_failed(&mut self, token: SlotToken) {
        let Some(slot) = self.table.get_mut(token) else {
            return;
        };
        if slot.owner() == Owner::Leaving {
            return self.peer_gone(token);
        }
        slot.note_peer_closed();
        while let Some(frame) = self.turn.pop(&mut slot.head, &mut slot.tail) {
            self.turn.release(frame);
        }
        if slot.outbox.take().is_some() {
            self.backlogged -= 1;
        }
        self.read_later(token);
    }

    /// Removes connections that did not agree to close in time; returns when to look next.
    pub fn end_lingering(&mut self, now: Instant) -> Option<Instant> {
        while let Some((deadline, session)) = self.over.front() {
            if *deadline > now {
                break;
            }
            session.forget();
            self.over.pop_front();
        }
        while let Some((deadline, token)) = self.lingering.front().copied() {
            let is_over = self.table.get(token).is_none();
            if !is_over && deadline > now {
                return Some(deadline);
            }
            self.lingering.pop_front();
            self.take(token);
        }
        None
    }

    /// Removes every connection at once, without a word.
    pub fn abort_all(&mut self) {
        let tokens: Vec<SlotToken> = self.table.iter().map(|(token, _)| token).collect();
        for token in tokens {
            self.take(token);
        }
    }
}
