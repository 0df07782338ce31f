//! A worker: one thread, its sockets, its shards and its lobby.
//!
//! Everything here is touched by one thread only. Other threads send [`Command`]s. The loop is in
//! `worker/turn_loop.rs`; placing connections, routing within hubs and answering admins have
//! files of their own.

mod admin;
mod admission;
mod echo;
mod guests;
mod routing;
mod socket_io;
mod subscribers;
mod turn_loop;

use std::any::Any;
use std::cell::{Cell, RefCell, RefMut};
use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::{Duration, SystemTime};

use actix::{Actor, Addr};
use ahash::AHashMap;
use dormouse_protocol::{CloseCode, Labels};
use tokio::sync::{Notify, mpsc};
use tokio::time::Instant;

use crate::application::Application;
use crate::arrival::Gate;
use crate::bus::Bus;
use crate::command::Command;
use crate::event::Event;
use crate::frame::Frame;
use crate::lobby::Lobby;
use crate::manager::ConnectionManager;
use crate::manager::outlet::Outlet;
use crate::manager::state::State;
use crate::message::{HubMessage, ShardMessage};
use crate::mount::{Mounts, Wire};
use crate::overrides::Overrides;
use crate::report::ShardCounters;
use crate::settings::ShardSettings;
use crate::shards::{ShardRecord, Shards};
use crate::sockets::{Lane, Sockets};
use crate::store::Store;
use crate::subscribers::Subscribers;
use crate::table::{Owner, SlotToken};
use crate::tier::Tiers;
use crate::turn::FrameRef;
use crate::wake_queue::WakeQueue;

/// What all workers share. Nothing here changes while the server runs, but for overrides.
#[derive(Clone)]
pub struct Common {
    /// Limits and timers.
    pub settings: Arc<ShardSettings>,
    /// The configured tiers.
    pub tiers: Arc<Tiers>,
    /// Tier overrides by admins.
    pub overrides: Arc<Overrides>,
    /// Handlers of the application's events.
    pub application: Arc<dyn Application>,
    /// Verifies first messages.
    pub gate: Arc<dyn Gate>,
    /// Where Socket.IO is served.
    pub mounts: Arc<Mounts>,
    /// Attachments of sleeping shards.
    pub store: Store,
    /// Events that workers have been told of and have not handed out yet, each counted once for
    /// every worker.
    pub events_waiting: Arc<AtomicUsize>,
    /// The inboxes of all workers, by index.
    pub inboxes: Arc<[mpsc::UnboundedSender<Command>]>,
}

/// One worker, on its own thread.
pub struct Worker {
    index: usize,
    common: Common,
    sockets: RefCell<Sockets>,
    shards: RefCell<Shards>,
    /// What sleeping shards are told when it is their turn to wake.
    wake_queue: RefCell<WakeQueue>,
    lobby: RefCell<Lobby>,
    subscribers: RefCell<Subscribers>,
    /// Events that are not handed out yet, in order.
    events: RefCell<VecDeque<Arc<Event>>>,
    /// Subscribers whose replay goes on when their sockets have taken the last page.
    replaying: RefCell<Vec<SlotToken>>,
    /// What connections of the echo endpoint give back at their end.
    echoes: RefCell<AHashMap<SlotToken, Box<dyn Any + Send>>>,
    counters: RefCell<ShardCounters>,
    /// Tells the loop that there is something to flush.
    posted: Notify,
    draining: Cell<bool>,
}

impl Worker {
    pub(crate) fn settings(&self) -> &ShardSettings {
        &self.common.settings
    }

    pub(crate) fn application(&self) -> &dyn Application {
        &*self.common.application
    }

    pub(crate) fn store(&self) -> &Store {
        &self.common.store
    }

    /// This worker's own inbox.
    pub(crate) fn inbox(&self) -> mpsc::UnboundedSender<Command> {
        self.common.inboxes[self.index].clone()
    }

    pub(crate) fn count(&self, change: impl FnOnce(&mut ShardCounters)) {
        change(&mut self.counters.borrow_mut());
    }

    /// Counts one delivery to a shard, and whether it kept what the user's tier is promised.
    pub(crate) fn count_delivery(&self, shard: u32, took: Duration) {
        let tier = self.shards.borrow().get(shard).map(|record| record.tier);
        self.count(|counters| {
            counters.broadcast_time.observe(took, 1);
            let Some(tier) = tier else { return };
            let promised = self.settings().promised_delivery.get(tier.index());
            let of_tier = counters.of_tier(tier);
            of_tier.delivery_time.observe(took, 1);
            of_tier.late_deliveries += u64::from(promised.is_some_and(|most| took > *most));
        });
    }

