//! What a worker says of itself when asked.

use std::collections::BTreeMap;

use dormouse_protocol::stats::ByType;

use crate::counters::{Histogram, IoCounters};

/// Counters of one worker that are not about sockets.
#[derive(Clone, Debug, Default)]
pub struct ShardCounters {
    /// Connections taken in.
    pub accepted: u64,
    /// Refusals by tier and reason.
    pub rejected: BTreeMap<(String, &'static str), u64>,
    /// Shards that fell asleep.
    pub sleeps: u64,
    /// Shards that woke.
    pub wakes: u64,
    /// Attempts to fall asleep that the store refused.
    pub sleep_failures: u64,
    /// Shards whose attachments could not be read; their connections were closed.
    pub wake_failures: u64,
    /// Deliveries that a connection did not take.
    pub broadcast_failures: u64,
    /// Messages handled by shards.
    pub messages: u64,
    /// First-message authentications that ended otherwise than well, by reason.
    pub lobby_refused: BTreeMap<&'static str, u64>,
    /// Events handed to subscribers: one for each event and subscriber.
    pub events_delivered: u64,
    /// Events that a subscriber did not take because it was closing or not reading.
    pub events_dropped: u64,
    /// From the handshake's first byte to the greeting.
    pub connection_time: Histogram,
    /// From reading a message to having handed over what it led to.
    pub message_latency: Histogram,
    /// Time to load a shard's attachments.
    pub wake_time: Histogram,
    /// From asking for a delivery to having posted it in a shard: the way there, waking and
    /// selecting.
    pub broadcast_time: Histogram,
    /// From accepting an event for publication to having handed it to a subscriber.
    pub event_delivery: Histogram,
}

impl ShardCounters {
    /// Adds another worker's counters.
    pub fn merge(&mut self, other: &Self) {
        // Without `..`, so that no new counter is forgotten.
        let Self {
            accepted,
            rejected,
            sleeps,
            wakes,
            sleep_failures,
            wake_failures,
            broadcast_failures,
            messages,
            lobby_refused,
            events_delivered,
            events_dropped,
            connection_time,
            message_latency,
            wake_time,
            broadcast_time,
            event_delivery,
        } = other;
        self.accepted += accepted;
        for (key, count) in rejected {
            *self.rejected.entry(key.clone()).or_default() += count;
        }
        self.sleeps += sleeps;
        self.wakes += wakes;
        self.sleep_failures += sleep_failures;
        self.wake_failures += wake_failures;
        self.broadcast_failures += broadcast_failures;
        self.messages += messages;
        for (reason, count) in lobby_refused {
            *self.lobby_refused.entry(reason).or_default() += count;
        }
        self.events_delivered += events_delivered;
        self.events_dropped += events_dropped;
        self.connection_time.merge(connection_time);
        self.message_latency.merge(message_latency);
        self.wake_time.merge(wake_time);
        self.broadcast_time.merge(broadcast_time);
        self.event_delivery.merge(event_delivery);
    }
}

/// Users and connections of one tier on one worker.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TierUse {
    /// Users whose first shard is here.
    pub users: u64,
    /// Connections of all shards here.
    pub connections: u64,
}

/// One worker's state and counters.
#[derive(Clone, Debug, Default)]
pub struct WorkerReport {
    /// Index of the worker.
    pub id: usize,
    /// Shards that exist.
    pub shards: u64,
    /// Of those, with attachments in memory.
    pub awake: u64,
    /// Users whose first shard is here.
    pub users: u64,
    /// Authenticated connections.
    pub connections: u64,
    /// The same by client type.
    pub by_type: ByType,
    /// Connections that have yet to authenticate.
    pub pending: u64,
    /// Subscribers of events, whose keys may still be being verified.
    pub subscribers: u64,
    /// Frames in outboxes.
    pub queued_frames: u64,
    /// Bytes in outboxes.
    pub queued_bytes: u64,
    /// Smallest `connectedAt`, Unix ms.
    pub oldest: Option<u64>,
    /// Per tier, in the order of the configuration.
    pub tiers: Vec<TierUse>,
    /// The users with most connections among those whose first shard is here, with the connections
    /// of all their shards: no user is in the reports of two workers.
    pub busiest: Vec<(String, u64)>,
    /// Counters of sockets.
    pub io: IoCounters,
    /// Counters of shards.
    pub counters: ShardCounters,
}
