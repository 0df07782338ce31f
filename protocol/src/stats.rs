//! Statistics as users and admins read them.

use serde::{Deserialize, Serialize};

use crate::ClientType;

/// Connections per client type.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ByType {
    /// Apps and browsers.
    #[serde(rename = "user-scoped")]
    pub user_scoped: u64,
    /// Agents and session viewers.
    #[serde(rename = "session-scoped")]
    pub session_scoped: u64,
    /// Daemons.
    #[serde(rename = "machine-scoped")]
    pub machine_scoped: u64,
}

impl ByType {
    /// The counter of one client type.
    pub fn of(&mut self, client_type: ClientType) -> &mut u64 {
        match client_type {
            ClientType::UserScoped => &mut self.user_scoped,
            ClientType::SessionScoped => &mut self.session_scoped,
            ClientType::MachineScoped => &mut self.machine_scoped,
        }
    }

    /// Adds another count, type by type.
    pub fn add(&mut self, other: &Self) {
        self.user_scoped += other.user_scoped;
        self.session_scoped += other.session_scoped;
        self.machine_scoped += other.machine_scoped;
    }
}

/// Whether a shard has its attachments in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum ShardState {
    /// Attachments in memory, actor running.
    Awake,
    /// Attachments in the store, sockets open.
    Asleep,
}

/// One shard, as `GET /admin/v1/shards` and the user's own statistics show it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct ShardStats {
    /// `<userId>`, or `<userId>-<n>` for further shards.
    pub shard: String,
    /// The owner.
    pub user: String,
    /// Name of the tier that caps the user.
    pub tier: String,
    /// Awake or asleep.
    pub state: ShardState,
    /// Index of the worker that owns the shard.
    pub worker: usize,
    /// Open connections.
    pub connections: u64,
    /// The same, by client type.
    pub by_type: ByType,
    /// Smallest `connectedAt` of the shard, Unix ms; never later than the true one.
    pub oldest_connection: Option<u64>,
    /// Last event that the shard handled, Unix ms.
    pub last_activity_at: u64,
    /// Bytes waiting for clients that do not read fast enough.
    pub queued_bytes: u64,
    /// Frames waiting for them.
    pub queued_frames: u64,
    /// Connections refused at the cap while this shard was the user's first.
    pub rejected: u64,
    /// How often the shard fell asleep.
    pub sleeps: u64,
    /// How often it woke.
    pub wakes: u64,
}

/// Body of `GET /v1/websocket/stats` (realtime contract, section 11).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct HubStats {
    /// Open, authenticated connections of the user.
    pub total_connections: u64,
    /// The same, by client type.
    pub by_type: ByType,
    /// Distinct session labels.
    pub active_sessions: u64,
    /// Distinct machine labels.
    pub active_machines: u64,
    /// Smallest `connectedAt`, Unix ms.
    pub oldest_connection: Option<u64>,
    /// Resident bytes of the process.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory_usage: Option<u64>,
    /// Frames waiting in this hub's outboxes.
    pub message_queue_depth: u64,
    /// The user's shards, first to last.
    pub shards: Vec<ShardStats>,
}
