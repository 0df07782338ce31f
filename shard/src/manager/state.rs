//! A hub's rules for one shard: who is in it, and what each message leads to.
//!
//! Plain data and functions; every effect goes through the [`Outlet`]. What has to wait for
//! others (other shards, the application) is returned as [`Deferred`] and carried out by the
//! actor.

use std::sync::Arc;

use ahash::AHashSet;
use dormouse_protocol::envelope::{Envelope, string};
use dormouse_protocol::event::APP_IN_FOREGROUND;
use dormouse_protocol::{Attachment, ClientType, CloseCode, ConnectionId, Filter, event, frames};
use serde::Deserialize;
use serde_json::value::RawValue;
use tokio::sync::mpsc;

use super::members::{Member, Members};
use super::outlet::Outlet;
use super::rpc::{HeldCall, Rpc};
use crate::application::{Application, EventOutcome, EventRequest, RoomChange};
use crate::frame::Frame;
use crate::message::{HubMessage, RpcFound, ShardDelivery};
use crate::mount::Wire;
use crate::name::ShardName;
use crate::publication::{Encoded, Publication, ReplyTo};
use crate::record::{self, Entry};
use crate::settings::ShardSettings;
use crate::sockets::{Lane, TICK};
use crate::store::{Changes, Loaded};
use crate::table::SlotToken;

/// What could not be finished at once.
#[derive(Debug)]
pub enum Deferred {
    /// The application takes the event.
    Application {
        /// Who asked.
        from: SlotToken,
        /// What for, and where the ack goes.
        request: EventRequest,
    },
    /// The ack of a broadcast waits for the counts of the user's other shards.
    Delivered {
        /// Who asked.
        from: SlotToken,
        /// Where to send the ack.
        correlation: Box<RawValue>,
        /// Deliveries in this shard.
        here: u64,
        /// Counts of the others.
        others: mpsc::UnboundedReceiver<ShardDelivery>,
    },
    /// A call waits for what the other shards find.
    Call {
        /// The call.
        call: HeldCall,
        /// Candidates here.
        here: Option<RpcFound>,
        /// Candidates elsewhere.
        others: mpsc::UnboundedReceiver<RpcFound>,
    },
}

/// One shard, awake.
pub struct State {
    pub(super) name: ShardName,
    pub(super) members: Members,
    pub(super) rpc: Option<Box<Rpc>>,
    /// Since when the attachments are in memory, Unix ms. What came while the shard slept does
    /// not count as activity (realtime contract, section 14).
    woke_at: u64,
    /// Records of this shard that the store may have. Never fewer while the shard is awake: one
    /// that could not be removed would come back as connections that nobody has.
    records: u16,
    /// Whether those records are right.
    pub(super) is_stored: bool,
}

impl State {
    /// A shard without connections that woke at `now`, Unix ms.
    pub fn new(name: ShardName, now: u64) -> Self {
        let members = Members::default();
        Self {
            name,
            members,
            rpc: None,
            woke_at: now,
            records: 0,
            is_stored: true,
        }
    }

    /// The shard's name.
    pub fn name(&self) -> &ShardName {
        &self.name
    }

    /// The connections.
    pub fn members(&self) -> &Members {
        &self.members
    }

    /// Takes a connection in.
    pub fn join(&mut self, token: SlotToken, wire: Wire, attachment: Box<Attachment>) {
        self.is_stored = false;
        self.members.insert(Member {
            token,
            wire,
            attachment,
        });
    }

