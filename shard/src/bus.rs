//! The way from one of a user's shards to the others.
//!
//! Within one process that is the inbox of the worker of the user's first shard, which knows the
//! others and keeps one order for all of them. With several nodes it will lead to other
//! processes; nothing but this trait has to know.

use std::sync::Arc;

use tokio::sync::mpsc;

use crate::command::{Command, To};
use crate::message::HubMessage;
use crate::name::ShardName;

/// Carries messages between the shards of a user.
pub trait Bus {
    /// Tells all shards of the user.
    fn to_all(&self, user: &Arc<str>, message: HubMessage);
    /// Tells all but the one that speaks.
    fn to_others(&self, user: &Arc<str>, from: u16, message: HubMessage);
    /// Tells one.
    fn to_shard(&self, user: &Arc<str>, number: u16, message: HubMessage);
}

/// The bus of one process.
#[derive(Clone, Debug)]
pub struct LocalBus {
    inboxes: Arc<[mpsc::UnboundedSender<Command>]>,
}

impl LocalBus {
    /// A bus between these workers.
    pub fn new(inboxes: Arc<[mpsc::UnboundedSender<Command>]>) -> Self {
        Self { inboxes }
    }

    fn send(&self, user: &Arc<str>, to: To, message: HubMessage) {
        let home = ShardName::worker_of(user, 0, self.inboxes.len());
        // A worker that is gone has closed its connections: nobody is left to be told.
        let _ = self.inboxes[home].send(Command::Hub {
            user: user.clone(),
            to,
            message,
        });
    }
}

impl Bus for LocalBus {
    fn to_all(&self, user: &Arc<str>, message: HubMessage) {
        self.send(user, To::All, message);
    }

    fn to_others(&self, user: &Arc<str>, from: u16, message: HubMessage) {
        self.send(user, To::Others(from), message);
    }

    fn to_shard(&self, user: &Arc<str>, number: u16, message: HubMessage) {
        self.send(user, To::Shard(number), message);
    }
}
