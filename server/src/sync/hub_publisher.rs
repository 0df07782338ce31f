//! From the database's thread to the connections.

use std::sync::{Arc, OnceLock};

use dormouse_shard::Workers;
use dormouse_shard::publication::Publication;

use crate::database::Publisher;

/// Publishes to the workers, once there are any: they are set up after the database, since what
/// they run needs it.
#[derive(Debug, Default)]
pub struct HubPublisher(OnceLock<Workers>);

impl HubPublisher {
    /// Gives the workers; only the first call counts.
    pub fn connect(&self, workers: Workers) {
        let _ = self.0.set(workers);
    }
}

impl Publisher for HubPublisher {
    fn publish(&self, user: &Arc<str>, publication: Publication) {
        if let Some(workers) = self.0.get() {
            workers.publish(user, publication);
        }
    }
}
