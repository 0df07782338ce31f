//! The connection table of one worker: where an idle connection is all it costs.
//!
//! A slot is 64 bytes, one cache line. Tokens carry a generation, so that an event or a message
//! that comes after a connection has ended finds nothing instead of its successor. Slots live in
//! chunks that are given back when empty, so that the table shrinks after a peak.

use std::num::NonZeroU8;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use dormouse_protocol::ConnectionId;

use crate::intake::Partial;
use crate::mount::{MountId, Wire};
use crate::outbox::Outbox;
use crate::polling::PollSession;

const CHUNK: usize = 256;

/// Names one connection of one worker, for as long as it lives: 48 bits would do for any table,
/// 32 for the index and 32 for the generation are simpler.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SlotToken {
    index: u32,
    generation: u32,
}

impl SlotToken {
    /// The token as the number that epoll and the store keep.
    pub const fn to_bits(self) -> u64 {
        ((self.generation as u64) << 32) | self.index as u64
    }

    /// The token of this number.
    pub const fn from_bits(bits: u64) -> Self {
        Self {
            index: bits as u32,
            generation: (bits >> 32) as u32,
        }
    }

    pub(crate) const fn index(self) -> u32 {
        self.index
    }
}

/// The index that means "none" in 32-bit links.
pub const NONE: u32 = u32::MAX;

/// What a slot's connection belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owner {
    /// A shard of this worker, by its index.
    Shard(u32),
    /// Nobody yet: it waits for its `auth` message.
    Lobby,
    /// Nobody's shard: it subscribes to a tenant's events.
    Subscriber,
    /// Nobody's: what it says is sent back, for conformance tests.
    Echo,
    /// Nobody any more: its close frame is on the way.
    Leaving,
}

/// Everything that is kept of an idle connection, apart from its attachment.
#[derive(Debug)]
pub struct Slot {
    pub(crate) id: ConnectionId,
    pub(crate) partial: Option<Box<Partial>>,
    pub(crate) outbox: Option<Box<Outbox>>,
    /// `None` while a Socket.IO connection polls: its session is in `partial`.
    pub(crate) socket: Option<OwnedFd>,
    generation: u32,
    owner: u32,
    /// First and last frame of the current turn that wait to be flushed.
    pub(crate) head: u32,
    pub(crate) tail: u32,
    /// When a frame last came in, in ticks of the worker (wraps).
    pub(crate) last_seen: u16,
    /// When the next ping is due, in ticks (wraps); while a Socket.IO client owes its pong, when
    /// its time is over.
    pub(crate) ping_due: u16,
    /// Inbound frames it may still send at once.
    pub(crate) allowance: u16,
    pub(crate) bad_frames: u8,
    flags: Flags,
}

/// Small facts in one byte that is never zero, so that an absent slot takes no more room than one
/// that is there. The two bits of [`Flags::MOUNT`] are 0 for the plain transport, else the
/// Socket.IO mount plus one.
#[derive(Clone, Copy, Debug)]
struct Flags(NonZeroU8);

impl Flags {
    const ALWAYS: NonZeroU8 = NonZeroU8::MIN;
    const PEER_CLOSED: u8 = 1 << 1;
    const OWES_PONG: u8 = 1 << 2;
    const PROBES: u8 = 1 << 3;
    const UNREAD: u8 = 1 << 6;
    const MOUNT_SHIFT: u32 = 4;
    const MOUNT: u8 = 0b11 << Self::MOUNT_SHIFT;

    fn has(self, bit: u8) -> bool {
        self.0.get() & bit != 0
    }

    fn put(&mut self, bits: u8, value: u8) {
        let rest = self.0.get() & !bits;
        self.0 = Self::ALWAYS | (rest | value);
    }

    fn set(&mut self, bit: u8, on: bool) {
        self.put(bit, if on { bit } else { 0 });
    }
}

const OWNER_LOBBY: u32 = u32::MAX;
const OWNER_LEAVING: u32 = u32::MAX - 1;
const OWNER_SUBSCRIBER: u32 = u32::MAX - 2;
const OWNER_ECHO: u32 = u32::MAX - 3;

impl Slot {
    /// A slot for a fresh socket.
    pub fn new(socket: OwnedFd, id: ConnectionId, owner: Owner) -> Self {
        Self::of(Some(socket), id, owner)
    }

    /// A slot for a Socket.IO session that polls.
    pub fn polling(session: Arc<PollSession>, id: ConnectionId) -> Self {
        let mut slot = Self::of(None, id, Owner::Lobby);
        slot.set_wire(Wire::SocketIo(session.mount()));
        slot.partial = Some(Box::new(Partial {
            polling: Some(session),
            ..Partial::default()
        }));
        slot
    }

