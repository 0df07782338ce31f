//! Messages to hubs: from the worker of the first shard to all of them, in one order.

use std::rc::Rc;
use std::sync::Arc;

use super::Worker;
use crate::bus::{Bus, LocalBus};
use crate::command::{Command, To};
use crate::message::{HubMessage, ShardMessage};

impl Worker {
    /// The way to the user's other shards.
    pub(super) fn bus(&self) -> LocalBus {
        LocalBus::new(self.common.inboxes.clone())
    }

    /// Passes a message to those of a user's shards that it is for.
    pub(super) fn route(self: &Rc<Self>, user: &Arc<str>, to: To, message: HubMessage) {
        let Some(active) = self.active_shards(user) else {
            return;
        };
        if let To::Shard(number) = to
            && !active.contains(&number)
        {
            return self.undeliverable(user, message);
        }
        for number in active {
            let is_meant = match to {
                To::All => true,
                To::Others(from) => number != from,
                To::Shard(only) => number == only,
            };
            if !is_meant {
                continue;
            }
            if number == 0 {
                self.tell_if_known(user, 0, message.clone());
            } else {
                let message = message.clone();
                let command = Command::Tell {
                    user: user.clone(),
                    number,
                    message,
                };
                self.send_to_shard(user, number, command);
            }
        }
    }

    /// Tells a shard of this worker, if it has connections and the message concerns it.
    pub(super) fn tell_if_known(
        self: &Rc<Self>,
        user: &Arc<str>,
        number: u16,
        message: HubMessage,
    ) {
        let found = {
            let shards = self.shards.borrow();
            let index = shards.find(user, number);
            let record = index.and_then(|index| Some((index, shards.get(index)?)));
            let record = record.filter(|(_, record)| record.connections() > 0);
            record.map(|(index, record)| (index, record.is_asleep))
        };
        match (found, &message) {
            // A sleeping shard has no open calls.
            (
                Some((_, true)),
                HubMessage::Gone(_) | HubMessage::RpcAnswer { .. } | HubMessage::Registered { .. },
            ) => {}
            (Some((index, _)), _) => self.tell(index, ShardMessage::Hub(message)),
            (None, _) => self.undeliverable(user, message),
        }
    }

    /// Whoever calls a connection of a shard that is gone must hear that it cannot answer.
    fn undeliverable(&self, user: &Arc<str>, message: HubMessage) {
        if let HubMessage::Direct { connections, .. } = message {
            for connection in connections.iter() {
                self.bus().to_all(user, HubMessage::Gone(*connection));
            }
        }
    }

    /// The numbers of a user's shards, if its first is known here.
    pub(super) fn active_shards(&self, user: &str) -> Option<Vec<u16>> {
        let shards = self.shards.borrow();
        let record = shards.get(shards.find(user, 0)?)?;
        let siblings = record.hub.as_ref().map_or(0, |hub| hub.siblings.len());
        Some((0..=siblings as u16).collect())
    }
}
