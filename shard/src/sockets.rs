//! The sockets of one worker: reading, posting, flushing and closing.
//!
//! Owns the connection table, the epoll registrations, the frames of the current turn and the
//! worker's buffers. Called by the worker's loop and, through the worker, by its shards; never
//! from another thread. It knows owners only as numbers: what a message means is not its business.

mod closing;
mod echo;
mod flushing;
mod polling;
mod reading;
mod socket_io;
mod sweeping;

use std::collections::VecDeque;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use ahash::AHashMap;
use bytes::BytesMut;
use bytestring::ByteString;
use dormouse_protocol::{CloseCode, ConnectionId};
use tokio::time::Instant;

use self::socket_io::MountClock;
use crate::counters::IoCounters;
use crate::frame::Frame;
use crate::intake::Partial;
use crate::mount::{Mounts, Wire};
use crate::outbox::OutboxLimits;
use crate::poller::Poller;
use crate::polling::PollSession;
use crate::settings::{ShardSettings, SubscriberSettings};
use crate::table::{Owner, Slot, SlotToken, Table};
use crate::turn::{FrameRef, Turn};

/// Resolution of the worker's timers: idle checks, pings, rate refills.
pub const TICK: Duration = Duration::from_millis(250);
/// Longest silence that can be told, in ticks: the clock wraps, and a slot is only looked at now
/// and then. 4.5 hours; a longer idle timeout counts as this.
const MOST_IDLE_TICKS: u16 = u16::MAX - 64;
/// Most bytes taken from a socket in one turn, so that none starves another: small frames cost
/// some 3 µs for each KiB.
const READ_BYTES: usize = 16 * 1024;
/// Sockets read on in one turn of those that had more.
const UNREAD_PER_TURN: usize = 64;
/// Frames of one socket in one turn, after which it is flushed at once.
const DEPTH_BEFORE_FLUSH: u32 = 64;
/// How long a closing connection may take to be read to its end and to answer.
const LINGER: Duration = Duration::from_secs(5);

/// Which queue a posted frame's socket is flushed from: answers do not wait behind a fan-out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lane {
    /// Answers to the sender; flushed first.
    Reply,
    /// Deliveries to many; flushed in slices.
    Fanout,
}

/// What a connection says to its owner.
#[derive(Debug)]
pub struct Inbound {
    /// Who says it.
    pub token: SlotToken,
    /// Whose connection it is.
    pub owner: Owner,
    /// How it speaks.
    pub wire: Wire,
    /// What it says.
    pub said: Said,
}

/// What an owner is told.
#[derive(Debug)]
pub enum Said {
    /// An envelope.
    Message(ByteString),
    /// A Socket.IO client that is not connected yet wants to be, with this JSON object.
    Connect(Option<Box<str>>),
    /// A WebSocket that is tried for a session that polls was probed.
    Probe,
    /// That session is to use it from now on.
    Upgrade,
}

/// A connection that is no longer its owner's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ended {
    /// The connection.
    pub token: SlotToken,
    /// Whose it was.
    pub owner: Owner,
}

/// What one kind of connection may use.
#[derive(Clone, Copy, Debug)]
struct Bounds {
    outbox: OutboxLimits,
    /// Ticks that a frame may wait in an outbox; `None` for as long as it takes.
    outbox_ticks: Option<u16>,
    message_bytes: usize,
    ping_ticks: u16,
    idle_ticks: u16,
}

impl Bounds {
    fn of_users(settings: &ShardSettings) -> Self {
        Self {
            outbox: OutboxLimits {
                frames: settings.outbox_frames,
                bytes: settings.outbox_bytes,
            },
            outbox_ticks: None,
            message_bytes: settings.message_bytes,
            ping_ticks: ticks(settings.ping_interval),
            idle_ticks: ticks(settings.idle_timeout).min(MOST_IDLE_TICKS),
        }
    }

    /// As for users, but for the size of messages.
    fn of_echo(settings: &ShardSettings) -> Self {
        let message_bytes = settings.echo_message_bytes;
        let of_users = Self::of_users(settings);
        Self {
            outbox: OutboxLimits {
                // Another answer behind one that is on its way.
                bytes: of_users.outbox.bytes.max(2 * message_bytes),
                ..of_users.outbox
            },
            message_bytes,
            ..of_users
        }
    }

    fn of_subscribers(settings: &SubscriberSettings) -> Self {
        Self {
            outbox: OutboxLimits {
                frames: settings.outbox_frames,
                bytes: settings.outbox_bytes,
            },
            outbox_ticks: Some(ticks(settings.outbox_age).min(MOST_IDLE_TICKS)),
            message_bytes: settings.message_bytes,
            ping_ticks: ticks(settings.ping_interval),
            idle_ticks: ticks(settings.idle_timeout).min(MOST_IDLE_TICKS),
        }
    }
}

