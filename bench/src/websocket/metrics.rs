//! The metrics of the WebSocket scenario, by the names of the load-test documents.
//!
//! One declaration gives the collectors, their names in thresholds, reports and result files, and
//! their order.

use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};

use crate::stats::{Counter, Figure, Gauge, Rate, Reading, Snapshot, Trend};

macro_rules! metrics {
    ($($(#[$doc:meta])+ $name:ident: $kind:ty),+ $(,)?) => {
        /// What a run of the WebSocket scenario collects.
        #[derive(Clone, Debug, Default, Serialize, Deserialize)]
        pub struct Metrics { $($(#[$doc])+ pub $name: $kind),+ }

        impl Metrics {
            /// Every metric under its name, reduced to what is reported.
            pub fn snapshot(&self) -> Snapshot {
                let mut snapshot = Snapshot::default();
                $(snapshot.push(stringify!($name), self.$name.summary());)+
                snapshot
            }

            /// Adds what another worker collected.
            pub fn merge(&mut self, other: &Self) {
                $(self.$name.merge(&other.$name);)+
            }
        }
    };
}

metrics! {
    /// From the intended start of a connection to its `101`.
    ws_connection_time: Trend,
    /// From the intended start of a connection to its `connected` frame.
    ws_ready_time: Trend,
    /// Open connections.
    ws_connections_active: Gauge,
    /// Attempts that failed, other than by the connection limit (429).
    ws_connection_errors: Counter,
    /// Attempts that ended in a `connected` frame.
    ws_connection_success: Counter,
    /// Successful attempts out of all.
    ws_connection_success_rate: Rate,
    /// Connections that ended without the client's wish.
    ws_connections_dropped: Counter,
    /// Data frames that arrived.
    ws_messages_received: Counter,
    /// Data frames sent.
    ws_messages_sent: Counter,
    /// Frames that a healthy server does not send here: errors, unreadable ones, pongs without a
    /// time.
    ws_messages_faulty: Counter,
    /// From the intended moment of a ping to its pong.
    ws_message_latency: Trend,
    /// Pings without a pong.
    ws_pings_lost: Counter,
    /// Pongs without a ping.
    ws_pongs_duplicated: Counter,
    /// From the intended moment of a broadcast to its arrival, for each recipient.
    ws_broadcast_delivery_time: Trend,
    /// Expected deliveries that came in time (500 ms in the built-in modes).
    ws_broadcast_success: Rate,
    /// Expected deliveries that never came.
    ws_broadcast_lost: Counter,
    /// Deliveries that came again.
    ws_broadcast_duplicated: Counter,
    /// Deliveries to a connection that the filter does not reach.
    ws_broadcast_misrouted: Counter,
    /// Broadcasts whose `delivered` was not the number of connections they were for.
    ws_broadcast_miscounted: Counter,
    /// How many of the four audiences (all, user-scoped, session, machine) had a broadcast.
    ws_filters_exercised: Counter,
    /// Connections that were closed and opened again on purpose.
    ws_reconnections: Counter,
    /// From the start of a second handshake to its `connected` frame.
    ws_reconnection_time: Trend,
    /// From the intended moment of an HTTP request to its whole answer.
    http_req_duration: Trend,
    /// Requests without an answer or with another status than 200.
    http_req_failed: Rate,
    /// The same as `http_req_duration`, for the statistics endpoint alone.
    do_response_time: Trend,
    /// `totalConnections` of the statistics.
    do_connections_total: Gauge,
    /// Attempts refused by the connection limit (429).
    do_connections_rejected: Counter,
    /// Attempts refused by the connection limit, out of all.
    do_connection_rejection_rate: Rate,
    /// Statistics that did not come to agree with the open connections within a second.
    do_stats_mismatched: Counter,
    /// `memoryUsage` of the statistics, if the server tells it.
    do_memory_usage_bytes: Reading,
    /// Age of the oldest connection by the statistics.
    do_oldest_connection_ms: Reading,
    /// `messageQueueDepth` of the statistics, if the server tells it.
    do_message_queue_depth: Gauge,
    /// Growth of the server's resident memory from the first to the last tenth of the time at the
    /// peak, as a multiple of the first: 0.1 is a tenth more. Not measured without `--pid` or
    /// `/metrics`.
    server_memory_growth: Figure,
}

/// The metrics of a run in progress, written to by all of its tasks.
#[derive(Debug, Default)]
pub(super) struct Recorder(Mutex<Metrics>);

impl Recorder {
    /// The metrics, for as long as the guard lives; never held across an `await`.
    pub(super) fn lock(&self) -> MutexGuard<'_, Metrics> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
