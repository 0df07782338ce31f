//! What users ask for over HTTP beside their sockets (realtime contract, sections 3 and 11).
//!
//! Every route takes a user's token and touches that user's own hub only.

pub mod broadcast;
pub mod stats;
pub mod ticket;

use super::endpoint::Endpoint;

/// The routes.
pub fn endpoints() -> Vec<Endpoint> {
    vec![
        Endpoint::at("/v1/websocket/stats").get(stats::stats),
        Endpoint::at("/v1/websocket/broadcast").post(broadcast::broadcast),
        Endpoint::at("/v1/websocket/ticket").post(ticket::ticket),
    ]
}
