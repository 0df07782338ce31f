//! Connections of this worker that poll, and their change to a WebSocket.

use dormouse_protocol::{CloseCode, ConnectionId};
use tokio::time::Instant;

use super::reading::Flow;
use super::{Inbound, LINGER, Partial, Sockets};
use crate::outbox::Outbox;
use crate::table::{Owner, Slot, SlotToken};

impl Sockets {
    /// Gives what was posted to a connection that polls to its session.
    pub(super) fn flush_polling(&mut self, token: SlotToken) {
        let Some(slot) = self.table.get_mut(token) else {
            return;
        };
        let (mut head, mut tail) = (slot.head, slot.tail);
        (slot.head, slot.tail) = (crate::table::NONE, crate::table::NONE);
        let Some(session) = slot.session().cloned() else {
            return;
        };
        let limits = self.of_users.outbox;
        let turn = &mut self.turn;
        let mut count = 0;
        let frames = std::iter::from_fn(|| {
            let held = turn.pop(&mut head, &mut tail)?;
            let frame = turn.frame(held).clone();
            turn.release(held);
            count += 1;
            Some(frame)
        });
        let result = session.push(frames, limits);
        self.io.frames_out += count;
        match result {
            Ok(dropped) => self.io.ephemerals_dropped += u64::from(dropped),
            Err(_) => {
                self.io.slow_consumers += 1;
                self.close(token, CloseCode::SLOW_CONSUMER, "");
            }
        }
    }

    /// Ends a connection that polls: what is queued for it is fetched by the `GET` that is held or
    /// the next.
    pub(super) fn end_polling(&mut self, token: SlotToken, id: ConnectionId, owner: Owner) {
        self.flush_polling(token);
        let Some(slot) = self.take(token) else {
            return;
        };
        if let Some(session) = slot.session() {
            session.end();
            self.over
                .push_back((Instant::now() + LINGER, session.clone()));
        }
        self.note_end(token, id, owner);
    }

    /// Takes what HTTP has brought for a connection that polls.
    pub(super) fn read_polling(&mut self, token: SlotToken, _now: u64, inbox: &mut Vec<Inbound>) {
        let Some(slot) = self.table.get_mut(token) else {
            return;
        };
        let wire = slot.wire();
        let Some(session) = slot.session().cloned() else {
            return;
        };
        let taken = session.take();
        let most = self.clock(session.mount()).message_bytes;
        for packet in taken.packets {
            self.io.bytes_in += packet.len() as u64;
            let Some(owner) = self.admit_frame(token) else {
                return;
            };
            let Some(partial) = self
                .table
                .get_mut(token)
                .and_then(|slot| slot.partial.as_mut())
            else {
                return;
            };
            let received =
                dormouse_protocol::socket_io::text(&mut partial.attachments, &packet, most);
            if self.take_received(token, owner, wire, received, inbox) == Flow::End {
                return;
            }
        }
        if taken.is_to_close {
            return self.close(token, CloseCode::NORMAL, "");
        }
        self.take_change(token);
    }

    /// Changes a connection that polls to its WebSocket, if it has one.
    pub(super) fn take_change(&mut self, token: SlotToken) {
        let session = self.table.get(token).and_then(Slot::session).cloned();
        let Some(session) = session.filter(|session| session.has_changed()) else {
            return;
        };
        // What was posted goes out behind what is queued.
        self.flush_one(token);
        if let Some((socket, outbox)) = session.take_change() {
            self.change_to_socket(token, *socket, outbox);
        }
    }

    /// From now on a connection that polled is this WebSocket's; what was queued goes out first.
    fn change_to_socket(&mut self, token: SlotToken, socket: Slot, outbox: Outbox) {
        let Some(slot) = self.table.get_mut(token) else {
            return;
        };
        let Some(descriptor) = socket.socket else {
            return;
        };
        let attachments = slot.partial.take().and_then(|partial| partial.attachments);
        let early = socket.partial.map(|partial| *partial).unwrap_or_default();
        let partial = Partial {
            attachments,
            ..early
        };
        slot.partial = (!partial.is_empty()).then(|| Box::new(partial));
        slot.outbox = (!outbox.is_empty()).then(|| Box::new(outbox));
        let is_backlogged = slot.outbox.is_some();
        let added = self.poller.add(&descriptor, token);
        slot.socket = Some(descriptor);
        self.polling -= 1;
        self.backlogged += usize::from(is_backlogged);
        if let Err(err) = added {
            tracing::error!(%err, "cannot watch a socket; its connection is dropped");
            return self.peer_gone(token);
        }
        if is_backlogged {
            self.watch_output(token, true);
            self.write_on(token);
        }
        // Its bytes may have come before it was watched.
        self.read_later(token);
    }
}
