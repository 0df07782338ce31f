//! The values of labels: closed sets, so that no client can make series.
//!
//! The documentation lists them and tests hold scrapes to them. Where a value counts events, it is
//! exported from the start: a rate over a series that begins with its first event would miss it.

use dormouse_protocol::{ClientType, CloseCode};

use super::busiest::OTHER;
use super::counters::TokenCheck;
use super::http_requests::{ERROR_TYPES, METHODS};
use crate::database::counters::Ended;
use crate::events::counters::EventCounters;
use crate::handshake::HandshakeRefusal;

/// Where shards are.
pub const SHARD_STATES: [&str; 2] = ["awake", "asleep"];

/// Client types as on the wire.
pub const CLIENT_TYPES: [&str; 3] = [
    ClientType::UserScoped.as_str(),
    ClientType::SessionScoped.as_str(),
    ClientType::MachineScoped.as_str(),
];

/// The reason of refusals at the cap, as shards count it.
pub const AT_THE_CAP: &str = "connection_limit";

/// Why a user's first shard refuses connections.
pub const REJECTIONS: [&str; 3] = [AT_THE_CAP, "draining", "revoked"];

/// Why the server closes connections for what clients do.
pub const CAUSES: [&str; 4] = [
    "slow_consumer",
    "too_many_messages",
    "idle",
    "protocol_fault",
];

/// How connections end.
pub const CLOSE_CODES: [&str; 19] = [
    "abnormal",
    CloseCode::NORMAL.label(),
    CloseCode::GOING_AWAY.label(),
    CloseCode::PROTOCOL_ERROR.label(),
    CloseCode::UNSUPPORTED.label(),
    CloseCode::INVALID_UTF8.label(),
    CloseCode::POLICY.label(),
    CloseCode::TOO_BIG.label(),
    CloseCode::INTERNAL.label(),
    CloseCode::RESTART.label(),
    CloseCode::SLOW_CONSUMER.label(),
    CloseCode::AUTH_FAILED.label(),
    CloseCode::INVALID_HANDSHAKE.label(),
    CloseCode::SESSION_ID_MISSING.label(),
    CloseCode::MACHINE_ID_MISSING.label(),
    CloseCode::CONNECTION_LIMIT.label(),
    CloseCode::DUPLICATE.label(),
    CloseCode::AUTH_TIMEOUT.label(),
    // Whatever else an admin asks for.
    OTHER,
];

/// Why first messages do not authenticate.
pub const LOBBY_REFUSALS: [&str; 5] = [
    CloseCode::AUTH_FAILED.label(),
    CloseCode::AUTH_TIMEOUT.label(),
    CloseCode::INVALID_HANDSHAKE.label(),
    CloseCode::SESSION_ID_MISSING.label(),
    CloseCode::MACHINE_ID_MISSING.label(),
];

/// What values a label takes.
#[derive(Clone, Copy, Debug)]
pub enum Values {
    /// One of these sets, which differ between metrics.
    Closed(&'static [&'static [&'static str]]),
    /// As this text says; bounded by configuration or by the program.
    Bounded(&'static str),
}

/// All labels of the catalogue.
pub const LABELS: [(&str, Values); 16] = [
    (
        "user_id",
        Values::Bounded(
            "the ids of the `metrics.busiest_users` users with most connections, and `other` for \
             all others together (and for a user of that name)",
        ),
    ),
    (
        "worker",
        Values::Bounded("the numbers of the workers, from 0"),
    ),
    (
        "tier",
        Values::Bounded("the names of the configured tiers, at most 32"),
    ),
    (
        "route",
        Values::Bounded(
            "the patterns of the routes, such as `/v1/websocket/stats`; `unmatched` for all else",
        ),
    ),
    (
        "status_code",
        Values::Bounded("the status codes of answers"),
    ),
    ("version", Values::Bounded("the version of the server")),
    (
        "event_type",
        Values::Bounded("the names of the dashboard's events"),
    ),
    ("method", Values::Closed(&[&METHODS])),
    ("error_type", Values::Closed(&[&ERROR_TYPES])),
    ("state", Values::Closed(&[&SHARD_STATES])),
    ("status", Values::Closed(&[&EventCounters::STATUSES])),
    ("client_type", Values::Closed(&[&CLIENT_TYPES])),
    (
        "reason",
        Values::Closed(&[&HandshakeRefusal::LABELS, &REJECTIONS, &LOBBY_REFUSALS]),
    ),
    (
        "result",
        Values::Closed(&[&TokenCheck::LABELS, &Ended::LABELS]),
    ),
    ("code", Values::Closed(&[&CLOSE_CODES])),
    ("cause", Values::Closed(&[&CAUSES])),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::catalogue;

    #[test]
    fn every_label_of_the_catalogue_is_described_and_no_other() {
        let mut used: Vec<&str> = catalogue::ALL
            .iter()
            .flat_map(|metric| metric.labels.iter().copied())
            .collect();
        used.sort_unstable();
        used.dedup();
        let mut described = LABELS.map(|(label, _)| label);
        described.sort_unstable();
        assert_eq!(used, described);
    }

    #[test]
    fn every_code_that_a_connection_can_end_with_is_listed() {
        for code in (0..=u16::MAX).filter_map(CloseCode::sendable) {
            assert!(CLOSE_CODES.contains(&code.label()), "{code:?}");
        }
    }
}