    /// The way out for a shard's rules. Holds the sockets: to be dropped before anything is told.
    pub(crate) fn outlet(&self, shard: u32) -> WorkerOutlet<'_> {
        WorkerOutlet {
            worker: self,
            shard,
            now: unix_ms(),
            sockets: self.sockets.borrow_mut(),
        }
    }

    /// Sends a message to a shard of this worker. One that sleeps gets it when it is its turn to
    /// wake.
    fn tell(&self, index: u32, message: ShardMessage) {
        let mut shards = self.shards.borrow_mut();
        let Some(record) = shards.get_mut(index) else {
            return self.no_longer_untold(&message);
        };
        record.in_flight += 1;
        match &record.actor {
            Some(actor) if record.waiting == 0 => self.hand_over(actor, message),
            _ => {
                record.waiting += 1;
                self.wake_queue.borrow_mut().push(index, message);
                self.posted.notify_one();
            }
        }
    }

    /// Hands up to so many of the waiting messages to their shards, waking those that sleep.
    fn wake_some(self: &Rc<Self>, most: usize) {
        for _ in 0..most {
            let Some((index, message)) = self.wake_queue.borrow_mut().pop() else {
                return;
            };
            let Some(actor) = self.rouse(index) else {
                continue;
            };
            if let Some(record) = self.shards.borrow_mut().get_mut(index) {
                record.waiting -= 1;
            }
            self.hand_over(&actor, message);
        }
    }

    fn hand_over(&self, actor: &Addr<ConnectionManager>, message: ShardMessage) {
        self.no_longer_untold(&message);
        actor.do_send(message);
    }

    /// Waking needs what is known of a connection until its shard hears of its end.
    fn no_longer_untold(&self, message: &ShardMessage) {
        if let ShardMessage::Ended(token) = message {
            self.sockets.borrow_mut().told(*token);
        }
    }

    /// The actor of a shard of this worker, which wakes if it sleeps.
    fn rouse(self: &Rc<Self>, index: u32) -> Option<Addr<ConnectionManager>> {
        let mut shards = self.shards.borrow_mut();
        let record = shards.get_mut(index)?;
        if let Some(actor) = &record.actor {
            return Some(actor.clone());
        }
        let actor = self.wake(index, record);
        record.actor = Some(actor.clone());
        Some(actor)
    }

    /// Starts a shard's actor with what the store has of it.
    fn wake(self: &Rc<Self>, index: u32, record: &mut ShardRecord) -> Addr<ConnectionManager> {
        let mut state = State::new(record.name(), unix_ms());
        if std::mem::take(&mut record.is_asleep) {
            let began = Instant::now();
            record.wakes += 1;
            match self.common.store.load(state.name()) {
                Ok(loaded) => {
                    let sockets = self.sockets.borrow();
                    state.restore(loaded, |token| {
                        let id = sockets.member_of(index, token)?;
                        Some((id, sockets.wire(token)))
                    });
                }
                Err(err) => tracing::error!(%err, shard = %state.name(), "cannot wake a shard"),
            }
            if state.members().len() as u32 != record.connections() {
                self.drop_unknown(index, &state, record);
            }
            self.count(|counters| {
                counters.wakes += 1;
                counters.wake_time.observe(began.elapsed(), 1);
            });
        }
        ConnectionManager::new(index, self.clone(), state).start()
    }

    /// A socket without a readable record is dropped (realtime contract, section 14): nobody
    /// knows what it may receive. Its client reconnects.
    fn drop_unknown(&self, index: u32, state: &State, record: &mut ShardRecord) {
        let mut sockets = self.sockets.borrow_mut();
        for token in sockets.owned_by(Owner::Shard(index)) {
            if state.members().get(token).is_none() {
                sockets.close(
                    token,
                    CloseCode::INTERNAL,
                    "connection state lost; reconnect",
                );
            }
        }
        self.posted.notify_one();
        let members = state.members();
        let lost = record.connections().saturating_sub(members.len() as u32);
        let by_type = members.by_type();
        record.by_type = [
            by_type.user_scoped,
            by_type.session_scoped,
            by_type.machine_scoped,
        ]
        .map(|count| count as u32);
        record.oldest = members.oldest().unwrap_or(u64::MAX);
        let kept = members
            .iter()
            .map(|member| member.attachment.labels.clone());
        let kept: Vec<Labels> = kept.collect();
        if record.number > 0 {
            let (user, number) = (record.user.clone(), record.number);
            let command = Command::Lost {
                user: user.clone(),
                number,
                lost,
                kept,
            };
            self.send_home(&user, command);
        } else if let Some(hub) = &mut record.hub {
            hub.lose(0, lost, &kept);
        }
        self.count(|counters| counters.wake_failures += 1);
    }

    /// Takes note that an actor has begun with one of its messages.
    pub(crate) fn message_taken(&self, index: u32) {
        if let Some(record) = self.shards.borrow_mut().get_mut(index) {
            record.in_flight = record.in_flight.saturating_sub(1);
            record.last_activity = unix_ms();
        }
    }

    /// Marks a shard as asleep; `false` when a message is on its way to it.
    pub(crate) fn fall_asleep(&self, index: u32) -> bool {
        let mut shards = self.shards.borrow_mut();
        let Some(record) = shards.get_mut(index).filter(|record| record.in_flight == 0) else {
            return false;
        };
        record.actor = None;
        record.is_asleep = true;
        record.sleeps += 1;
        self.count(|counters| counters.sleeps += 1);
        true
    }

    /// Forgets a shard that is over; `false` when it is not, or a message is on its way to it.
    pub(crate) fn forget(&self, index: u32) -> bool {
        let mut shards = self.shards.borrow_mut();
        let is_over = shards
            .get(index)
            .is_some_and(|record| record.in_flight == 0 && record.is_over());
        is_over && shards.remove(index).is_some()
    }

    /// Takes note of a connection that its shard knows now: one that left before it was known may
    /// have been taken for the last.
    pub(crate) fn joined(&self, index: u32, connected_at: u64) {
        if let Some(record) = self.shards.borrow_mut().get_mut(index) {
            record.oldest = record.oldest.min(connected_at);
        }
    }

    /// Takes a connection that has left off the counts.
    pub(crate) fn left(&self, index: u32, labels: &Labels, oldest: Option<u64>) {
        let mut shards = self.shards.borrow_mut();
        let Some(record) = shards.get_mut(index) else {
            return;
        };
        let count = &mut record.by_type[labels.client_type.index()];
        *count = count.saturating_sub(1);
        record.oldest = oldest.unwrap_or(u64::MAX);
        let (user, number) = (record.user.clone(), record.number);
        drop(shards);
        if number == 0 {
            self.discount(&user, 0, labels);
        } else {
            let command = Command::Left {
                user: user.clone(),
                number,
                labels: labels.clone(),
            };
            self.send_home(&user, command);
        }
    }

    /// Sends a command to the worker of a user's first shard.
    fn send_home(&self, user: &str, command: Command) {
        self.send_to_shard(user, 0, command);
    }

    fn send_to_shard(&self, user: &str, number: u16, command: Command) {
        let inboxes = &self.common.inboxes;
        let worker = crate::name::ShardName::worker_of(user, number, inboxes.len());
        // A worker that is gone has closed its connections: nobody is left to be told.
        let _ = inboxes[worker].send(command);
    }
}

