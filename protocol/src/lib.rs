//! The wire of Dormouse: what clients and admins read and write, as plain types.
//!
//! Owns the two envelope forms, the frames the server originates, filters, attachments, close
//! codes, statistics and the one JSON error shape. Bytes in, messages out: this crate does no
//! I/O, reads no clock and knows no runtime, so every rule of the wire is testable alone.

pub mod attachment;
pub mod client_type;
pub mod close;
pub mod envelope;
pub mod error;
pub mod event;
pub mod events;
pub mod filter;
pub mod frames;
pub mod rooms;
pub mod rpc;
pub mod socket_io;
pub mod stats;
pub mod timestamp;

pub use attachment::{Attachment, AuthState, ConnectionId, Labels};
pub use client_type::ClientType;
pub use close::CloseCode;
pub use envelope::{Envelope, EnvelopeError};
pub use error::{ErrorBody, EventError, EventErrorBody};
pub use filter::{Filter, FilterError};
pub use rooms::Rooms;