/// A time in ticks, at least one.
fn ticks(time: Duration) -> u16 {
    u16::try_from(time.as_millis() / TICK.as_millis())
        .unwrap_or(u16::MAX)
        .max(1)
}

/// Everything about the sockets of one worker.
#[derive(Debug)]
pub struct Sockets {
    table: Table,
    turn: Turn,
    replies: VecDeque<SlotToken>,
    fanout: VecDeque<SlotToken>,
    poller: Rc<Poller>,
    scratch: Box<[u8]>,
    buffer: BytesMut,
    joined: Vec<u8>,
    /// What connections of users may use, and what subscribers may.
    of_users: Bounds,
    of_subscribers: Bounds,
    of_echo: Bounds,
    frames_per_second: u32,
    frame_burst: u16,
    mounts: Vec<MountClock>,
    /// The worker's number, which sessions that poll are told.
    worker: usize,
    tick: u16,
    sweep_next: u32,
    /// Connections with bytes left to read, in the order of their turns; no wait comes before.
    unread: VecDeque<SlotToken>,
    ended: Vec<Ended>,
    /// Of those, the connections of shards that have not been told. A shard that wakes meanwhile
    /// still needs their attachments: they decide who must hear of the end.
    untold: AHashMap<SlotToken, (ConnectionId, u32)>,
    lingering: VecDeque<(Instant, SlotToken)>,
    /// Sessions that polled and are over, until their last words are fetched.
    over: VecDeque<(Instant, Arc<PollSession>)>,
    /// The pong of this millisecond, shared by all who ping in it.
    pong: (u64, Frame),
    ping: Frame,
    heartbeat: Frame,
    /// Slots with an outbox.
    backlogged: usize,
    /// Slots of sessions that poll.
    polling: usize,
    pub(crate) io: IoCounters,
}

impl Sockets {
    /// An empty room for the worker of this number.
    pub fn new(
        poller: Rc<Poller>,
        settings: &ShardSettings,
        mounts: &Mounts,
        worker: usize,
    ) -> Self {
        Self {
            table: Table::default(),
            turn: Turn::default(),
            replies: VecDeque::new(),
            fanout: VecDeque::new(),
            poller,
            scratch: vec![0; READ_BYTES].into_boxed_slice(),
            buffer: BytesMut::with_capacity(READ_BYTES),
            joined: Vec::new(),
            of_users: Bounds::of_users(settings),
            of_subscribers: Bounds::of_subscribers(&settings.subscribers),
            of_echo: Bounds::of_echo(settings),
            frames_per_second: settings.frames_per_second,
            frame_burst: u16::try_from(settings.frame_burst).unwrap_or(u16::MAX),
            mounts: mounts.iter().map(MountClock::of).collect(),
            worker,
            tick: 0,
            sweep_next: 0,
            unread: VecDeque::new(),
            ended: Vec::new(),
            untold: AHashMap::new(),
            lingering: VecDeque::new(),
            over: VecDeque::new(),
            pong: (0, Frame::ping()),
            ping: Frame::ping(),
            heartbeat: Frame::packet("2"),
            backlogged: 0,
            polling: 0,
            io: IoCounters::default(),
        }
    }

    /// Takes a socket in and watches it. What `slot.partial` already holds is read in this turn.
    ///
    /// # Errors
    /// When the kernel refuses the registration; the socket is closed.
    pub fn insert(&mut self, mut slot: Slot) -> io::Result<SlotToken> {
        slot.last_seen = self.tick;
        slot.allowance = self.frame_burst;
        // What another worker has not read, the kernel reports once more.
        slot.set_unread(false);
        let has_early_bytes = slot.partial.is_some();
        let interval = match slot.wire() {
            Wire::Plain => self.bounds(slot.owner()).ping_ticks,
            Wire::SocketIo(mount) => self.clock(mount).interval,
        };
        let is_backlogged = slot.outbox.is_some();
        let token = self.table.insert(slot);
        // Spread over half an interval, so that a burst of connects is no burst of pings.
        let spread = token.index().wrapping_mul(2_654_435_761) >> 16;
        let half = interval / 2;
        let tick = self.tick;
        if let Some(slot) = self.table.get_mut(token) {
            slot.ping_due = tick.wrapping_add(half + (spread % u32::from(half.max(1))) as u16);
            if let Some(session) = slot.session() {
                session.settle(self.worker, token);
                self.polling += 1;
            } else if let Some(socket) = &slot.socket
                && let Err(err) = self.poller.add(socket, token)
            {
                self.table.remove(token);
                return Err(err);
            }
        }
        if is_backlogged {
            self.backlogged += 1;
            self.watch_output(token, true);
        }
        if has_early_bytes {
            self.read_later(token);
        }
        Ok(token)
    }

