//! Call events: from a request to a stored state, to subscribers, to records and reports (contract
//! events.md).
//!
//! Owns tenants and their keys, the ledger that makes every event durable before it is told or
//! acknowledged, the log behind replays and groups of workers, call detail records and what is reported of them. HTTP and
//! handshakes call it; it knows neither.
//!
//! One process publishes for a tenant: what several would share goes through [`Backbone`], whose
//! only version here is [`EmbeddedBackbone`].

pub mod arrivals;
pub mod backbone;
pub mod call_record;
pub mod change;
pub mod counters;
pub mod embedded;
pub mod groups;
pub mod key_store;
pub mod keys;
pub mod ledger;
pub mod made_up_calls;
pub mod maintenance;
pub mod reporting;
pub mod rollup;
pub mod rows;
pub mod sequence;
pub mod service;
pub mod stored_events;
pub mod submission;
pub mod tenants;

pub use arrivals::Arrivals;
pub use backbone::Backbone;
pub use embedded::EmbeddedBackbone;
pub use key_store::{Credential, KeyFault, KeyStore};
pub use ledger::{Ledger, PublishError};
pub use service::{EventService, EventTasks};
pub use submission::{CallChange, NewEvent, Outcome, Published, Submission};

#[cfg(test)]
mod tests;