    fn of(socket: Option<OwnedFd>, id: ConnectionId, owner: Owner) -> Self {
        let mut slot = Self {
            id,
            partial: None,
            outbox: None,
            socket,
            generation: 0,
            owner: 0,
            head: NONE,
            tail: NONE,
            last_seen: 0,
            ping_due: 0,
            allowance: 0,
            bad_frames: 0,
            flags: Flags(Flags::ALWAYS),
        };
        slot.set_owner(owner);
        slot
    }

    /// The connection's id.
    pub fn id(&self) -> ConnectionId {
        self.id
    }

    /// How the connection speaks.
    pub fn wire(&self) -> Wire {
        match (self.flags.0.get() & Flags::MOUNT) >> Flags::MOUNT_SHIFT {
            0 => Wire::Plain,
            mount => Wire::SocketIo(MountId::of_index(mount - 1)),
        }
    }

    /// Says how the connection speaks.
    pub fn set_wire(&mut self, wire: Wire) {
        let mount = match wire {
            Wire::Plain => 0,
            Wire::SocketIo(mount) => mount.index() as u8 + 1,
        };
        self.flags.put(Flags::MOUNT, mount << Flags::MOUNT_SHIFT);
    }

    /// The peer sent a close frame or its FIN.
    pub(crate) fn peer_closed(&self) -> bool {
        self.flags.has(Flags::PEER_CLOSED)
    }

    pub(crate) fn note_peer_closed(&mut self) {
        self.flags.set(Flags::PEER_CLOSED, true);
    }

    /// Whether a Socket.IO heartbeat waits for its answer.
    pub(crate) fn owes_pong(&self) -> bool {
        self.flags.has(Flags::OWES_PONG)
    }

    pub(crate) fn set_owes_pong(&mut self, on: bool) {
        self.flags.set(Flags::OWES_PONG, on);
    }

    /// Whether its socket is among those that are read on in a later turn.
    pub(crate) fn is_unread(&self) -> bool {
        self.flags.has(Flags::UNREAD)
    }

    pub(crate) fn set_unread(&mut self, on: bool) {
        self.flags.set(Flags::UNREAD, on);
    }

    /// Whether this is a WebSocket that a polling session may change to.
    pub(crate) fn probes(&self) -> bool {
        self.flags.has(Flags::PROBES)
    }

    pub(crate) fn set_probes(&mut self, on: bool) {
        self.flags.set(Flags::PROBES, on);
    }

    /// The session of a connection that polls.
    pub(crate) fn session(&self) -> Option<&Arc<PollSession>> {
        self.partial.as_ref()?.polling.as_ref()
    }

    /// What the connection belongs to.
    pub fn owner(&self) -> Owner {
        match self.owner {
            OWNER_LOBBY => Owner::Lobby,
            OWNER_LEAVING => Owner::Leaving,
            OWNER_SUBSCRIBER => Owner::Subscriber,
            OWNER_ECHO => Owner::Echo,
            shard => Owner::Shard(shard),
        }
    }

    /// Gives the connection to another owner.
    pub fn set_owner(&mut self, owner: Owner) {
        self.owner = match owner {
            Owner::Lobby => OWNER_LOBBY,
            Owner::Leaving => OWNER_LEAVING,
            Owner::Subscriber => OWNER_SUBSCRIBER,
            Owner::Echo => OWNER_ECHO,
            Owner::Shard(shard) => shard,
        };
    }
}

#[derive(Debug)]
struct Chunk {
    slots: Vec<Option<Slot>>,
    live: usize,
}

/// All connections of one worker.
#[derive(Debug, Default)]
pub struct Table {
    chunks: Vec<Option<Box<Chunk>>>,
    /// No chunk before this one has room.
    first_with_room: usize,
    generation: u32,
    live: usize,
}

impl Table {
    /// Adds a connection, at the lowest free index so that the end of the table empties.
    pub fn insert(&mut self, mut slot: Slot) -> SlotToken {
        self.generation = self.generation.wrapping_add(1);
        slot.generation = self.generation;
        let has_room =
            |chunk: &Option<Box<Chunk>>| chunk.as_ref().is_none_or(|chunk| chunk.live < CHUNK);
        let number = (self.first_with_room..self.chunks.len())
            .find(|number| self.chunks.get(*number).is_some_and(has_room))
            .unwrap_or(self.chunks.len());
        self.first_with_room = number;
        if number == self.chunks.len() {
            self.chunks.push(None);
        }
        let chunk = self.chunks[number].get_or_insert_with(|| {
            Box::new(Chunk {
                slots: std::iter::repeat_with(|| None).take(CHUNK).collect(),
                live: 0,
            })
        });
        let offset = chunk.slots.iter().position(Option::is_none).unwrap_or(0);
        chunk.slots[offset] = Some(slot);
        chunk.live += 1;
        self.live += 1;
        SlotToken {
            index: (number * CHUNK + offset) as u32,
            generation: self.generation,
        }
    }

