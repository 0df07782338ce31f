//! What the server says of itself to Prometheus: `GET /metrics`.
//!
//! Owns the catalogue of all metrics, the text of a scrape, and the counters of HTTP requests and
//! token checks; connections, messages and shards are counted by the workers. Called by the routes
//! and by the middleware around them. It must never add work to the path of a WebSocket message,
//! never wake a shard, and never take a label's value from what a client wrote, other than the ids
//! of the configured number of busiest users.

pub mod busiest;
pub mod catalogue;
pub mod counters;
pub mod definition;
pub mod families;
pub mod http_requests;
pub mod labels;
pub mod page;
pub mod process;
pub mod route;
pub mod scrape;
pub mod workers;

pub use counters::Counters;

#[cfg(test)]
mod tests;
