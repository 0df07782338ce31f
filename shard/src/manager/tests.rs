//! The hub's rules, with an outlet that writes down what it is told: no runtime, no sockets.

mod envelopes;
mod forwarding;
mod publications;
mod rooms;
mod rpc;
mod siblings;
mod storing;

use std::collections::{BTreeMap, BTreeSet};

use actix_http::ws::Parser;
use bytes::BytesMut;
use dormouse_protocol::{Attachment, AuthState, CloseCode, ConnectionId, Labels};
use serde_json::Value;

use super::outlet::Outlet;
use super::state::{Deferred, State};
use crate::application::{Application, EventOutcome, EventReply, EventRequest};
use crate::frame::Frame;
use crate::message::HubMessage;
use crate::mount::Wire;
use crate::name::ShardName;
use crate::settings::ShardSettings;
use crate::sockets::Lane;
use crate::table::SlotToken;
use crate::turn::{FrameRef, Turn};

/// When the tests' clock begins, Unix ms.
const START: u64 = 1_700_000_000_000;

/// Writes down what it is told.
#[derive(Default)]
struct Notes {
    now: u64,
    turn: Turn,
    written: Vec<(SlotToken, String, Lane, bool)>,
    /// Connections that take nothing any more.
    closing: BTreeSet<u64>,
    closed: Vec<(SlotToken, CloseCode)>,
    bad_frames: BTreeMap<u64, u8>,
    silence: BTreeMap<u64, u64>,
    has_siblings: bool,
    told: Vec<(Option<u16>, HubMessage)>,
}

impl Outlet for Notes {
    fn now(&self) -> u64 {
        self.now
    }

    fn hold(&mut self, frame: Frame) -> FrameRef {
        self.turn.hold(frame)
    }

    fn release(&mut self, frame: FrameRef) {
        self.turn.release(frame);
    }

    fn post(&mut self, to: SlotToken, frame: FrameRef, lane: Lane) -> bool {
        if self.closing.contains(&to.to_bits()) {
            return false;
        }
        let frame = self.turn.frame(frame);
        let mut bytes = BytesMut::from(frame.bytes());
        let (_, _, payload) = Parser::parse(&mut bytes, false, usize::MAX)
            .unwrap()
            .unwrap();
        let json = String::from_utf8(payload.unwrap_or_default().to_vec()).unwrap();
        self.written.push((to, json, lane, frame.is_droppable()));
        true
    }

    fn close(&mut self, connection: SlotToken, code: CloseCode, _: &str) {
        self.closing.insert(connection.to_bits());
        self.closed.push((connection, code));
    }

    fn wire(&self, _: SlotToken) -> Wire {
        Wire::Plain
    }

    fn count_bad_frame(&mut self, from: SlotToken) -> u8 {
        let count = self.bad_frames.entry(from.to_bits()).or_default();
        *count += 1;
        *count
    }

    fn forgive_bad_frames(&mut self, from: SlotToken) {
        self.bad_frames.remove(&from.to_bits());
    }

    fn silence(&self, connection: SlotToken) -> u64 {
        self.silence
            .get(&connection.to_bits())
            .copied()
            .unwrap_or(0)
    }

    fn has_siblings(&self) -> bool {
        self.has_siblings
    }

    fn tell_siblings(&mut self, message: HubMessage) {
        self.told.push((None, message));
    }

    fn tell_sibling(&mut self, number: u16, message: HubMessage) {
        self.told.push((Some(number), message));
    }
}

/// Takes `app-…` events.
struct TestApplication;

impl Application for TestApplication {
    fn handles(&self, _: &str, event: &str) -> bool {
        event.starts_with("app-")
    }

    fn handle(&self, _: EventRequest) -> EventReply {
        EventReply::Now(EventOutcome::default())
    }

    fn machine_presence(&self, _: &str, _: &str, _: bool) {}
}

/// A connection of the hub under test.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Peer {
    token: SlotToken,
    id: ConnectionId,
}

/// One shard of alice and all that happens around it.
struct Hub {
    state: State,
    out: Notes,
    settings: ShardSettings,
    peers: u64,
}

impl Hub {
    fn new() -> Self {
        Self::of_number(0)
    }

    fn of_number(number: u16) -> Self {
        let user = "alice".into();
        let out = Notes {
            now: START,
            ..Notes::default()
        };
        Self {
            state: State::new(ShardName { user, number }, START),
            out,
            settings: ShardSettings::default(),
            peers: 0,
        }
    }

    fn join(&mut self, labels: Labels) -> Peer {
        self.peers += 1;
        let token = SlotToken::from_bits(self.peers);
        let id = ConnectionId::random();
        let attachment = Attachment {
            connection_id: id,
            user_id: "alice".into(),
            labels,
            connected_at: self.out.now,
            last_activity_at: self.out.now,
            auth_state: AuthState::Legacy,
            token_hash: None,
            rooms: Default::default(),
            is_foreground: false,
        };
        self.state.join(token, Wire::Plain, Box::new(attachment));
        Peer { token, id }
    }

    fn user(&mut self) -> Peer {
        self.join(Labels::new(None, None, None).unwrap())
    }

    fn session(&mut self, session: &str) -> Peer {
        self.join(Labels::new(Some("session-scoped"), Some(session), None).unwrap())
    }

    fn machine(&mut self, machine: &str) -> Peer {
        self.join(Labels::new(Some("machine-scoped"), None, Some(machine)).unwrap())
    }

    /// A peer says something that is dealt with at once.
    #[track_caller]
    fn say(&mut self, from: Peer, text: &str) {
        let deferred = self.say_deferred(from, text);
        assert!(deferred.is_none(), "{deferred:?}");
    }

    /// A peer says something; returns what has to wait.
    fn say_deferred(&mut self, from: Peer, text: &str) -> Option<Deferred> {
        let (state, out) = (&mut self.state, &mut self.out);
        let deferred = state.receive(
            from.token,
            Wire::Plain,
            text,
            &self.settings,
            &TestApplication,
            out,
        );
        assert_eq!(self.out.turn.held(), 0, "every hold is released");
        deferred
    }

    /// What a peer has got since the last call, as JSON.
    fn got(&mut self, peer: Peer) -> Vec<Value> {
        let mut got = Vec::new();
        self.out.written.retain(|(to, json, ..)| {
            let is_its = *to == peer.token;
            if is_its {
                got.push(serde_json::from_str(json).unwrap());
            }
            !is_its
        });
        got
    }

    /// The one message that a peer has got since the last call.
    #[track_caller]
    fn got_one(&mut self, peer: Peer) -> Value {
        let mut got = self.got(peer);
        assert_eq!(got.len(), 1, "{got:?}");
        got.remove(0)
    }

    /// Nobody has got anything that was not looked at.
    #[track_caller]
    fn all_seen(&self) {
        assert_eq!(self.out.written, []);
    }

    /// Who has got something since the last call.
    fn reached(&mut self) -> Vec<SlotToken> {
        let mut reached: Vec<_> = self.out.written.drain(..).map(|(to, ..)| to).collect();
        reached.sort_by_key(|token| token.to_bits());
        reached
    }

    fn leave(&mut self, peer: Peer) {
        assert!(self.state.leave(peer.token, &mut self.out).is_some());
    }

    fn last_activity(&mut self, peer: Peer) -> u64 {
        let member = self.state.members().get(peer.token).unwrap();
        member.attachment.last_activity_at
    }
}