    /// The connection of this token, while it lives.
    pub fn get(&self, token: SlotToken) -> Option<&Slot> {
        let chunk = self.chunks.get(token.index as usize / CHUNK)?.as_deref()?;
        let slot = chunk.slots.get(token.index as usize % CHUNK)?.as_ref()?;
        (slot.generation == token.generation).then_some(slot)
    }

    /// The connection of this token, while it lives.
    pub fn get_mut(&mut self, token: SlotToken) -> Option<&mut Slot> {
        let chunk = self
            .chunks
            .get_mut(token.index as usize / CHUNK)?
            .as_deref_mut()?;
        let slot = chunk
            .slots
            .get_mut(token.index as usize % CHUNK)?
            .as_mut()?;
        (slot.generation == token.generation).then_some(slot)
    }

    /// Takes a connection out.
    pub fn remove(&mut self, token: SlotToken) -> Option<Slot> {
        self.get(token)?;
        let number = token.index as usize / CHUNK;
        let place = self.chunks.get_mut(number)?;
        let chunk = place.as_deref_mut()?;
        let slot = chunk.slots.get_mut(token.index as usize % CHUNK)?.take();
        chunk.live -= 1;
        if chunk.live == 0 {
            *place = None;
            while self.chunks.last().is_some_and(Option::is_none) {
                self.chunks.pop();
            }
        }
        self.live -= 1;
        self.first_with_room = self.first_with_room.min(number);
        slot
    }

    /// The token of the connection at this index, if there is one.
    pub fn token_at(&self, index: u32) -> Option<SlotToken> {
        let chunk = self.chunks.get(index as usize / CHUNK)?.as_deref()?;
        let slot = chunk.slots.get(index as usize % CHUNK)?.as_ref()?;
        Some(SlotToken {
            index,
            generation: slot.generation,
        })
    }

    /// One past the highest index in use.
    pub fn end(&self) -> u32 {
        (self.chunks.len() * CHUNK) as u32
    }

    /// Every connection.
    pub fn iter(&self) -> impl Iterator<Item = (SlotToken, &Slot)> {
        self.chunks.iter().enumerate().flat_map(|(number, chunk)| {
            chunk.iter().flat_map(move |chunk| {
                chunk
                    .slots
                    .iter()
                    .enumerate()
                    .filter_map(move |(offset, slot)| {
                        let slot = slot.as_ref()?;
                        let index = (number * CHUNK + offset) as u32;
                        Some((
                            SlotToken {
                                index,
                                generation: slot.generation,
                            },
                            slot,
                        ))
                    })
            })
        })
    }

    /// Connections in the table, closing ones included.
    pub fn len(&self) -> usize {
        self.live
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.live == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slot() -> Slot {
        let socket = rustix::event::eventfd(0, rustix::event::EventfdFlags::empty()).unwrap();
        Slot::new(socket, ConnectionId::random(), Owner::Lobby)
    }

    #[test]
    fn a_slot_is_one_cache_line() {
        assert_eq!(size_of::<Option<Slot>>(), 64);
    }

    #[test]
    fn a_late_token_finds_nothing() {
        let mut table = Table::default();
        let first = table.insert(slot());
        assert!(table.remove(first).is_some());
        let second = table.insert(slot());
        assert_eq!(first.index(), second.index());
        assert!(table.get(first).is_none() && table.remove(first).is_none());
        assert!(table.get(second).is_some());
        assert_eq!(SlotToken::from_bits(second.to_bits()), second);
    }

    #[test]
    fn the_table_shrinks_after_a_peak_and_reuses_low_slots() {
        let mut table = Table::default();
        let tokens: Vec<_> = (0..CHUNK * 3).map(|_| table.insert(slot())).collect();
        assert_eq!(table.end() as usize, CHUNK * 3);
        for token in &tokens[CHUNK..] {
            table.remove(*token);
        }
        assert_eq!((table.end() as usize, table.len()), (CHUNK, CHUNK));
        table.remove(tokens[7]);
        assert_eq!(table.insert(slot()).index(), 7);
        for (token, _) in table.iter().map(|(t, s)| (t, s.id)).collect::<Vec<_>>() {
            table.remove(token);
        }
        assert!(table.is_empty());
        assert_eq!(table.end(), 0);
    }
}
