//! Load tests and measurements of a WebSocket connection server.
//!
//! Two families of scenario share the bones (modes and thresholds as data, statistics, result
//! files): [`websocket`] plays the clients of one account and accounts for every message;
//! `footprint` (Linux only) measures what connections and deliveries cost the server. The server is
//! only ever seen from outside: nothing here may depend on its code.

pub mod cli;
pub mod criteria;
pub mod failure;
pub mod fd_limit;
#[cfg(target_os = "linux")]
pub mod footprint;
pub mod machine;
pub mod mix;
pub mod mode;
#[cfg(target_os = "linux")]
pub mod procfs;
pub mod result_file;
pub mod stages;
pub mod stats;
pub mod table;
pub mod target;
pub mod threshold;
pub mod token;
pub mod websocket;