    /// Takes stored connections in on waking. `connection` gives the id of a slot's connection, and
    /// how it speaks, as long as it is one of this shard; entries of others are passed over.
    pub fn restore(
        &mut self,
        loaded: Loaded,
        connection: impl Fn(SlotToken) -> Option<(ConnectionId, Wire)>,
    ) {
        self.records = u16::try_from(loaded.len()).unwrap_or(u16::MAX);
        for bytes in loaded {
            let entries = record::decode(&bytes);
            self.is_stored &= entries.is_some();
            for mut entry in entries.unwrap_or_default() {
                let token = SlotToken::from_bits(entry.token);
                let Some((id, wire)) = connection(token) else {
                    self.is_stored = false;
                    continue;
                };
                for (method, order) in std::mem::take(&mut entry.methods) {
                    self.rpc_mut().register(&method, token, order, usize::MAX);
                }
                let attachment = Box::new(entry.attachment(id, &self.name.user));
                self.members.insert(Member {
                    token,
                    wire,
                    attachment,
                });
            }
        }
    }

    /// What has to be stored before the shard may sleep; counts it as stored.
    pub fn changes_to_store(&mut self, out: &impl Outlet) -> Changes {
        self.note_activity(out);
        if std::mem::replace(&mut self.is_stored, true) {
            return Changes::new();
        }
        let mut methods = self
            .rpc
            .as_ref()
            .map_or_else(Default::default, |rpc| rpc.methods_by_connection());
        let entries: Vec<Entry> = self
            .members
            .iter()
            .map(|member| {
                let methods = methods.remove(&member.token).unwrap_or_default();
                Entry::new(member.token.to_bits(), &member.attachment, methods)
            })
            .collect();
        let mut changes: Changes = (0..)
            .zip(entries.chunks(record::PER_RECORD))
            .map(|(number, some)| (record::key(&self.name, number), Some(record::encode(some))))
            .collect();
        let now_stored = changes.len() as u16;
        changes.extend(
            (now_stored..self.records).map(|number| (record::key(&self.name, number), None)),
        );
        self.records = self.records.max(now_stored);
        changes
    }

    /// Takes back what [`State::changes_to_store`] has counted as stored.
    pub fn nothing_was_stored(&mut self) {
        self.is_stored = false;
    }

    /// Brings the times of last activity up to date with what the sockets have seen.
    fn note_activity(&mut self, out: &impl Outlet) {
        let now = out.now();
        // Silence is told in whole ticks: what seems to have come in the first may be older.
        let from = self.woke_at + TICK.as_millis() as u64;
        for member in self.members.iter_mut() {
            let last_seen = now.saturating_sub(out.silence(member.token));
            if last_seen >= from {
                self.is_stored &= !touch(member, last_seen);
            }
        }
    }

    /// Whether nothing here needs memory beyond the attachments.
    pub fn may_sleep(&self) -> bool {
        self.rpc.as_ref().is_none_or(|rpc| !rpc.has_open_calls())
    }

    /// Takes a connection out; ends what it called and what only it could answer.
    pub fn leave(&mut self, token: SlotToken, out: &mut impl Outlet) -> Option<Box<Attachment>> {
        let member = self.members.remove(token)?;
        let id = member.attachment.connection_id;
        self.is_stored = false;
        if let Some(rpc) = &mut self.rpc {
            for (call_id, call) in rpc.forget_connection(token) {
                self.cancel_targets(&call_id, &call, out);
            }
        }
        self.target_gone(id, out);
        if out.has_siblings() {
            out.tell_siblings(HubMessage::Gone(id));
        }
        Some(member.attachment)
    }

    /// Attachments as they are now.
    pub fn attachments(&mut self, out: &impl Outlet) -> Vec<Attachment> {
        self.note_activity(out);
        self.members
            .iter()
            .map(|member| Attachment::clone(&member.attachment))
            .collect()
    }

    /// Hands a frame to the connections of this shard that the filter chooses; returns how many.
    pub fn deliver(&self, filter: &Filter, frame: Frame, out: &mut impl Outlet) -> u64 {
        self.deliver_except(filter, None, frame, out)
    }

