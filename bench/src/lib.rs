//! Load tests and measurements of a WebSocket connection server.
//!
//! The scenarios share the bones (modes and thresholds as data, statistics, what is watched
//! meanwhile, result files). [`websocket`] plays the clients of one account and accounts for every
//! message; `footprint` (Linux only) measures what connections and deliveries cost the server. The
//! server is only ever seen from outside: nothing here may depend on its code.

pub mod baseline;
pub mod capacity;
pub mod cli;
pub mod conditions;
pub mod criteria;
pub mod dial;
pub mod document;
pub mod failure;
#[cfg(target_os = "linux")]
pub mod faults;
pub mod fd_limit;
#[cfg(target_os = "linux")]
pub mod footprint;
#[cfg(target_os = "linux")]
pub mod hostile;
pub mod html;
pub mod load;
pub mod machine;
pub mod mix;
pub mod mode;
pub mod outcome;
pub mod performance;
#[cfg(target_os = "linux")]
pub mod procfs;
pub mod pubsub;
pub mod receipts;
pub mod result_file;
pub mod script;
#[cfg(target_os = "linux")]
pub mod soak;
pub mod socketio;
pub mod stages;
pub mod stats;
pub mod stop;
pub mod table;
pub mod target;
pub mod threshold;
pub mod token;
pub mod tokens;
#[cfg(target_os = "linux")]
pub mod trial;
pub mod watch;
pub mod websocket;
pub mod workers;