    /// Takes a connection out with all its state, to give it to another worker.
    pub fn detach(&mut self, token: SlotToken) -> Option<Slot> {
        self.flush_one(token);
        let slot = self.take(token)?;
        if let Some(session) = slot.session() {
            session.depart();
        } else if let Some(socket) = &slot.socket
            && let Err(err) = self.poller.delete(socket)
        {
            tracing::error!(%err, "a socket that moves was not watched");
        }
        Some(slot)
    }

    /// Holds a frame to be posted to any number of connections; released by [`Sockets::release`].
    pub fn hold(&mut self, frame: Frame) -> FrameRef {
        self.turn.hold(frame)
    }

    /// Ends a hold.
    pub fn release(&mut self, frame: FrameRef) {
        self.turn.release(frame);
    }

    /// Hands a held frame to a connection. `false` when the connection is gone or closing.
    pub fn post(&mut self, token: SlotToken, frame: FrameRef, lane: Lane) -> bool {
        let Some(slot) = self.table.get_mut(token) else {
            return false;
        };
        if slot.owner() == Owner::Leaving {
            return false;
        }
        let frame = match slot.wire() {
            Wire::Plain => frame,
            Wire::SocketIo(_) => match self.turn.for_socket_io(frame) {
                Some(frame) => frame,
                None => return false,
            },
        };
        if slot.outbox.is_some() {
            return self.post_behind(token, frame);
        }
        let depth = self.turn.append(&mut slot.head, &mut slot.tail, frame);
        if depth == 1 {
            match lane {
                Lane::Reply => self.replies.push_back(token),
                Lane::Fanout => self.fanout.push_back(token),
            }
        } else if depth >= DEPTH_BEFORE_FLUSH {
            self.flush_one(token);
        }
        true
    }

    /// Hands a frame to a connection that has an outbox.
    fn post_behind(&mut self, token: SlotToken, frame: FrameRef) -> bool {
        let (of_users, of_subscribers) = (self.of_users.outbox, self.of_subscribers.outbox);
        let of_echo = self.of_echo.outbox;
        let Some(slot) = self.table.get_mut(token) else {
            return false;
        };
        let limits = match slot.owner() {
            Owner::Subscriber => of_subscribers,
            Owner::Echo => of_echo,
            _ => of_users,
        };
        let Some(outbox) = &mut slot.outbox else {
            return false;
        };
        let frame = self.turn.frame(frame).clone().queued(self.tick);
        let result = outbox.push(frame, limits);
        self.io.ephemerals_dropped += u64::from(outbox.take_dropped());
        self.io.frames_out += u64::from(result.is_ok());
        if result.is_err() {
            self.close_slow_consumer(token);
        }
        result.is_ok()
    }

    /// Closes a connection that does not read what is sent to it.
    fn close_slow_consumer(&mut self, token: SlotToken) {
        self.io.slow_consumers += 1;
        let code = CloseCode::SLOW_CONSUMER;
        let reason = match self.connection(token) {
            // As contract events.md section 7 spells it.
            Some((_, Owner::Subscriber)) => "Slow consumer",
            _ => code.reason(),
        };
        self.close(token, code, reason);
    }

    /// Whether everything that was posted to a connection is written; so it is when it is gone.
    pub fn is_drained(&self, token: SlotToken) -> bool {
        let slot = self.table.get(token);
        slot.is_none_or(|slot| slot.outbox.is_none() && slot.head == crate::table::NONE)
    }

    fn bounds(&self, owner: Owner) -> &Bounds {
        match owner {
            Owner::Subscriber => &self.of_subscribers,
            Owner::Echo => &self.of_echo,
            Owner::Shard(_) | Owner::Lobby | Owner::Leaving => &self.of_users,
        }
    }

    /// Hands one frame to one connection.
    pub fn send(&mut self, token: SlotToken, frame: Frame) -> bool {
        let frame = self.hold(frame);
        let sent = self.post(token, frame, Lane::Reply);
        self.release(frame);
        sent
    }

    /// The id and owner of a connection.
    pub fn connection(&self, token: SlotToken) -> Option<(ConnectionId, Owner)> {
        self.table.get(token).map(|slot| (slot.id, slot.owner()))
    }

    /// How a connection speaks; plain if it is gone.
    pub fn wire(&self, token: SlotToken) -> Wire {
        self.table.get(token).map_or(Wire::Plain, Slot::wire)
    }

