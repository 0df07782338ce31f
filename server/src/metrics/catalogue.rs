//! Every metric of the server, once: what is exported and what `docs/metrics.md` says of it.
//!
//! Scrapes can only export what is listed here, and tests hold what they export equal to the list.

use super::definition::Kind::{Counter, Gauge, Histogram};
use super::definition::Metric;
use super::definition::Origin::{Baselines, Capacity, Dashboard, Dormouse, Events, Process};
use super::definition::Unit::{Bytes, Count, Flag, Milliseconds, Ratio, Seconds, UnixSeconds};

macro_rules! catalogue {
    ($($id:ident = $origin:ident $kind:ident $name:literal [$($label:literal),*] $unit:ident,
       $help:literal;)*) => {
        $(
            #[doc = concat!("`", $name, "`: ", $help)]
            pub const $id: Metric = Metric {
                name: $name,
                kind: $kind,
                unit: $unit,
                labels: &[$($label),*],
                origin: $origin,
                help: $help,
            };
        )*

        /// All metrics, in the order of the documentation.
        pub const ALL: &[Metric] = &[$($id),*];
    };
}

catalogue! {
    WS_CONNECTION_TIME = Baselines Histogram "ws_connection_time" [] Milliseconds,
        "Time from reading a handshake to greeting the connection, in milliseconds; where the \
         first message authenticates, waiting for it included.";
    WS_CONNECTIONS_ACTIVE = Baselines Gauge "ws_connections_active" [] Count,
        "Open connections that have authenticated.";
    WS_CONNECTION_ERRORS = Baselines Counter "ws_connection_errors" [] Count,
        "Connections that did not come about: handshakes refused, connections refused by their \
         user's shard, failed first-message authentications.";
    WS_CONNECTION_SUCCESS = Baselines Counter "ws_connection_success" [] Count,
        "Connections that were taken in and greeted.";
    WS_MESSAGES_RECEIVED = Baselines Counter "ws_messages_received" [] Count,
        "Messages of clients: those handled by shards and application pings.";
    WS_MESSAGES_SENT = Baselines Counter "ws_messages_sent" [] Count,
        "Frames handed to sockets or to their outboxes, control frames included.";
    WS_MESSAGE_LATENCY = Baselines Histogram "ws_message_latency" [] Milliseconds,
        "The server's part of a message's round trip, in milliseconds: from reading it to having \
         handled it, or to having written the answer of an application ping.";
    WS_BROADCAST_DELIVERY_TIME = Baselines Histogram "ws_broadcast_delivery_time" [] Milliseconds,
        "Time from asking for a delivery to having handed it to the connections of a shard, in \
         milliseconds: the way to the shard's thread, waking it and choosing connections. One \
         observation per shard.";
    WS_BROADCAST_SUCCESS = Baselines Gauge "ws_broadcast_success" [] Ratio,
        "Share of the observations of ws_broadcast_delivery_time that took 500 ms or less, since \
         the start; 1 before the first.";

    DO_CONNECTIONS_TOTAL = Capacity Gauge "do_connections_total" ["user_id"] Count,
        "Open connections by user: the busiest users by name, all others together as other.";
    DO_CONNECTIONS_REJECTED = Capacity Counter "do_connections_rejected" [] Count,
        "Connections refused because their user was at the cap of the tier.";
    DO_CONNECTION_REJECTION_RATE = Capacity Gauge "do_connection_rejection_rate" [] Ratio,
        "Share of connections refused at the cap among those refused so or taken in, since the \
         start; 0 before the first.";
    DO_RESPONSE_TIME = Capacity Histogram "do_response_time" [] Milliseconds,
        "Time to answer a request for a user's statistics with success, in milliseconds.";
    DO_MEMORY_USAGE_BYTES = Capacity Gauge "do_memory_usage_bytes" [] Bytes,
        "Memory of the process that is in RAM; all shards share it.";
    DO_OLDEST_CONNECTION_MS = Capacity Gauge "do_oldest_connection_ms" [] Milliseconds,
        "Age of the oldest open connection, in milliseconds; 0 without any.";
    DO_HIBERNATION_EVENTS = Capacity Counter "do_hibernation_events" [] Count,
        "Times that a shard fell asleep.";
    DO_WAKEUP_TIME = Capacity Histogram "do_wakeup_time" [] Milliseconds,
        "Time to load the attachments of a shard that wakes, in milliseconds.";
    DO_BROADCAST_FAILURES = Capacity Counter "do_broadcast_failures" [] Count,
        "Frames that a connection did not take because it was closing, gone or not reading.";
    DO_MESSAGE_QUEUE_DEPTH = Capacity Gauge "do_message_queue_depth" [] Count,
        "Frames in outboxes: what sockets have not taken yet.";

    HTTP_REQUESTS = Events Counter "http_requests_total" ["method", "route", "status_code"] Count,
        "HTTP requests answered. Requests to upgrade to WebSocket are no part of it.";
    HTTP_REQUEST_DURATION = Events Histogram "http_request_duration_seconds"
        ["method", "route", "status_code"] Seconds,
        "Time from reading an HTTP request's head to having its answer, in seconds.";
    HTTP_REQUEST_ERRORS = Events Counter "http_request_errors_total" ["error_type"] Count,
        "HTTP requests answered with a status of 400 or above.";

    DASHBOARD_CONNECTIONS = Dashboard Gauge "websocket_active_connections" [] Count,
        "Open connections of the dashboard.";
    DASHBOARD_CONNECTED = Dashboard Counter "websocket_connections_total" [] Count,
        "Connections of the dashboard that were taken in.";
    DASHBOARD_DISCONNECTED = Dashboard Counter "websocket_disconnections_total" [] Count,
        "Connections of the dashboard that are over.";
    DASHBOARD_OPEN = Dashboard Histogram "websocket_connection_duration_seconds" [] Seconds,
        "How long connections of the dashboard were open, in seconds.";
    DASHBOARD_EMITTED = Dashboard Counter "websocket_events_emitted_total" ["event_type"] Count,
        "Events of the dashboard that were told, each once however many connections get it.";
    DASHBOARD_RECEIVED = Dashboard Counter "websocket_events_received_total" [] Count,
        "Events that clients of the dashboard sent.";
    DASHBOARD_ERRORS = Dashboard Counter "websocket_event_errors_total" [] Count,
        "Events of clients of the dashboard that were refused or not stored.";
    DASHBOARD_LATENCY = Dashboard Histogram "websocket_event_latency_milliseconds" [] Milliseconds,
        "Time from handling a task or message of a client of the dashboard to having it stored and \
         on its way to the others, in milliseconds.";
    DASHBOARD_INITIAL = Dashboard Histogram "websocket_initial_state_latency_milliseconds" []
        Milliseconds,
        "Time to make what a new connection of the dashboard is told first, in milliseconds.";

    CALLS = Events Counter "calls_total" ["status"] Count,
        "Calls by the status that they came to since the start; a call comes to several.";
    CALLS_ACTIVE = Events Gauge "calls_active" [] Count,
        "Calls that are stored and not over.";
    WS_EVENT_CONNECTIONS = Events Gauge "ws_connections" [] Count,
        "Open connections of subscribers to events, also those whose key is being verified.";
    WS_EVENTS_DELIVERED = Events Counter "ws_events_delivered_total" [] Count,
        "Events handed to subscribers: one for each event and subscriber.";
    WS_EVENTS_DROPPED = Events Counter "ws_events_dropped_total" [] Count,
        "Events that a subscriber was to get and did not, because it was closed for not reading.";
    EVENT_PUBLISH = Events Histogram "event_publish_seconds" [] Seconds,
        "Time from accepting a request to publish to having its events on disk and on the way to \
         subscribers, in seconds.";
    EVENT_DELIVERY = Events Histogram "event_delivery_seconds" [] Seconds,
        "Time from accepting an event to having handed it to a subscriber, in seconds; one \
         observation for each subscriber.";
    EVENTS_PUBLISHED = Dormouse Counter "dormouse_events_published_total" [] Count,
        "Events that were stored and published.";
    EVENT_DEAD_LETTERS = Dormouse Counter "dormouse_event_dead_letters_total" [] Count,
        "Entries that a group of workers failed at five times.";
    DB_QUERY_DURATION = Events Histogram "db_query_duration_seconds" [] Seconds,
        "As dormouse_database_write_seconds.";
    DB_CONNECTIONS_ACTIVE = Events Gauge "db_connections_active" [] Count,
        "Connections to the database that may be open: those that read and the one that writes.";

    BUILD_INFO = Dormouse Gauge "dormouse_build_info" ["version"] Count,
        "Always 1; the label tells the version.";
    STORE_UP = Dormouse Gauge "dormouse_store_up" [] Flag,
        "Whether the store of attachments works; if not, shards stay awake and the server is not \
         ready.";
    DATABASE_UP = Dormouse Gauge "dormouse_database_up" [] Flag,
        "Whether the last write got through to the database; if not, the server is not ready.";
    DATABASE_WRITES = Dormouse Counter "dormouse_database_writes_total" ["result"] Count,
        "Writes to the database: done, refused (such as a version that does not match), or failed.";
    DATABASE_READS = Dormouse Counter "dormouse_database_reads_total" ["result"] Count,
        "Reads of the database: done or failed.";
    DATABASE_COMMITS = Dormouse Counter "dormouse_database_commits_total" [] Count,
        "Transactions that the database has committed; writes that wait share one.";
    DATABASE_WRITE = Dormouse Histogram "dormouse_database_write_seconds" [] Seconds,
        "Time from asking for a write to its end on disk, waiting included, in seconds.";
    DRAINING = Dormouse Gauge "dormouse_draining" [] Flag,
        "Whether the server takes no new connections because it drains or stops.";
    WORKERS = Dormouse Gauge "dormouse_workers" [] Count,
        "Workers that answered this scrape; fewer than configured means that one has ended.";
    SHARDS = Dormouse Gauge "dormouse_shards" ["worker", "state"] Count,
        "Shards by worker, asleep and awake.";
    WORKER_CONNECTIONS = Dormouse Gauge "dormouse_worker_connections" ["worker"] Count,
        "Open connections that have authenticated, by worker.";
    PENDING_CONNECTIONS = Dormouse Gauge "dormouse_pending_connections" ["worker"] Count,
        "Open connections that have yet to authenticate with their first message, by worker.";
    OUTBOX_FRAMES = Dormouse Gauge "dormouse_outbox_frames" ["worker"] Count,
        "Frames in outboxes, by worker.";
    OUTBOX_BYTES = Dormouse Gauge "dormouse_outbox_bytes" ["worker"] Bytes,
        "Bytes in outboxes, by worker.";
    USERS = Dormouse Gauge "dormouse_users" [] Count,
        "Users with a shard.";
    CONNECTIONS = Dormouse Gauge "dormouse_connections" ["client_type"] Count,
        "Open connections that have authenticated, by client type.";
    TIER_USERS = Dormouse Gauge "dormouse_tier_users" ["tier"] Count,
        "Users with a shard, by tier.";
    TIER_CONNECTIONS = Dormouse Gauge "dormouse_tier_connections" ["tier"] Count,
        "Open connections that have authenticated, by their user's tier.";
    TIER_CONNECTION_LIMIT = Dormouse Gauge "dormouse_tier_connection_limit" ["tier"] Count,
        "Connections that one user of the tier may have.";
    TIER_PROMISED_DELIVERY = Dormouse Gauge "dormouse_tier_promised_delivery_seconds" ["tier"]
        Seconds,
        "What the tier is promised of deliveries, 95th percentile, in seconds.";
    TIER_PROMISED_AVAILABILITY = Dormouse Gauge "dormouse_tier_promised_availability" ["tier"]
        Ratio,
        "The availability that the tier is promised.";
    TIER_ACCEPTED = Dormouse Counter "dormouse_tier_connections_accepted_total" ["tier"] Count,
        "Connections that were taken in, by their user's tier.";
    TIER_DELIVERY = Dormouse Histogram "dormouse_tier_delivery_seconds" ["tier"] Seconds,
        "As dormouse_broadcast_seconds, by the user's tier.";
    TIER_LATE_DELIVERIES = Dormouse Counter "dormouse_tier_deliveries_late_total" ["tier"] Count,
        "Those observations of dormouse_tier_delivery_seconds that took longer than the tier is \
         promised.";
    WORKER_CPU = Dormouse Counter "dormouse_worker_cpu_seconds_total" ["worker"] Seconds,
        "Processor time used by the worker's thread, in seconds: 1 a second is a whole core.";
    HANDSHAKES_REFUSED = Dormouse Counter "dormouse_handshakes_refused_total" ["reason"] Count,
        "Handshakes refused before they reached a shard.";
    CONNECTIONS_REJECTED = Dormouse Counter "dormouse_connections_rejected_total"
        ["tier", "reason"] Count,
        "Connections that their user's first shard did not take in. The tier is empty where the \
         server was stopping.";
    LOBBY_REFUSED = Dormouse Counter "dormouse_lobby_refused_total" ["reason"] Count,
        "Connections closed because their first message did not authenticate them.";
    TOKEN_CHECKS = Dormouse Counter "dormouse_token_checks_total" ["result"] Count,
        "Users' tokens of handshakes and HTTP requests: found in a thread's cache, verified anew, \
         or refused.";
    CONNECTION_SETUP = Dormouse Histogram "dormouse_connection_setup_seconds" [] Seconds,
        "As ws_connection_time, in seconds.";
    CONNECTIONS_CLOSED = Dormouse Counter "dormouse_connections_closed_total" ["code"] Count,
        "Connections that ended, by close code: abnormal without a close frame, normal where the \
         client closed.";
    CONNECTIONS_DROPPED = Dormouse Counter "dormouse_connections_dropped_total" ["cause"] Count,
        "Connections that the server closed for what the client did; they are part of \
         dormouse_connections_closed_total.";
    RECEIVED_FRAMES = Dormouse Counter "dormouse_received_frames_total" [] Count,
        "Frames of clients, control frames included.";
    RECEIVED_BYTES = Dormouse Counter "dormouse_received_bytes_total" [] Bytes,
        "Bytes read from sockets after the handshake.";
    SENT_FRAMES = Dormouse Counter "dormouse_sent_frames_total" [] Count,
        "As ws_messages_sent.";
    SENT_BYTES = Dormouse Counter "dormouse_sent_bytes_total" [] Bytes,
        "Bytes that the kernel took from the server.";
    SOCKET_WRITES = Dormouse Counter "dormouse_socket_writes_total" [] Count,
        "Writes to sockets; several frames for one socket leave in one.";
    MESSAGES_HANDLED = Dormouse Counter "dormouse_messages_handled_total" [] Count,
        "Messages of clients handled by shards.";
    PINGS_ANSWERED = Dormouse Counter "dormouse_pings_answered_total" [] Count,
        "Application pings answered without waking a shard.";
    MESSAGE_HANDLING = Dormouse Histogram "dormouse_message_handling_seconds" [] Seconds,
        "As ws_message_latency, in seconds.";
    BROADCAST = Dormouse Histogram "dormouse_broadcast_seconds" [] Seconds,
        "As ws_broadcast_delivery_time, in seconds.";
    EPHEMERALS_DROPPED = Dormouse Counter "dormouse_ephemerals_dropped_total" [] Count,
        "Ephemeral frames dropped from the full outboxes of clients that do not read.";
    SHARD_SLEEPS = Dormouse Counter "dormouse_shard_sleeps_total" [] Count,
        "Times that a shard fell asleep.";
    SHARD_WAKES = Dormouse Counter "dormouse_shard_wakes_total" [] Count,
        "Times that a shard woke.";
    SHARD_SLEEP_FAILURES = Dormouse Counter "dormouse_shard_sleep_failures_total" [] Count,
        "Times that a shard stayed awake because the store did not take its attachments.";
    SHARD_WAKE_FAILURES = Dormouse Counter "dormouse_shard_wake_failures_total" [] Count,
        "Times that a shard woke without all attachments of its connections, which were closed.";
    SHARD_WAKE = Dormouse Histogram "dormouse_shard_wake_seconds" [] Seconds,
        "As do_wakeup_time, in seconds.";

    PROCESS_START_TIME = Process Gauge "process_start_time_seconds" [] UnixSeconds,
        "When the process started.";
    PROCESS_CPU = Process Counter "process_cpu_seconds_total" [] Seconds,
        "Processor time used by all threads, user and system.";
    PROCESS_RESIDENT_MEMORY = Process Gauge "process_resident_memory_bytes" [] Bytes,
        "Memory of the process that is in RAM.";
    PROCESS_OPEN_FDS = Process Gauge "process_open_fds" [] Count,
        "Open file descriptors; each connection is one.";
    PROCESS_MAX_FDS = Process Gauge "process_max_fds" [] Count,
        "File descriptors that the process may have open.";
}