    /// As [`State::deliver`], leaving one connection out.
    fn deliver_except(
        &self,
        filter: &Filter,
        except: Option<ConnectionId>,
        frame: Frame,
        out: &mut impl Outlet,
    ) -> u64 {
        let frame = out.hold(frame);
        let mut delivered = 0;
        self.members.select(filter, |member| {
            if except != Some(member.attachment.connection_id) {
                delivered += u64::from(out.post(member.token, frame, Lane::Fanout));
            }
        });
        out.release(frame);
        delivered
    }

    /// Hands out this shard's part of a publication: the ack first, then the deliveries.
    pub fn publish(&self, publication: &Encoded, out: &mut impl Outlet) {
        if let Some((to, frame)) = &publication.ack
            && to.shard == self.name.number
            && let Some(member) = self.members.get(to.token)
            && member.attachment.connection_id == to.connection
        {
            let frame = out.hold(frame.clone());
            out.post(to.token, frame, Lane::Reply);
            out.release(frame);
        }
        for delivery in &publication.deliveries {
            let frame = delivery.frame.clone();
            self.deliver_except(&delivery.filter, delivery.except, frame, out);
        }
    }

    /// How many connections of this shard the filter chooses, of one client type or of all.
    pub fn count(&self, client_type: Option<ClientType>, filter: &Filter) -> u64 {
        let mut count = 0;
        self.members.select(filter, |member| {
            let own = member.attachment.labels.client_type;
            count += u64::from(client_type.is_none_or(|wanted| own == wanted));
        });
        count
    }

    /// Hands a frame to those connections of one client type that the filter chooses; returns how
    /// many.
    pub fn deliver_to_type(
        &self,
        client_type: ClientType,
        filter: &Filter,
        frame: Frame,
        out: &mut impl Outlet,
    ) -> u64 {
        let frame = out.hold(frame);
        let mut delivered = 0;
        for member in self.members.of_type(client_type) {
            if member.is_chosen_by(filter) {
                delivered += u64::from(out.post(member.token, frame, Lane::Fanout));
            }
        }
        out.release(frame);
        delivered
    }

    /// Hands a frame to connections by their ids; returns those that are not here any more.
    pub fn deliver_direct(
        &self,
        connections: &[ConnectionId],
        frame: Frame,
        out: &mut impl Outlet,
    ) -> Vec<ConnectionId> {
        let frame = out.hold(frame);
        let mut missing: AHashSet<ConnectionId> = connections.iter().copied().collect();
        for member in self.members.iter() {
            if missing.is_empty() {
                break;
            }
            if missing.remove(&member.attachment.connection_id) {
                out.post(member.token, frame, Lane::Reply);
            }
        }
        out.release(frame);
        missing.into_iter().collect()
    }