/// Unix time, ms.
pub(crate) fn unix_ms() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    since.map_or(0, |since| {
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    })
}

/// A shard's effects on this worker.
pub(crate) struct WorkerOutlet<'a> {
    worker: &'a Worker,
    shard: u32,
    now: u64,
    sockets: RefMut<'a, Sockets>,
}

impl Drop for WorkerOutlet<'_> {
    fn drop(&mut self) {
        if self.sockets.has_posted() || self.sockets.has_ended() {
            self.worker.posted.notify_one();
        }
    }
}

impl WorkerOutlet<'_> {
    fn name(&self) -> Option<(Arc<str>, u16)> {
        let shards = self.worker.shards.borrow();
        shards
            .get(self.shard)
            .map(|record| (record.user.clone(), record.number))
    }
}

impl Outlet for WorkerOutlet<'_> {
    fn now(&self) -> u64 {
        self.now
    }

    fn hold(&mut self, frame: Frame) -> FrameRef {
        self.sockets.hold(frame)
    }

    fn release(&mut self, frame: FrameRef) {
        self.sockets.release(frame);
    }

    fn post(&mut self, to: SlotToken, frame: FrameRef, lane: Lane) -> bool {
        let posted = self.sockets.post(to, frame, lane);
        if !posted {
            self.worker
                .count(|counters| counters.broadcast_failures += 1);
        }
        posted
    }

    fn close(&mut self, connection: SlotToken, code: CloseCode, reason: &str) {
        self.sockets.close(connection, code, reason);
    }

    fn kick(&mut self, connection: SlotToken, code: CloseCode, reason: &str) {
        self.sockets.kick(connection, code, reason);
    }

    fn wire(&self, connection: SlotToken) -> Wire {
        self.sockets.wire(connection)
    }

    fn count_bad_frame(&mut self, from: SlotToken) -> u8 {
        self.sockets.count_bad_frame(from)
    }

    fn forgive_bad_frames(&mut self, from: SlotToken) {
        self.sockets.forgive_bad_frames(from);
    }

    fn silence(&self, connection: SlotToken) -> u64 {
        self.sockets.silence(connection).unwrap_or(u64::MAX)
    }

    fn has_siblings(&self) -> bool {
        self.worker
            .shards
            .borrow()
            .get(self.shard)
            .is_some_and(ShardRecord::has_siblings)
    }

    fn tell_siblings(&mut self, message: HubMessage) {
        if let Some((user, number)) = self.name() {
            self.worker.bus().to_others(&user, number, message);
        }
    }

    fn tell_sibling(&mut self, number: u16, message: HubMessage) {
        if let Some((user, _)) = self.name() {
            self.worker.bus().to_shard(&user, number, message);
        }
    }
}
