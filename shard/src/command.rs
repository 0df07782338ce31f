//! What a worker is told by other threads.

use std::sync::Arc;
use std::time::Duration;

use dormouse_protocol::stats::{HubStats, ShardState, ShardStats};
use dormouse_protocol::{Attachment, ClientType, CloseCode, ConnectionId, Labels};
use tokio::sync::{mpsc, oneshot};

use crate::arrival::{Arrival, Claim, NewEcho, Newcomer};
use crate::event::Event;
use crate::event_log::{LogPage, LogUnavailable};
use crate::frame::Frame;
use crate::message::{HubMessage, Replies, ShardDelivery};
use crate::mount::{ConnectRefusal, Entrant};
use crate::polling::PollSession;
use crate::report::WorkerReport;
use crate::store::StoreError;
use crate::subscriber::{Access, AccessRefused, NewSubscriber};
use crate::table::SlotToken;

/// Which of a user's shards a message is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum To {
    /// All of them.
    All,
    /// All but this one, which sends it.
    Others(u16),
    /// This one.
    Shard(u16),
}

/// Whose connections a broadcast of an admin is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Audience {
    /// Users of the tier at this position of the configuration.
    Tier(crate::tier::TierId),
    /// Connections of this client type.
    ClientType(ClientType),
    /// Everyone.
    Everyone,
}

/// Which shards a list shows.
#[derive(Clone, Debug, Default)]
pub struct ShardQuery {
    /// Users whose id contains this.
    pub user: Option<String>,
    /// Users of this tier.
    pub tier: Option<String>,
    /// Awake or asleep.
    pub state: Option<ShardState>,
}

/// A user as admins see it.
#[derive(Clone, Debug)]
pub struct UserReport {
    /// Name of the tier.
    pub tier: String,
    /// Where the tier comes from.
    pub tier_source: crate::shards::TierSource,
    /// The cap.
    pub limit: u32,
    /// The shards' statistics.
    pub stats: HubStats,
    /// Every connection.
    pub connections: Vec<Attachment>,
}

/// What a hub's first shard knows of all; the siblings add their own.
#[derive(Debug)]
pub struct HubShare {
    /// Statistics of the shard that answers.
    pub shard: ShardStats,
    /// From the first shard only: distinct sessions and machines of the hub.
    pub labels: Option<(u64, u64)>,
    /// From the first shard only: where the tier comes from, and the cap.
    pub tier: Option<(crate::shards::TierSource, u32)>,
}

/// A message to a worker.
#[derive(Debug)]
pub enum Command {
    /// Place a connection: to the worker of the user's first shard.
    Admit(Box<Arrival>),
    /// Take in a connection that is placed: to the worker of that shard.
    Attach {
        /// The connection.
        arrival: Box<Arrival>,
        /// The shard's number.
        number: u16,
        /// The user's tier.
        tier: crate::tier::TierId,
    },
    /// Take in a connection that has yet to authenticate.
    Wait(Box<Newcomer>),
    /// Take in a socket that wants to subscribe to events.
    Subscribe(Box<NewSubscriber>),
    /// Take in a socket whose messages are sent back.
    Echo(Box<NewEcho>),
    /// The outcome of verifying a subscriber's key.
    SubscriberVerified(SlotToken, Result<Access, AccessRefused>),
    /// A page of the log for a subscriber's replay.
    LogRead(SlotToken, Result<LogPage, LogUnavailable>),
    /// Hand events to their subscribers: to all workers, in the order of publication.
    Events(Arc<[Arc<Event>]>),
    /// Close the subscribers that came with this key, which is revoked.
    CloseSubscribers(Arc<str>),
    /// Write these bytes to a socket that is refused, and close it.
    Refuse(Box<crate::table::Slot>, bytes::Bytes),
    /// The outcome of verifying a first message's token.
    Verified(SlotToken, Option<Claim>),
    /// The outcome of judging a CONNECT.
    Judged(SlotToken, Result<Box<Entrant>, ConnectRefusal>),
    /// A session that polls has something for its worker.
    Polled(Arc<PollSession>),
    /// Take in a WebSocket that is tried for a session that polls.
    Probe {
        /// The session.
        session: Arc<PollSession>,
        /// The socket.
        slot: Box<crate::table::Slot>,
        /// The `101` response.
        accept: bytes::Bytes,
    },
    /// A connection has left a further shard: to the worker of the user's first.
    Left {
        /// The owner.
        user: Arc<str>,
        /// The shard that it left.
        number: u16,
        /// What it was.
        labels: Labels,
    },
    /// A further shard has lost attachments and with them connections: to the worker of the
    /// user's first.
    Lost {
        /// The owner.
        user: Arc<str>,
        /// The shard.
        number: u16,
        /// How many connections it lost.
        lost: u32,
        /// What it still has.
        kept: Vec<Labels>,
    },
    /// Pass a message to a user's shards: to the worker of the first.
    Hub {
        /// The owner.
        user: Arc<str>,
        /// Which shards.
        to: To,
        /// What to tell.
        message: HubMessage,
    },
    /// Tell one shard of this worker, if it exists.
    Tell {
        /// The owner.
        user: Arc<str>,
        /// The shard's number.
        number: u16,
        /// What to tell.
        message: HubMessage,
    },
    /// Attachments are stored, or not.
    Stored(u32, Result<(), StoreError>),
    /// Statistics of a hub: to the worker of the first shard, which passes it on.
    Stats {
        /// The owner.
        user: Arc<str>,
        /// `None` for the whole hub, else one shard.
        number: Option<u16>,
        /// Where to.
        reply: Replies<HubShare>,
    },
    /// Report on the whole worker.
    Report {
        /// How many of the busiest users to name.
        busiest: usize,
        /// Where to.
        reply: oneshot::Sender<WorkerReport>,
    },
    /// List shards.
    List(ShardQuery, oneshot::Sender<Vec<ShardStats>>),
    /// Hand a frame to many users' connections.
    Broadcast {
        /// Whose.
        audience: Audience,
        /// Which of each user's.
        filter: Arc<dormouse_protocol::Filter>,
        /// What they get.
        frame: Frame,
        /// Where to say how many got it.
        reply: Replies<ShardDelivery>,
    },
    /// Count the connections that a broadcast would be for.
    CountAudience {
        /// Whose.
        audience: Audience,
        /// Which of each user's.
        filter: Arc<dormouse_protocol::Filter>,
        /// Where to say how many.
        reply: Replies<u64>,
    },
    /// Close one connection wherever it is.
    CloseConnection {
        /// Which.
        id: ConnectionId,
        /// The code of the close frame.
        code: CloseCode,
        /// Its text.
        reason: Arc<str>,
        /// Whether it was here.
        reply: mpsc::UnboundedSender<()>,
    },
    /// The token of a user's last arrival says another tier than the one before: for a further
    /// shard.
    Reclaim {
        /// The owner.
        user: Arc<str>,
        /// Which shard.
        number: u16,
        /// The tier that the token names, if there is one of that name.
        claimed: Option<crate::tier::TierId>,
    },
    /// A user's override has changed.
    RetierUser {
        /// The owner.
        user: Arc<str>,
    },
    /// Take no more connections and close what is open, spread over this time.
    Drain(Duration),
    /// Close everything now, end the loop when all is flushed or the time is over.
    Stop {
        /// The time.
        within: Duration,
        /// Called when the worker is done.
        done: oneshot::Sender<()>,
    },
}
