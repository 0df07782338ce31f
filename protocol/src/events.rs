//! The wire of call events: names, patterns, call state, and the frames of `/ws/events` (contract
//! events.md sections 3 and 5 to 8).
//!
//! Bytes in, messages out, as in the rest of this crate: times are given as text, and nothing here
//! knows who is subscribed.

pub mod call;
pub mod frames;
pub mod name;
pub mod pattern;
pub mod request;

pub use call::{CallState, CallStatus, Transition};
pub use name::{EventName, EventNameError, Family};
pub use pattern::{Pattern, PatternError};
pub use request::{Request, RequestError, Since};