    /// Milliseconds since a frame last came in, in steps of a tick.
    pub fn silence(&self, token: SlotToken) -> Option<u64> {
        let slot = self.table.get(token)?;
        let ticks = self.tick.wrapping_sub(slot.last_seen);
        Some(u64::from(ticks) * TICK.as_millis() as u64)
    }

    /// The connection of this id: a scan, for admins.
    pub fn find(&self, id: ConnectionId) -> Option<SlotToken> {
        let is_open = |slot: &Slot| slot.id == id && slot.owner() != Owner::Leaving;
        self.table
            .iter()
            .find(|(_, slot)| is_open(slot))
            .map(|(token, _)| token)
    }

    /// Every connection of one owner: a scan, for the rare case that its list is lost.
    pub fn owned_by(&self, owner: Owner) -> Vec<SlotToken> {
        self.table
            .iter()
            .filter(|(_, slot)| slot.owner() == owner)
            .map(|(token, _)| token)
            .collect()
    }

    /// Counts a message that was no envelope; returns how many came in a row.
    pub fn count_bad_frame(&mut self, token: SlotToken) -> u8 {
        let Some(slot) = self.table.get_mut(token) else {
            return 0;
        };
        slot.bad_frames = slot.bad_frames.saturating_add(1);
        slot.bad_frames
    }

    /// Ends a row of bad messages.
    pub fn forgive_bad_frames(&mut self, token: SlotToken) {
        if let Some(slot) = self.table.get_mut(token) {
            slot.bad_frames = 0;
        }
    }

    /// Waiting frames and bytes of every owner that has any.
    pub fn backlogs(&self, mut each: impl FnMut(Owner, usize, usize)) {
        if self.backlogged == 0 && self.polling == 0 {
            return;
        }
        for (_, slot) in self.table.iter() {
            if let Some(outbox) = &slot.outbox {
                each(slot.owner(), outbox.frames(), outbox.bytes());
            } else if let Some(session) = slot.session() {
                let (frames, bytes) = session.backlog();
                each(slot.owner(), frames, bytes);
            }
        }
    }

    /// Open and closing connections.
    pub fn len(&self) -> usize {
        self.table.len()
    }

    /// Whether there are no connections.
    pub fn is_empty(&self) -> bool {
        self.table.is_empty()
    }

    /// One past the highest index of the table.
    pub fn end(&self) -> u32 {
        self.table.end()
    }

    /// The connection at an index of the table.
    pub fn token_at(&self, index: u32) -> Option<SlotToken> {
        self.table.token_at(index)
    }

    /// Connections that ended since the last call, in order. Each is followed by
    /// [`Sockets::told`] once its owner knows.
    pub fn take_ended(&mut self) -> Vec<Ended> {
        std::mem::take(&mut self.ended)
    }

    /// Notes that a connection's owner knows of its end.
    pub fn told(&mut self, token: SlotToken) {
        self.untold.remove(&token);
        if self.untold.is_empty() && self.untold.capacity() > 1024 {
            self.untold = AHashMap::new();
        }
    }

    /// The id of a shard's connection: one that is open, or that has ended without the shard
    /// knowing yet.
    pub fn member_of(&self, shard: u32, token: SlotToken) -> Option<ConnectionId> {
        match self.connection(token) {
            Some((id, Owner::Shard(owner))) if owner == shard => Some(id),
            _ => self
                .untold
                .get(&token)
                .filter(|(_, owner)| *owner == shard)
                .map(|(id, _)| *id),
        }
    }

    fn note_end(&mut self, token: SlotToken, id: ConnectionId, owner: Owner) {
        if let Owner::Shard(shard) = owner {
            self.untold.insert(token, (id, shard));
        }
        self.ended.push(Ended { token, owner });
    }

    /// Whether connections ended that nobody has asked for.
    pub fn has_ended(&self) -> bool {
        !self.ended.is_empty()
    }

    fn watch_output(&mut self, token: SlotToken, on: bool) {
        if let Some(slot) = self.table.get(token)
            && let Some(socket) = &slot.socket
            && let Err(err) = self.poller.watch_output(socket, token, on)
        {
            tracing::error!(%err, "cannot change what a socket is watched for");
        }
    }

    /// Removes a slot and what waits for it in this turn.
    fn take(&mut self, token: SlotToken) -> Option<Slot> {
        let mut slot = self.table.remove(token)?;
        while let Some(frame) = self.turn.pop(&mut slot.head, &mut slot.tail) {
            self.turn.release(frame);
        }
        if slot.outbox.is_some() {
            self.backlogged -= 1;
        }
        self.polling -= usize::from(slot.session().is_some());
        Some(slot)
    }
}
