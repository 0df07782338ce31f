//! The way from committed writes to clients.

use std::sync::Arc;

use dormouse_shard::publication::Publication;

/// Takes publications to the connections of their users, keeping their order for each user.
pub trait Publisher: Send + Sync + 'static {
    /// Queues one. Called on the database's thread in commit order: must not block.
    fn publish(&self, user: &Arc<str>, publication: Publication);
}

/// Where nobody is connected, such as in the commands that work on the database alone.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoPublisher;

impl Publisher for NoPublisher {
    fn publish(&self, _: &Arc<str>, _: Publication) {}
}
