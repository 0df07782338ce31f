//! From an arrival to a place in a shard.

use std::rc::Rc;
use std::sync::Arc;

use bytes::Bytes;
use dormouse_protocol::{Attachment, CloseCode, Filter, Labels, frames, socket_io};
use tokio::time::Instant;

use super::{Worker, unix_ms};
use crate::arrival::{Arrival, Greeting, Refusal, short_hash};
use crate::bus::Bus;
use crate::command::Command;
use crate::frame::Frame;
use crate::message::{HubMessage, ShardMessage};
use crate::placement::place;
use crate::table::{Owner, Slot};
use crate::tier::TierId;

impl Worker {
    /// Places a connection of a user whose first shard is, or will be, here. Whether the server is
    /// stopping is the last check (realtime contract, section 2.3).
    pub(super) fn admit(self: &Rc<Self>, arrival: Box<Arrival>) {
        // Whoever revokes has told the gate first: a connection that passes here is known to the
        // hub before the order to close it comes.
        if !self.common.gate.still_admits(&arrival.claim) {
            return self.refuse(arrival, &Refusal::Revoked);
        }
        let user = arrival.claim.user.clone();
        let tiers = &self.common.tiers;
        let claimed = arrival.claim.tier.as_deref();
        let claimed = claimed.and_then(|name| tiers.find(name));
        let (placed, unaware) = {
            let mut shards = self.shards.borrow_mut();
            let index = shards.find_or_create(&user, 0, tiers.default_tier());
            let Some(record) = shards.get_mut(index) else {
                return;
            };
            let unaware = if record.claimed == claimed {
                Vec::new()
            } else {
                record.numbers_of_siblings()
            };
            record.claimed = claimed;
            record.place_in_tier(self.common.overrides.get(&user), tiers);
            let tier = record.tier;
            let settings = tiers.get(tier);
            let occupancy = record.occupancy();
            let placed = match place(&occupancy, settings, arrival.slot.id) {
                Some(number) if !self.draining.get() => {
                    if number > 0 {
                        let siblings = &mut record.hub.get_or_insert_default().siblings;
                        let place = usize::from(number) - 1;
                        siblings.resize(siblings.len().max(place + 1), 0);
                        siblings[place] += 1;
                    }
                    Ok((index, number, tier))
                }
                Some(_) => Err(Refusal::Draining),
                None => {
                    record.rejected += 1;
                    Err(Refusal::Limit {
                        tier: settings.name.clone(),
                        limit: settings.limit(),
                        connections: occupancy.iter().sum(),
                    })
                }
            };
            if placed.is_err() && record.is_over() && record.actor.is_none() {
                shards.remove(index);
            }
            (placed, unaware)
        };
        for number in unaware {
            let command = Command::Reclaim {
                user: user.clone(),
                number,
                claimed,
            };
            self.send_to_shard(&user, number, command);
        }
        let (index, number, tier) = match placed {
            Ok(placed) => placed,
            Err(refusal) => return self.refuse(arrival, &refusal),
        };
        let labels = arrival.labels.clone();
        if number == 0 {
            if !self.attach(index, arrival) {
                return;
            }
        } else {
            self.send_to_shard(
                &user,
                number,
                Command::Attach {
                    arrival,
                    number,
                    tier,
                },
            );
        }
        self.count_labels(&user, number, &labels);
    }

