//! What nodes that publish for the same tenants would share.

use std::future::Future;
use std::pin::Pin;

use dormouse_shard::event::Event;
use dormouse_shard::event_log::EventLog;

use super::submission::{Outcome, Submission};
use crate::database::DatabaseError;

/// What became of submissions, in their order, and the events that subscribers are to be told of.
pub type Committed = (Vec<Outcome>, Vec<Event>);

/// State of calls, log and fan-out behind the ledger. In one process that is the database and the
/// workers; several nodes would keep them in a store that they share, and hear each other's events
/// from it.
pub trait Backbone: EventLog {
    /// Applies submissions in order and stores what they led to, each call's change atomically.
    /// When this returns, everything is durable; with an error, nothing of it is.
    fn commit(
        &self,
        submissions: Vec<Submission>,
    ) -> Pin<Box<dyn Future<Output = Result<Committed, DatabaseError>> + '_>>;

    /// Tells subscribers of events that are committed, in the order of their places.
    fn tell(&self, events: Vec<Event>);

    /// Events that subscribers have not been told of yet; whoever publishes waits while they are
    /// many.
    fn waiting(&self) -> usize;
}
