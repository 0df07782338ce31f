//! Names of events with a meaning of their own (realtime contract, sections 4–6).

/// First-message authentication (2.4); ignored once authenticated.
pub const AUTH: &str = "auth";
/// Application-level ping (5.1).
pub const PING: &str = "ping";
/// Broadcast to the user's other connections (5.13).
pub const BROADCAST: &str = "broadcast";
/// Says whether an app is in the foreground (Socket.IO contract, section 6).
pub const APP_STATE: &str = "app-state";
/// The state of an app in the foreground; every other is one in the background.
pub const APP_IN_FOREGROUND: &str = "active";
/// Serve an RPC method (section 6).
pub const RPC_REGISTER: &str = "rpc-register";
/// Stop serving an RPC method.
pub const RPC_UNREGISTER: &str = "rpc-unregister";
/// Call an RPC method.
pub const RPC_CALL: &str = "rpc-call";
/// A call from a client (alias of `rpc-call`) or to a target.
pub const RPC_REQUEST: &str = "rpc-request";
/// A target's answer.
pub const RPC_RESPONSE: &str = "rpc-response";
/// Cancel a call.
pub const RPC_CANCEL: &str = "rpc-cancel";
/// Confirms a registration.
pub const RPC_REGISTERED: &str = "rpc-registered";
/// Confirms the end of a registration.
pub const RPC_UNREGISTERED: &str = "rpc-unregistered";
/// Refuses a registration.
pub const RPC_ERROR: &str = "rpc-error";

/// Names that are dropped and never forwarded, since they would leak tokens or forge frames of
/// the server (5.14, rule 1).
pub const RESERVED: [&str; 11] = [
    AUTH,
    "connected",
    "auth-error",
    "error",
    "ack",
    "pong",
    "update",
    "ephemeral",
    RPC_REGISTERED,
    RPC_UNREGISTERED,
    RPC_ERROR,
];

/// Whether a client may not have this event forwarded.
pub fn is_reserved(event: &str) -> bool {
    RESERVED.contains(&event)
}
