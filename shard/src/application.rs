//! What an application built on Dormouse plugs in: events of its own, and presence.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use dormouse_protocol::{ConnectionId, Filter, Labels};
use serde_json::value::RawValue;

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

/// What an event led to. The ack is queued to the sender before any delivery is queued to anyone.
#[derive(Debug, Default)]
pub struct EventOutcome {
    /// JSON of the ack's value, sent only if the client asked for one.
    pub ack: Option<String>,
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
    /// Whether the application takes this event; if not, it is forwarded by default.
    fn handles(&self, event: &str) -> bool;

    /// Handles an event. Called on the shard's thread: must not block.
    fn handle(&self, request: EventRequest) -> EventReply;

    /// A machine's first connection came, or its last one went (realtime contract, section 9).
    /// Must not block: the frames to clients do not wait for it.
    fn machine_presence(&self, user: &str, machine: &str, is_online: bool);
}

/// An application without events of its own.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoApplication;

impl Application for NoApplication {
    fn handles(&self, _: &str) -> bool {
        false
    }

    fn handle(&self, _: EventRequest) -> EventReply {
        EventReply::Now(EventOutcome::default())
    }

    fn machine_presence(&self, _: &str, _: &str, _: bool) {}
}