    /// Handles a client's message.
    pub fn receive(
        &mut self,
        from: SlotToken,
        wire: Wire,
        text: &str,
        settings: &ShardSettings,
        application: &dyn Application,
        out: &mut impl Outlet,
    ) -> Option<Deferred> {
        let now = out.now();
        let member = self.members.get_mut(from)?;
        self.is_stored &= !touch(member, now);
        let message = match Envelope::parse(text) {
            Ok(message) => message,
            Err(err) => {
                let in_a_row = out.count_bad_frame(from);
                let code = CloseCode::PROTOCOL_ERROR;
                out.send(from, &frames::error(code, &err.to_string(), now));
                if in_a_row >= settings.bad_frames {
                    out.close(
                        from,
                        code,
                        "too many messages in a row that are no envelope",
                    );
                }
                return None;
            }
        };
        out.forgive_bad_frames(from);
        if message.is_acknowledgement() {
            return None;
        }
        let handles = |name: &str| application.handles(&self.name.user, name);
        match &*message.event {
            name if application.is_enclosed(&self.name.user, wire)
                && !matches!(name, event::PING | event::RPC_RESPONSE)
                && !handles(name) => {}
            event::PING => {
                out.send(from, &frames::pong(now, message.correlation));
            }
            event::AUTH => ack(from, message.correlation, r#"{"ok":true}"#, out),
            event::BROADCAST => return self.broadcast(from, &message, out),
            event::RPC_REGISTER | event::RPC_UNREGISTER => {
                self.register(from, &message, settings, out);
            }
            event::RPC_CALL | event::RPC_REQUEST => {
                return self.call(from, wire, &message, settings, out);
            }
            event::APP_STATE => self.note_app_state(from, &message, out),
            event::RPC_RESPONSE => self.answer(from, &message, out),
            event::RPC_CANCEL => self.cancel(from, &message, out),
            // Socket.IO has no forwarding: unknown events are ignored (its contract, section 3).
            name if wire.is_socket_io() && !handles(name) => {}
            name if event::is_reserved(name) => {
                let value = r#"{"ok":false,"error":"reserved event name"}"#;
                ack(from, message.correlation, value, out);
            }
            name if handles(name) => {
                let attachment = &self.members.get(from)?.attachment;
                let connection = attachment.connection_id;
                let reply_to = message.correlation.map(|correlation| ReplyTo {
                    connection,
                    shard: self.name.number,
                    token: from,
                    correlation: correlation.to_owned().into(),
                });
                return Some(Deferred::Application {
                    from,
                    request: EventRequest {
                        user: self.name.user.clone(),
                        connection,
                        labels: attachment.labels.clone(),
                        rooms: attachment.rooms.clone(),
                        event: name.into(),
                        payload: message.payload.map(RawValue::to_owned),
                        reply_to,
                        wire,
                    },
                });
            }
            _ => self.forward(from, &message, out),
        }
        None
    }

    /// Carries out what the application decided: rooms, then the ack, then the deliveries.
    pub fn conclude(
        &mut self,
        from: SlotToken,
        correlation: Option<&RawValue>,
        outcome: EventOutcome,
        out: &mut impl Outlet,
    ) {
        for change in &outcome.rooms {
            match change {
                RoomChange::Join(room) => match self.members.join_room(from, room) {
                    Ok(is_news) => self.is_stored &= !is_news,
                    Err(err) => tracing::debug!(%err, "a room is not joined"),
                },
                RoomChange::Leave(room) => {
                    self.is_stored &= !self.members.leave_room(from, room);
                }
            }
        }
        if let Some(value) = &outcome.ack {
            ack(from, correlation, value, out);
        }
        if outcome.deliveries.is_empty() {
            return;
        }
        let publication = Encoded::new(Publication {
            ack: None,
            deliveries: outcome.deliveries,
        });
        self.publish(&publication, out);
        if out.has_siblings() {
            out.tell_siblings(HubMessage::publish(publication));
        }
    }

    /// Delivers here and in the user's other shards; returns the count of this shard.
    fn deliver_to_hub(
        &self,
        filter: Filter,
        frame: Frame,
        reply: Option<mpsc::UnboundedSender<ShardDelivery>>,
        out: &mut impl Outlet,
    ) -> u64 {
        let here = self.deliver(&filter, frame.clone(), out);
        if out.has_siblings() {
            out.tell_siblings(HubMessage::deliver(Arc::new(filter), frame, reply));
        }
        here
    }

    /// Remembers whether the sender's app is in the foreground (Socket.IO contract, section 6).
    fn note_app_state(&mut self, from: SlotToken, message: &Envelope<'_>, out: &mut impl Outlet) {
        #[derive(Deserialize)]
        struct Data<'a> {
            #[serde(borrow)]
            state: &'a RawValue,
        }

        let data = message.payload.map_or("null", RawValue::get);
        let state = serde_json::from_str(data)
            .ok()
            .and_then(|data: Data<'_>| string(data.state));
        let Some(state) = state else {
            let value = r#"{"success":false,"error":"state must be a string"}"#;
            return ack(from, message.correlation, value, out);
        };
        if let Some(member) = self.members.get_mut(from) {
            let is_foreground = state == APP_IN_FOREGROUND;
            let attachment = &mut member.attachment;
            self.is_stored &= attachment.is_foreground == is_foreground;
            attachment.is_foreground = is_foreground;
        }
        ack(from, message.correlation, r#"{"success":true}"#, out);
    }

    fn broadcast(
        &mut self,
        from: SlotToken,
        message: &Envelope<'_>,
        out: &mut impl Outlet,
    ) -> Option<Deferred> {
        let sender = self.members.get(from)?.attachment.connection_id;
        let frame = Frame::text(&frames::forwarded(event::BROADCAST, message.payload, None));
        let filter = Filter::Exclude(sender);
        match message.correlation {
            Some(correlation) if out.has_siblings() => {
                let (reply, others) = mpsc::unbounded_channel();
                let here = self.deliver_to_hub(filter, frame, Some(reply), out);
                let correlation = correlation.to_owned();
                Some(Deferred::Delivered {
                    from,
                    correlation,
                    here,
                    others,
                })
            }
            correlation => {
                let delivered = self.deliver_to_hub(filter, frame, None, out);
                ack(from, correlation, &delivered_ack(delivered), out);
                None
            }
        }
    }

    /// Default forwarding (5.14). The sender gets an ack if it asked for one: the peers' own
    /// acknowledgements are dropped, so nobody else would answer it.
    fn forward(&mut self, from: SlotToken, message: &Envelope<'_>, out: &mut impl Outlet) {
        let Some(member) = self.members.get(from) else {
            return;
        };
        let filter = match member.attachment.labels.client_type {
            ClientType::UserScoped => labels_in(message.payload),
            _ => Some(Filter::UserScopedOnly),
        };
        let Some(filter) = filter else {
            let value = r#"{"ok":false,"error":"unknown event; to have it forwarded, name a sessionId or machineId in its data"}"#;
            return ack(from, message.correlation, value, out);
        };
        let sender = member.attachment.connection_id;
        let json = frames::forwarded(&message.event, message.payload, message.correlation);
        let frame = Frame::text(&json);
        // The sender never receives its own forward, even when its label matches.
        self.deliver_except(&filter, Some(sender), frame.clone(), out);
        if out.has_siblings() {
            let filter = Arc::new(filter);
            out.tell_siblings(HubMessage::deliver(filter, frame, None));
        }
        ack(from, message.correlation, r#"{"ok":true}"#, out);
    }
}

/// The ack of a `broadcast`.
pub fn delivered_ack(delivered: u64) -> String {
    format!(r#"{{"success":true,"delivered":{delivered}}}"#)
}

/// Answers a request that asked for it.
pub fn ack(to: SlotToken, correlation: Option<&RawValue>, value: &str, out: &mut impl Outlet) {
    if let Some(correlation) = correlation {
        out.send(to, &frames::ack(correlation, value));
    }
}

/// Where a user-scoped sender's event goes: to the session or machine that its data names.
fn labels_in(payload: Option<&RawValue>) -> Option<Filter> {
    #[derive(Deserialize)]
    struct Data<'a> {
        #[serde(borrow, rename = "sessionId")]
        session_id: Option<&'a RawValue>,
        #[serde(borrow)]
        sid: Option<&'a RawValue>,
        #[serde(borrow, rename = "machineId")]
        machine_id: Option<&'a RawValue>,
    }
    let data: Data<'_> = serde_json::from_str(payload?.get()).ok()?;
    let text = |raw: Option<&RawValue>| {
        raw.and_then(string)
            .filter(|text| !text.is_empty())
            .map(|text| text.into_owned().into())
    };
    text(data.session_id)
        .or_else(|| text(data.sid))
        .map(Filter::Session)
        .or_else(|| text(data.machine_id).map(Filter::Machine))
}

/// Notes activity; `true` when that is news.
fn touch(member: &mut Member, at: u64) -> bool {
    let is_later = at > member.attachment.last_activity_at;
    if is_later {
        member.attachment.last_activity_at = at;
    }
    is_later
}