    /// Takes a placed connection into a shard of this worker and greets it. `false` when its
    /// socket cannot be watched and the connection is dropped.
    pub(super) fn attach(self: &Rc<Self>, index: u32, arrival: Box<Arrival>) -> bool {
        // Awake before it has one more connection: waking compares what is stored with what is
        // connected.
        if self.rouse(index).is_none() {
            return false;
        }
        let Arrival {
            mut slot,
            claim,
            labels,
            rooms,
            auth_state,
            is_foreground,
            connected_at,
            started,
            greeting,
        } = *arrival;
        let now = unix_ms();
        let connection_id = slot.id;
        slot.set_owner(Owner::Shard(index));
        let mut attachment = Box::new(Attachment {
            connection_id,
            user_id: (*claim.user).into(),
            labels,
            connected_at,
            last_activity_at: now,
            auth_state,
            token_hash: claim.token_hash.as_ref().map(short_hash),
            rooms,
            is_foreground,
        });
        let (number, tier) = {
            let mut shards = self.shards.borrow_mut();
            let Some(record) = shards.get_mut(index) else {
                return false;
            };
            record.by_type[attachment.labels.client_type.index()] += 1;
            record.oldest = record.oldest.min(connected_at);
            record.last_activity = now;
            (record.number, record.tier)
        };
        let token = match self.sockets.borrow_mut().insert(slot) {
            Ok(token) => token,
            Err(err) => {
                tracing::error!(%err, "cannot watch a socket; its connection is dropped");
                if let Some(record) = self.shards.borrow_mut().get_mut(index) {
                    record.by_type[attachment.labels.client_type.index()] -= 1;
                }
                return false;
            }
        };
        let wire = self.sockets.borrow().wire(token);
        let welcome = self.application().welcome(&attachment, wire);
        for room in &welcome.rooms {
            if let Err(err) = attachment.rooms.join(room) {
                tracing::error!(%err, room, "a room of the application is not joined");
            }
        }
        let waiting = {
            let mut sockets = self.sockets.borrow_mut();
            let connected = || Frame::text(&frames::connected(&attachment, now));
            let (frame, waiting) = match greeting {
                // One write for the handshake's answer and the first frame.
                Greeting::Upgrade { accept, .. } => (
                    Frame::raw([&accept[..], connected().bytes()].concat().into()),
                    Vec::new(),
                ),
                Greeting::Late { waiting } => (connected(), waiting),
                Greeting::Connect(guest) => {
                    let packet = socket_io::connected(&connection_id.to_string());
                    (Frame::packet(&packet), guest.waiting)
                }
            };
            sockets.send(token, frame);
            for frame in welcome.frames {
                sockets.send(token, frame);
            }
            waiting
        };
        tracing::debug!(connection = %connection_id, number, "connected");
        self.count(|counters| {
            counters.accepted += 1;
            counters.of_tier(tier).accepted += 1;
            counters.connection_time.observe(started.elapsed(), 1);
        });
        self.tell(index, ShardMessage::Join { token, attachment });
        for text in waiting {
            self.tell(
                index,
                ShardMessage::Inbound {
                    token,
                    wire,
                    text,
                    read_at: Instant::now(),
                },
            );
        }
        true
    }

    /// A newer token of the user's says another tier: a further shard is in the same one as the first.
    pub(super) fn reclaim(&self, user: &str, number: u16, claimed: Option<TierId>) {
        let mut shards = self.shards.borrow_mut();
        let index = shards.find(user, number);
        if let Some(record) = index.and_then(|index| shards.get_mut(index)) {
            record.claimed = claimed;
            record.place_in_tier(self.common.overrides.get(user), &self.common.tiers);
        }
    }

    /// Takes in a connection of a further shard.
    pub(super) fn attach_sibling(
        self: &Rc<Self>,
        arrival: Box<Arrival>,
        number: u16,
        tier: TierId,
    ) {
        let (user, labels) = (arrival.claim.user.clone(), arrival.labels.clone());
        let is_attached = if self.draining.get() {
            self.refuse(arrival, &Refusal::Draining);
            false
        } else if !self.common.gate.still_admits(&arrival.claim) {
            self.refuse(arrival, &Refusal::Revoked);
            false
        } else {
            let index = {
                let mut shards = self.shards.borrow_mut();
                let index = shards.find_or_create(&user, number, tier);
                if let Some(record) = shards.get_mut(index) {
                    let claimed = arrival.claim.tier.as_deref();
                    record.claimed = claimed.and_then(|name| self.common.tiers.find(name));
                    record.place_in_tier(self.common.overrides.get(&user), &self.common.tiers);
                }
                index
            };
            self.attach(index, arrival)
        };
        if !is_attached {
            // It was counted when it was placed.
            let command = Command::Left {
                user: user.clone(),
                number,
                labels,
            };
            self.send_home(&user, command);
        }
    }

