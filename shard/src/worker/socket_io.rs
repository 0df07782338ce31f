//! Socket.IO connections on their way in: CONNECT, and the change from polling to WebSocket
//! (Socket.IO contract, sections 2, 3 and 5).

use std::sync::Arc;

use bytestring::ByteString;
use dormouse_protocol::CloseCode;
use dormouse_protocol::socket_io::{self, SocketIoFault};
use tokio::time::Instant;

use super::Worker;
use crate::arrival::{Arrival, Greeting};
use crate::command::Command;
use crate::frame::Frame;
use crate::lobby::MOST_WAITING;
use crate::mount::{ConnectRefusal, Entrant, Wire};
use crate::polling::PollSession;
use crate::table::{Owner, Slot, SlotToken};

impl Worker {
    /// An event of a Socket.IO client that is not connected: it may wait for the outcome of a
    /// CONNECT, otherwise it breaks the protocol.
    pub(super) fn hear_early_event(&self, token: SlotToken, text: ByteString) {
        let mut lobby = self.lobby.borrow_mut();
        let Some(guest) = lobby.get_mut(token) else {
            return;
        };
        let is_judged = guest.connecting.as_ref().is_some_and(|it| it.is_judged);
        if is_judged && guest.waiting.len() < MOST_WAITING {
            guest.waiting.push(text);
            return;
        }
        self.sockets
            .borrow_mut()
            .break_off(token, SocketIoFault::NotConnected);
    }

    pub(super) fn hear_connect(&self, token: SlotToken, wire: Wire, auth: Option<&str>) {
        let Wire::SocketIo(mount) = wire else {
            return;
        };
        let mut lobby = self.lobby.borrow_mut();
        let connecting = lobby
            .get_mut(token)
            .and_then(|guest| guest.connecting.as_mut());
        let (Some(connecting), Some(mount)) = (connecting, self.common.mounts.get(mount)) else {
            return;
        };
        if std::mem::replace(&mut connecting.is_judged, true) {
            drop(lobby);
            self.sockets
                .borrow_mut()
                .break_off(token, SocketIoFault::Packet);
            return;
        }
        let query = connecting.query.clone();
        drop(lobby);
        let inbox = self.inbox();
        let done = Box::new(move |outcome: Result<Entrant, ConnectRefusal>| {
            // The worker may have stopped meanwhile.
            let _ = inbox.send(Command::Judged(token, outcome.map(Box::new)));
        });
        mount.gate.connect(auth, &query, done);
    }

    /// A CONNECT is judged: its connection goes to its shard, or is told why not and stays until
    /// its deadline.
    pub(super) fn judged(&self, token: SlotToken, outcome: Result<Box<Entrant>, ConnectRefusal>) {
        let entrant = match outcome {
            Ok(entrant) => *entrant,
            Err(ConnectRefusal::Refused(reason)) => {
                self.count(|counters| *counters.lobby_refused.entry("connect").or_default() += 1);
                return self.refuse_connect(token, &reason);
            }
            Err(ConnectRefusal::Unavailable) => {
                let code = CloseCode::RESTART;
                return self.sockets.borrow_mut().close(token, code, code.reason());
            }
        };
        let Some(guest) = self.lobby.borrow_mut().leave(token) else {
            return;
        };
        let Some(slot) = self.sockets.borrow_mut().detach(token) else {
            return;
        };
        let user = entrant.claim.user.clone();
        let arrival = Arrival {
            slot,
            claim: entrant.claim,
            labels: entrant.labels,
            rooms: entrant.rooms,
            auth_state: entrant.auth_state,
            is_foreground: entrant.is_foreground,
            connected_at: guest.connected_at,
            started: guest.started,
            greeting: Greeting::Connect(Box::new(guest)),
        };
        self.send_home(&user, Command::Admit(Box::new(arrival)));
    }

    /// Answers a CONNECT with CONNECT_ERROR; the client may send another.
    pub(super) fn refuse_connect(&self, token: SlotToken, reason: &str) {
        let mut lobby = self.lobby.borrow_mut();
        if let Some(guest) = lobby.get_mut(token) {
            guest.waiting.clear();
            if let Some(connecting) = &mut guest.connecting {
                connecting.is_judged = false;
            }
            let refusal = socket_io::connect_error(socket_io::ROOT, reason);
            self.sockets
                .borrow_mut()
                .send(token, Frame::packet(&refusal));
        }
    }

    /// Takes in a WebSocket that is tried for a session that polls.
    pub(super) fn probe(&self, session: Arc<PollSession>, mut slot: Slot, accept: bytes::Bytes) {
        slot.set_owner(Owner::Lobby);
        slot.set_wire(Wire::SocketIo(session.mount()));
        slot.set_probes(true);
        let time = self.common.mounts.get(session.mount());
        let time = time.map_or_else(Default::default, |mount| mount.upgrade_deadline);
        let mut sockets = self.sockets.borrow_mut();
        match sockets.insert(slot) {
            Ok(token) => {
                sockets.send(token, Frame::raw(accept));
                let deadline = Instant::now() + time;
                self.lobby
                    .borrow_mut()
                    .enter_probe(token, session, deadline);
            }
            Err(err) => {
                tracing::error!(%err, "cannot watch a socket; its upgrade is dropped");
                session.give_up_change();
            }
        }
    }

    /// The client has changed to the WebSocket: it goes to the session's worker.
    pub(super) fn hear_upgrade(&self, token: SlotToken) {
        let Some(session) = self.lobby.borrow_mut().leave_probe(token) else {
            return;
        };
        let Some(mut slot) = self.sockets.borrow_mut().detach(token) else {
            return session.give_up_change();
        };
        slot.set_probes(false);
        match session.change_to(Box::new(slot)) {
            Ok(()) => self.polled(session),
            Err((slot, last_words)) => self.say_last(*slot, last_words),
        }
    }

    /// A session that polls has something for its worker, which may be another by now. On its way
    /// to one, what it has waits.
    pub(super) fn polled(&self, session: Arc<PollSession>) {
        match session.place() {
            Some((worker, token)) if worker == self.index => {
                self.sockets.borrow_mut().read_later(token);
                self.posted.notify_one();
            }
            Some((worker, _)) => {
                // A worker that is gone has closed its connections.
                let _ = self.common.inboxes[worker].send(Command::Polled(session));
            }
            None => {}
        }
    }
}
