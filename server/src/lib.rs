//! The Dormouse server: sockets and HTTP in, authentication, REST, admin and metrics.
//!
//! Owns everything between the network and the shards. The binary `dormouse` calls it; the shard
//! and protocol crates never do.

pub mod accounts;
pub mod app_state;
pub mod applications;
pub mod audit;
pub mod auth;
pub mod base64_text;
pub mod cli;
pub mod client_address;
pub mod clock;
pub mod commands;
pub mod dashboard;
pub mod database;
pub mod events;
pub mod handshake;
pub mod http;
pub mod issuer_settings;
pub mod listeners;
pub mod live;
pub mod logging;
pub mod metrics;
pub mod pending;
pub mod push;
pub mod serve;
pub mod session_files;
pub mod socket_io;
pub mod sync;
pub mod upgrade;
pub mod vault;
