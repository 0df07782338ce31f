//! The lobby's rules in action (realtime contract, section 2.4). What Socket.IO connections say
//! there is in `worker/socket_io.rs`.

use std::rc::Rc;

use bytestring::ByteString;
use dormouse_protocol::{AuthState, CloseCode, Rooms, frames};
use tokio::time::Instant;

use super::admin::STOPPING;
use super::{Worker, unix_ms};
use crate::arrival::{Arrival, Claim, Greeting, Newcomer};
use crate::command::Command;
use crate::frame::Frame;
use crate::lobby::{self, Connecting, FirstMessage, Guest, MOST_WAITING};
use crate::mount::Wire;
use crate::sockets::Said;
use crate::table::{Owner, SlotToken};

impl Worker {
    /// Takes in a connection that has yet to authenticate.
    pub(super) fn wait(&self, newcomer: Newcomer) {
        let Newcomer {
            mut slot,
            labels,
            accept,
            connected_at,
            started,
            permit,
            socket_io,
        } = newcomer;
        slot.set_owner(Owner::Lobby);
        let mut time = self.settings().auth_deadline;
        if let Some((mount, _)) = &socket_io {
            slot.set_wire(Wire::SocketIo(*mount));
            if let Some(mount) = self.common.mounts.get(*mount) {
                time = mount.connect_deadline;
            }
        }
        let mut sockets = self.sockets.borrow_mut();
        match sockets.insert(slot) {
            Ok(token) => {
                if !accept.is_empty() {
                    sockets.send(token, Frame::raw(accept));
                }
                if self.draining.get() {
                    return sockets.close(token, CloseCode::GOING_AWAY, STOPPING);
                }
                let guest = Guest {
                    connected_at,
                    started,
                    deadline: started + time,
                    connecting: socket_io.map(|(_, query)| Connecting {
                        query,
                        is_judged: false,
                    }),
                    labels,
                    wish: None,
                    waiting: Vec::new(),
                    permit,
                };
                self.lobby.borrow_mut().enter(token, guest);
            }
            Err(err) => tracing::error!(%err, "cannot watch a socket; its connection is dropped"),
        }
    }

    /// What a guest says.
    pub(super) fn hear_guest(self: &Rc<Self>, token: SlotToken, wire: Wire, said: Said) {
        match (said, wire) {
            (Said::Message(text), Wire::Plain) => self.hear_first_message(token, text),
            (Said::Message(text), Wire::SocketIo(_)) => self.hear_early_event(token, text),
            (Said::Connect(auth), _) => self.hear_connect(token, wire, auth.as_deref()),
            (Said::Probe, _) => {
                if let Some(session) = self.lobby.borrow().probe(token) {
                    session.probed();
                    let answer = Frame::packet("3probe");
                    self.sockets.borrow_mut().send(token, answer);
                }
            }
            (Said::Upgrade, _) => self.hear_upgrade(token),
        }
    }

    /// Somebody who was in the lobby is gone.
    pub(super) fn left_lobby(&self, token: SlotToken) {
        let mut lobby = self.lobby.borrow_mut();
        drop(lobby.leave(token));
        if let Some(session) = lobby.leave_probe(token) {
            session.give_up_change();
        }
    }

    /// The first messages of a guest of the plain transport.
    fn hear_first_message(self: &Rc<Self>, token: SlotToken, text: ByteString) {
        let mut lobby = self.lobby.borrow_mut();
        let Some(guest) = lobby.get_mut(token) else {
            return;
        };
        let now = unix_ms();
        if guest.wish.is_some() {
            if guest.waiting.len() < MOST_WAITING {
                guest.waiting.push(text);
            } else {
                let reason = "too many messages before authentication";
                self.sockets
                    .borrow_mut()
                    .close(token, CloseCode::POLICY, reason);
            }
            return;
        }
        match lobby::read(&text, &guest.labels) {
            FirstMessage::Auth {
                token: secret,
                wish,
            } => {
                guest.wish = Some(wish);
                drop(lobby);
                self.sockets.borrow_mut().forgive_bad_frames(token);
                let inbox = self.inbox();
                let done = Box::new(move |claim| {
                    // The worker may have stopped meanwhile.
                    let _ = inbox.send(Command::Verified(token, claim));
                });
                self.common.gate.verify(&secret, done);
            }
            FirstMessage::NotAuth(reason) => {
                let json = frames::auth_error(CloseCode::AUTH_FAILED, reason, now);
                let mut sockets = self.sockets.borrow_mut();
                sockets.forgive_bad_frames(token);
                sockets.send(token, Frame::text(&json));
            }
            FirstMessage::NoEnvelope(err) => {
                let code = CloseCode::PROTOCOL_ERROR;
                let mut sockets = self.sockets.borrow_mut();
                sockets.send(
                    token,
                    Frame::text(&frames::error(code, &err.to_string(), now)),
                );
                if sockets.count_bad_frame(token) >= self.settings().bad_frames {
                    let reason = "too many messages in a row that are no envelope";
                    sockets.close(token, code, reason);
                }
            }
        }
    }

    /// The token of a guest is verified: it goes to its shard, or out.
    pub(super) fn verified(&self, token: SlotToken, claim: Option<Claim>) {
        let Some(guest) = self.lobby.borrow_mut().leave(token) else {
            return;
        };
        let (Some(claim), Some(wish)) = (claim, guest.wish) else {
            return self.turn_away(token, CloseCode::AUTH_FAILED, "invalid or expired token");
        };
        let labels = match wish {
            Ok(labels) => labels,
            Err(err) => return self.turn_away(token, lobby::close_code(err), &err.to_string()),
        };
        let Some(slot) = self.sockets.borrow_mut().detach(token) else {
            return;
        };
        let user = claim.user.clone();
        let arrival = Arrival {
            slot,
            claim,
            labels,
            rooms: Rooms::default(),
            auth_state: AuthState::Authenticated,
            is_foreground: false,
            connected_at: guest.connected_at,
            started: guest.started,
            greeting: Greeting::Late {
                waiting: guest.waiting,
            },
        };
        self.send_home(&user, Command::Admit(Box::new(arrival)));
    }

    /// Turns away the guests whose deadline has passed.
    pub(super) fn turn_away_overdue(&self, now: Instant) {
        loop {
            let overdue = self.lobby.borrow_mut().overdue(now);
            let Some(token) = overdue else {
                return;
            };
            let is_plain = self.sockets.borrow().wire(token) == Wire::Plain;
            self.left_lobby(token);
            if is_plain {
                self.turn_away(token, CloseCode::AUTH_TIMEOUT, "no authentication in time");
            } else {
                let code = CloseCode::AUTH_TIMEOUT;
                self.sockets.borrow_mut().close(token, code, code.reason());
            }
        }
    }

    fn turn_away(&self, token: SlotToken, code: CloseCode, reason: &str) {
        self.count(|counters| *counters.lobby_refused.entry(code.label()).or_default() += 1);
        let mut sockets = self.sockets.borrow_mut();
        sockets.send(
            token,
            Frame::text(&frames::auth_error(code, reason, unix_ms())),
        );
        sockets.close(token, code, reason);
    }
}
