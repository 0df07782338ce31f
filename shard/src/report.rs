//! What a worker says of itself when asked.

use std::collections::BTreeMap;
use std::time::Duration;

use dormouse_protocol::stats::ByType;

use crate::counters::{Histogram, IoCounters};
use crate::tier::TierId;

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
    /// What tiers are promised, by position of the tier; shorter where the last tiers have had
    /// nothing to count.
    pub tiers: Vec<TierCounters>,
}

/// What is counted of one tier's users on one worker, to tell whether promises are kept.
#[derive(Clone, Debug, Default)]
pub struct TierCounters {
    /// Connections taken in.
    pub accepted: u64,
    /// As [`ShardCounters::broadcast_time`].
    pub delivery_time: Histogram,
    /// Of those deliveries, how many took longer than promised.
    pub late_deliveries: u64,
}

impl TierCounters {
    fn merge(&mut self, other: &Self) {
        let Self {
            accepted,
            delivery_time,
            late_deliveries,
        } = other;
        self.accepted += accepted;
        self.delivery_time.merge(delivery_time);
        self.late_deliveries += late_deliveries;
    }
}

impl ShardCounters {
    /// The counters of a tier.
    pub(crate) fn of_tier(&mut self, tier: TierId) -> &mut TierCounters {
        let index = tier.index();
        if self.tiers.len() <= index {
            self.tiers.resize_with(index + 1, TierCounters::default);
        }
        &mut self.tiers[index]
    }

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
            tiers,
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
        if self.tiers.len() < tiers.len() {
            self.tiers.resize_with(tiers.len(), TierCounters::default);
        }
        for (tier, more) in self.tiers.iter_mut().zip(tiers) {
            tier.merge(more);
        }
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
    /// Processor time that the worker's thread has used: its shards and sockets, and the HTTP
    /// requests that it was given.
    pub processor_time: Duration,
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