    /// Tells a connection why it is not taken in.
    pub(super) fn refuse(&self, arrival: Box<Arrival>, refusal: &Refusal) {
        let (reason, tier) = match refusal {
            Refusal::Limit { tier, .. } => ("connection_limit", tier.to_string()),
            Refusal::Draining => ("draining", String::new()),
            Refusal::Revoked => ("revoked", String::new()),
        };
        self.count(|counters| *counters.rejected.entry((tier, reason)).or_default() += 1);
        tracing::debug!(connection = %arrival.slot.id, reason, "refused");
        match arrival.greeting {
            Greeting::Upgrade { refuse, .. } => self.say_last(arrival.slot, refuse(refusal)),
            Greeting::Connect(guest) => {
                let mut slot = arrival.slot;
                slot.set_owner(Owner::Lobby);
                let inserted = self.sockets.borrow_mut().insert(slot);
                match (inserted, refusal) {
                    (Ok(token), Refusal::Limit { .. }) => {
                        self.lobby.borrow_mut().enter(token, *guest);
                        self.refuse_connect(token, "Connection limit exceeded");
                    }
                    // Clients come back by themselves unless they are refused.
                    (Ok(token), Refusal::Draining) => {
                        let code = CloseCode::GOING_AWAY;
                        self.sockets.borrow_mut().close(token, code, code.reason());
                    }
                    (Ok(token), Refusal::Revoked) => {
                        self.lobby.borrow_mut().enter(token, *guest);
                        self.refuse_connect(token, "Invalid authentication token");
                    }
                    (Err(err), _) => tracing::error!(%err, "cannot watch a refused socket"),
                }
            }
            Greeting::Late { .. } => {
                let (code, text) = match refusal {
                    Refusal::Limit { .. } => (
                        CloseCode::CONNECTION_LIMIT,
                        "connection limit of your tier reached; close another connection",
                    ),
                    Refusal::Draining => (CloseCode::GOING_AWAY, "the server is stopping"),
                    Refusal::Revoked => (CloseCode::AUTH_FAILED, "invalid or expired token"),
                };
                let mut slot = arrival.slot;
                slot.set_owner(Owner::Lobby);
                let mut sockets = self.sockets.borrow_mut();
                match sockets.insert(slot) {
                    Ok(token) => {
                        let json = frames::auth_error(code, text, unix_ms());
                        sockets.send(token, Frame::text(&json));
                        sockets.close(token, code, text);
                    }
                    Err(err) => tracing::error!(%err, "cannot watch a refused socket"),
                }
            }
        }
    }

    /// Sends bytes to a socket that is not a connection and will not be one, then closes it.
    pub(super) fn say_last(&self, slot: Slot, bytes: Bytes) {
        if let Err(err) = self.sockets.borrow_mut().say_last(slot, bytes) {
            tracing::error!(%err, "cannot watch a refused socket");
        }
    }

    /// Counts the labels of a placed connection; announces a machine that comes online.
    fn count_labels(&self, user: &Arc<str>, number: u16, labels: &Labels) {
        if labels.session_id.is_none() && labels.machine_id.is_none() {
            return;
        }
        let comes_online = {
            let mut shards = self.shards.borrow_mut();
            let index = shards.find(user, 0);
            let record = index.and_then(|index| shards.get_mut(index));
            record.is_some_and(|record| record.hub.get_or_insert_default().count(number, labels))
        };
        if comes_online && let Some(machine) = &labels.machine_id {
            self.announce(user, machine, true);
        }
    }

    /// Takes a connection that has left off what this worker knows of the hub.
    pub(super) fn discount(&self, user: &Arc<str>, number: u16, labels: &Labels) {
        let goes_offline = {
            let mut shards = self.shards.borrow_mut();
            let Some(index) = shards.find(user, 0) else {
                return;
            };
            let Some(record) = shards.get_mut(index) else {
                return;
            };
            let mut goes_offline = false;
            if let Some(hub) = &mut record.hub {
                goes_offline = hub.discount(number, labels);
                hub.forget_siblings(number, 1);
            }
            if record.tidy_up() {
                shards.remove(index);
            }
            goes_offline
        };
        if goes_offline && let Some(machine) = &labels.machine_id {
            self.announce(user, machine, false);
        }
    }

    /// Takes connections whose attachments are lost off what this worker knows of the hub. Their
    /// machines cannot be announced as offline: nobody knows their names.
    pub(super) fn lose(&self, user: &str, number: u16, lost: u32, kept: &[Labels]) {
        let mut shards = self.shards.borrow_mut();
        let index = shards.find(user, 0);
        let Some((index, record)) = index.and_then(|index| Some((index, shards.get_mut(index)?)))
        else {
            return;
        };
        if let Some(hub) = &mut record.hub {
            hub.lose(number, lost, kept);
        }
        if record.tidy_up() {
            shards.remove(index);
        }
    }

    /// Machine presence (realtime contract, section 9): two ephemerals to user-scoped connections
    /// of the hub, in this order. The application's own bookkeeping does not hold them up.
    fn announce(&self, user: &Arc<str>, machine: &str, is_online: bool) {
        let now = unix_ms();
        let filter = Arc::new(Filter::UserScopedOnly);
        for body in [
            serde_json::json!({
                "type": "machine-status", "machineId": machine, "online": is_online,
                "timestamp": now,
            }),
            serde_json::json!({
                "type": "machine-activity", "machineId": machine, "id": machine,
                "active": is_online, "activeAt": now,
            }),
        ] {
            let frame = Frame::ephemeral(&frames::ephemeral(&body));
            let message = HubMessage::deliver(filter.clone(), frame, None);
            self.bus().to_all(user, message);
        }
        self.application()
            .machine_presence(user, machine, is_online);
    }
}
