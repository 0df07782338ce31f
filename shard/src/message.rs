//! What shards are told, by their worker and by each other.

use std::sync::Arc;

use bytestring::ByteString;
use dormouse_protocol::{Attachment, ClientType, CloseCode, ConnectionId, Filter};
use serde_json::value::RawValue;
use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::frame::Frame;
use crate::mount::Wire;
use crate::name::ShardName;
use crate::publication::Encoded;
use crate::store::StoreError;
use crate::table::SlotToken;

/// How many connections of one shard were handed a frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShardDelivery {
    /// The shard.
    pub shard: ShardName,
    /// Its connections whose queue accepted the frame.
    pub delivered: u64,
}

/// Where shards report; the asker has all answers when every sender is dropped.
pub type Replies<T> = mpsc::UnboundedSender<T>;

/// A message that any of a user's shards may get, from the user's other shards or from outside.
#[derive(Clone, Debug)]
pub enum HubMessage {
    /// Hand a frame to the connections that the filter chooses.
    Deliver {
        /// Which connections.
        filter: Arc<Filter>,
        /// What they get.
        frame: Frame,
        /// When it was asked for; what a shard took is measured from here, waking included.
        asked_at: Instant,
        /// Where to say how many got it.
        reply: Option<Replies<ShardDelivery>>,
    },
    /// Hand out a publication: its ack first, then its deliveries in their order.
    Publish {
        /// What is published.
        publication: Arc<Encoded>,
        /// As for `Deliver`.
        asked_at: Instant,
    },
    /// As `Deliver`, to connections of one client type that the filter chooses as well.
    DeliverToType {
        /// Which client type.
        client_type: ClientType,
        /// Which of its connections.
        filter: Arc<Filter>,
        /// What they get.
        frame: Frame,
        /// As for `Deliver`.
        asked_at: Instant,
        /// Where to say how many got it.
        reply: Replies<ShardDelivery>,
    },
    /// Hand a frame to these connections, as far as they are here.
    Direct {
        /// Which connections.
        connections: Arc<[ConnectionId]>,
        /// What they get.
        frame: Frame,
    },
    /// Who here could serve a call?
    RpcFind {
        /// The full method name.
        method: Arc<str>,
        /// Whether user-scoped connections may be asked at last.
        ask_users: bool,
        /// Where to say it.
        reply: Replies<RpcFound>,
    },
    /// A target elsewhere has answered a call that was made here.
    RpcAnswer {
        /// The call's id.
        id: Arc<str>,
        /// Who answered.
        from: ConnectionId,
        /// The answer, as JSON.
        value: Option<Arc<str>>,
    },
    /// A connection elsewhere serves a method now: calls that wait for one can be placed.
    Registered {
        /// The full method name.
        method: Arc<str>,
        /// Who serves it.
        found: RpcFound,
    },
    /// Send an event of the server to one connection, which is to acknowledge it.
    Ask {
        /// Which.
        connection: ConnectionId,
        /// The event's name.
        event: Arc<str>,
        /// Its data.
        data: Option<Arc<RawValue>>,
        /// When nobody waits any more.
        deadline: Instant,
        /// Where the acknowledgement goes.
        reply: Replies<Box<RawValue>>,
    },
    /// A connection elsewhere is gone and can answer no more calls.
    Gone(ConnectionId),
    /// Count the connections that the filter chooses, of one client type or of all.
    Count {
        /// Which client type; `None` for all.
        client_type: Option<ClientType>,
        /// Which connections.
        filter: Arc<Filter>,
        /// Where to say how many.
        reply: Replies<u64>,
    },
    /// Describe the connections.
    Inspect(Replies<Vec<Attachment>>),
    /// Close the connections that the filter chooses, or those among them that were opened with one
    /// token.
    Disconnect {
        /// Which connections.
        filter: Arc<Filter>,
        /// The hash of that token, as attachments have it; `None` for all.
        opened_with: Option<[u8; 16]>,
        /// The code of the close frame.
        code: CloseCode,
        /// Its text.
        reason: Arc<str>,
        /// Where to say how many were closed.
        reply: Replies<ShardDelivery>,
    },
}

impl HubMessage {
    /// A delivery that is asked for now.
    pub fn deliver(
        filter: Arc<Filter>,
        frame: Frame,
        reply: Option<Replies<ShardDelivery>>,
    ) -> Self {
        let asked_at = Instant::now();
        Self::Deliver {
            filter,
            frame: frame.shared(),
            asked_at,
            reply,
        }
    }

    /// A publication that is asked for now.
    pub fn publish(publication: Encoded) -> Self {
        Self::Publish {
            publication: Arc::new(publication),
            asked_at: Instant::now(),
        }
    }
}

/// A message to one shard.
#[derive(Debug)]
pub enum ShardMessage {
    /// A connection is placed here; its socket is open and it has been greeted.
    Join {
        /// Its slot.
        token: SlotToken,
        /// What is known of it.
        attachment: Box<Attachment>,
    },
    /// A client's message.
    Inbound {
        /// From whom.
        token: SlotToken,
        /// How the client speaks.
        wire: Wire,
        /// What it said.
        text: ByteString,
        /// When it was read.
        read_at: Instant,
    },
    /// A connection is closing or gone.
    Ended(SlotToken),
    /// The outcome of storing attachments before sleep.
    Stored(Result<(), StoreError>),
    /// From the hub.
    Hub(HubMessage),
}

/// Who in one shard could serve an RPC call, best kind only (realtime contract, section 6).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RpcFound {
    /// The shard that answers.
    pub shard: u16,
    /// How well they match.
    pub level: RpcLevel,
    /// For [`RpcLevel::Registered`]: when the registration was made; the newest wins.
    pub order: u64,
    /// The candidates.
    pub connections: Vec<ConnectionId>,
}

/// The steps of resolving a call; the first that finds anybody wins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum RpcLevel {
    /// Registered for the exact method.
    Registered,
    /// Machine-scoped with the machine that the method names.
    Machine,
    /// Session-scoped with the session that the method names.
    Session,
    /// Any user-scoped connection.
    Users,
}
