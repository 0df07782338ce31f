//! What the shards need to know, as plain values.

use std::time::Duration;

/// Limits and timers of connections and shards (realtime contract, section 13).
#[derive(Clone, Debug)]
pub struct ShardSettings {
    /// How long a shard stays awake without an event.
    pub hibernate_after: Duration,
    /// Time between protocol pings to one connection.
    pub ping_interval: Duration,
    /// A connection without any inbound frame for this long is closed with 1001.
    pub idle_timeout: Duration,
    /// Time to authenticate by first message, counted from accept.
    pub auth_deadline: Duration,
    /// Largest inbound message after reassembly, bytes; over it the close code is 1009.
    pub message_bytes: usize,
    /// Most frames that wait for one connection.
    pub outbox_frames: usize,
    /// Most bytes that wait for one connection.
    pub outbox_bytes: usize,
    /// Sustained inbound frames per second of one connection.
    pub frames_per_second: u32,
    /// Inbound frames that one connection may send in a burst.
    pub frame_burst: u32,
    /// Messages in a row that are no envelope, after which the close code is 1002.
    pub bad_frames: u8,
    /// How long an RPC call may stay open.
    pub rpc_timeout: Duration,
    /// How long an RPC call of a Socket.IO client may stay open, if that is less.
    pub socket_io_rpc_timeout: Duration,
    /// How long such a call waits for somebody to serve its method.
    pub rpc_wait: Duration,
    /// Most open RPC calls of one connection.
    pub rpc_open_calls: usize,
    /// Most RPC methods that one connection may serve.
    pub rpc_methods: usize,
    /// What each tier is promised of deliveries, in the order of the configuration: those that
    /// take longer are counted as late. A tier that is not listed is promised nothing.
    pub promised_delivery: Vec<Duration>,
    /// Largest message on the echo endpoint, bytes.
    pub echo_message_bytes: usize,
    /// Subscribers of events, who have bounds of their own.
    pub subscribers: SubscriberSettings,
}

/// Limits and timers of subscribers (contract events.md section 7).
#[derive(Clone, Debug)]
pub struct SubscriberSettings {
    /// Time between protocol pings to one connection.
    pub ping_interval: Duration,
    /// A connection without any inbound frame for this long is closed with 1001.
    pub idle_timeout: Duration,
    /// Largest inbound message after reassembly, bytes; over it the close code is 1009.
    pub message_bytes: usize,
    /// Most frames that wait for one connection.
    pub outbox_frames: usize,
    /// Most bytes that wait for one connection; all who wait share them.
    pub outbox_bytes: usize,
    /// Longest time that a frame may wait.
    pub outbox_age: Duration,
}

impl Default for SubscriberSettings {
    fn default() -> Self {
        Self {
            ping_interval: Duration::from_secs(30),
            idle_timeout: Duration::from_secs(120),
            message_bytes: 64 << 10,
            outbox_frames: 16_384,
            outbox_bytes: 64 << 20,
            outbox_age: Duration::from_secs(5),
        }
    }
}

impl Default for ShardSettings {
    fn default() -> Self {
        Self {
            hibernate_after: Duration::from_secs(10),
            ping_interval: Duration::from_secs(30),
            idle_timeout: Duration::from_secs(300),
            auth_deadline: Duration::from_secs(5),
            message_bytes: 1 << 20,
            outbox_frames: 1024,
            outbox_bytes: 4 << 20,
            frames_per_second: 200,
            frame_burst: 1000,
            bad_frames: 20,
            rpc_timeout: Duration::from_secs(300),
            socket_io_rpc_timeout: Duration::from_secs(30),
            rpc_wait: Duration::from_secs(15),
            rpc_open_calls: 256,
            rpc_methods: 1024,
            echo_message_bytes: 16 << 20,
            subscribers: SubscriberSettings::default(),
            promised_delivery: Vec::new(),
        }
    }
}
