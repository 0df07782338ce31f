//! What an application built on Dormouse plugs in: events of its own, rooms, what newcomers are told
//! first, and presence. What it sends by itself goes through [`crate::Workers`].

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use dormouse_protocol::{Attachment, ConnectionId, Filter, Labels, Rooms};
use serde_json::value::RawValue;

use crate::frame::Frame;
use crate::mount::Wire;
use crate::publication::ReplyTo;

/// A client's event, on its way to the application.
#[derive(Debug)]
pub struct EventRequest {
    /// Whose connection sent it.
    pub user: Arc<str>,
    /// Which connection.
    pub connection: ConnectionId,
    /// The connection's client type and ids.
    pub labels: Labels,
    /// The rooms that the connection is in.
    pub rooms: Rooms,
    /// The event's name.
    pub event: Box<str>,
    /// Its data, unread; `None` when there was none.
    pub payload: Option<Box<RawValue>>,
    /// Where the acknowledgement goes; `None` when the client asked for none.
    pub reply_to: Option<ReplyTo>,
    /// How the client speaks: a few rules differ by it (Socket.IO contract, sections 6 and 10).
    pub wire: Wire,
}

/// A frame for some of the user's connections.
#[derive(Debug)]
pub struct Delivery {
    /// Which connections.
    pub filter: Filter,
    /// A connection that is left out even if the filter matches it.
    pub except: Option<ConnectionId>,
    /// The frame's JSON.
    pub json: String,
    /// Whether it may be dropped for slow readers.
    pub is_ephemeral: bool,
}

/// A change of the rooms that the sender of an event is in. Rooms are part of the attachment: they
/// last until the connection ends, sleep included.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RoomChange {
    /// Into a room. One that [`Rooms::join`] refuses is not joined: whoever takes names from clients
    /// tries them on a copy of [`EventRequest::rooms`] first.
    Join(Box<str>),
    /// Out of a room.
    Leave(Box<str>),
}

/// What a connection begins with.
#[derive(Debug, Default)]
pub struct Welcome {
    /// The rooms that it is in from the first.
    pub rooms: Vec<Box<str>>,
    /// What it is sent right behind the confirmation that it is connected: nothing comes between,
    /// and what is delivered to its user from then on comes after.
    pub frames: Vec<Frame>,
}

/// What an event led to. The ack is queued to the sender before any delivery is queued to anyone.
#[derive(Debug, Default)]
pub struct EventOutcome {
    /// JSON of the ack's value, sent only if the client asked for one.
    pub ack: Option<String>,
    /// Changed before anything is sent.
    pub rooms: Vec<RoomChange>,
    /// What others (and the sender, if the filter matches) get.
    pub deliveries: Vec<Delivery>,
}

/// When the outcome is known.
pub enum EventReply {
    /// At once: nothing had to be waited for.
    Now(EventOutcome),
    /// When the future ends. The shard stays awake until then.
    Later(Pin<Box<dyn Future<Output = EventOutcome>>>),
    /// When the application publishes it, the ack included, by [`crate::Workers::publish`]: for
    /// changes whose order over all shards matters. The shard may sleep meanwhile; the publication
    /// wakes it.
    Published,
}

/// Handlers of events that the shards themselves know nothing of. Shared by all workers.
pub trait Application: Send + Sync + 'static {
    /// Whether the application takes this event of a user's connection; if not, it is forwarded by
    /// default.
    fn handles(&self, user: &str, event: &str) -> bool;

    /// Handles an event. Called on the shard's thread: must not block.
    fn handle(&self, request: EventRequest) -> EventReply;

    /// What a connection begins with. Called on its shard's thread when its place is certain and
    /// before its shard knows it: must not block, and whoever changes what this tells delivers the
    /// change afterwards, so that nobody misses it.
    fn welcome(&self, _: &Attachment, _: Wire) -> Welcome {
        Welcome::default()
    }

    /// Whether such connections of a user are kept to the application's events: what connections can
    /// do among themselves elsewhere (broadcasts, calls, forwarding) is ignored like any unknown
    /// event. For connections that may not reach all others of their user.
    fn is_enclosed(&self, _user: &str, _: Wire) -> bool {
        false
    }

    /// A connection has ended. Called on its shard's thread: must not block.
    fn left(&self, _: &Attachment) {}

    /// A machine's first connection came, or its last one went (realtime contract, section 9).
    /// Must not block: the frames to clients do not wait for it.
    fn machine_presence(&self, user: &str, machine: &str, is_online: bool);
}

/// An application without events of its own.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoApplication;

impl Application for NoApplication {
    fn handles(&self, _: &str, _: &str) -> bool {
        false
    }

    fn handle(&self, _: EventRequest) -> EventReply {
        EventReply::Now(EventOutcome::default())
    }

    fn machine_presence(&self, _: &str, _: &str, _: bool) {}
}
