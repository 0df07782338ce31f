//! A worker: one thread, its sockets, its shards and its lobby.
//!
//! Everything here is touched by one thread only. Other threads send [`Command`]s. The loop is in
//! `worker/turn_loop.rs`; placing connections, waking shards, routing within hubs and answering
//! admins have files of their own.

mod admin;
mod admission;
mod echo;
mod guests;
mod routing;
mod socket_io;
mod subscribers;
mod turn_loop;
mod waking;

use std::any::Any;
use std::cell::{Cell, RefCell, RefMut};
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::{Duration, SystemTime};

use ahash::AHashMap;
use dormouse_protocol::{CloseCode, Labels};
use tokio::sync::{Notify, mpsc};

use crate::application::Application;
use crate::arrival::Gate;
use crate::bus::Bus;
use crate::command::Command;
use crate::event::Event;
use crate::frame::Frame;
use crate::lobby::Lobby;
use crate::manager::outlet::Outlet;
use crate::message::HubMessage;
use crate::mount::{Mounts, Wire};
use crate::overrides::Overrides;
use crate::report::ShardCounters;
use crate::settings::ShardSettings;
use crate::shards::{ShardRecord, Shards};
use crate::sockets::{Lane, Sockets};
use crate::store::Store;
use crate::subscribers::Subscribers;
use crate::table::SlotToken;
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
