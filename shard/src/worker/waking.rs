//! Telling shards, waking those that sleep, and letting them fall asleep.

use std::rc::Rc;

use actix::{Actor as _, Addr};
use dormouse_protocol::{CloseCode, Labels};
use tokio::time::Instant;

use super::{Worker, unix_ms};
use crate::command::Command;
use crate::manager::ConnectionManager;
use crate::manager::state::State;
use crate::message::ShardMessage;
use crate::shards::ShardRecord;
use crate::table::Owner;

impl Worker {
    /// Sends a message to a shard of this worker. One that sleeps gets it when it is its turn to
    /// wake.
    pub(super) fn tell(&self, index: u32, message: ShardMessage) {
        let mut shards = self.shards.borrow_mut();
        let Some(record) = shards.get_mut(index) else {
            return self.no_longer_untold(&message);
        };
        record.in_flight += 1;
        match &record.actor {
            Some(actor) if record.waiting == 0 => self.hand_over(actor, message),
            _ => {
                record.waiting += 1;
                self.wake_queue.borrow_mut().push(index, message);
                self.posted.notify_one();
            }
        }
    }

    /// Hands up to so many of the waiting messages to their shards, waking those that sleep.
    pub(super) fn wake_some(self: &Rc<Self>, most: usize) {
        for _ in 0..most {
            let Some((index, message)) = self.wake_queue.borrow_mut().pop() else {
                return;
            };
            let Some(actor) = self.rouse(index) else {
                continue;
            };
            if let Some(record) = self.shards.borrow_mut().get_mut(index) {
                record.waiting -= 1;
            }
            self.hand_over(&actor, message);
        }
    }

    fn hand_over(&self, actor: &Addr<ConnectionManager>, message: ShardMessage) {
        self.no_longer_untold(&message);
        actor.do_send(message);
    }

    /// Waking needs what is known of a connection until its shard hears of its end.
    fn no_longer_untold(&self, message: &ShardMessage) {
        if let ShardMessage::Ended(token) = message {
            self.sockets.borrow_mut().told(*token);
        }
    }

    /// The actor of a shard of this worker, which wakes if it sleeps.
    pub(super) fn rouse(self: &Rc<Self>, index: u32) -> Option<Addr<ConnectionManager>> {
        let mut shards = self.shards.borrow_mut();
        let record = shards.get_mut(index)?;
        if let Some(actor) = &record.actor {
            return Some(actor.clone());
        }
        let actor = self.wake(index, record);
        record.actor = Some(actor.clone());
        Some(actor)
    }

    /// Starts a shard's actor with what the store has of it.
    fn wake(self: &Rc<Self>, index: u32, record: &mut ShardRecord) -> Addr<ConnectionManager> {
        let mut state = State::new(record.name(), unix_ms());
        if std::mem::take(&mut record.is_asleep) {
            let began = Instant::now();
            record.wakes += 1;
            match self.common.store.load(state.name()) {
                Ok(loaded) => {
                    let sockets = self.sockets.borrow();
                    state.restore(loaded, |token| {
                        let id = sockets.member_of(index, token)?;
                        Some((id, sockets.wire(token)))
                    });
                }
                Err(err) => tracing::error!(%err, shard = %state.name(), "cannot wake a shard"),
            }
            if state.members().len() as u32 != record.connections() {
                self.drop_unknown(index, &state, record);
            }
            self.count(|counters| {
                counters.wakes += 1;
                counters.wake_time.observe(began.elapsed(), 1);
            });
        }
        ConnectionManager::new(index, self.clone(), state).start()
    }

    /// A socket without a readable record is dropped (realtime contract, section 14): nobody
    /// knows what it may receive. Its client reconnects.
    fn drop_unknown(&self, index: u32, state: &State, record: &mut ShardRecord) {
        let mut sockets = self.sockets.borrow_mut();
        for token in sockets.owned_by(Owner::Shard(index)) {
            if state.members().get(token).is_none() {
                sockets.close(
                    token,
                    CloseCode::INTERNAL,
                    "connection state lost; reconnect",
                );
            }
        }
        self.posted.notify_one();
        let members = state.members();
        let lost = record.connections().saturating_sub(members.len() as u32);
        let by_type = members.by_type();
        record.by_type = [
            by_type.user_scoped,
            by_type.session_scoped,
            by_type.machine_scoped,
        ]
        .map(|count| count as u32);
        record.oldest = members.oldest().unwrap_or(u64::MAX);
        let kept = members
            .iter()
            .map(|member| member.attachment.labels.clone());
        let kept: Vec<Labels> = kept.collect();
        if record.number > 0 {
            let (user, number) = (record.user.clone(), record.number);
            let command = Command::Lost {
                user: user.clone(),
                number,
                lost,
                kept,
            };
            self.send_home(&user, command);
        } else if let Some(hub) = &mut record.hub {
            hub.lose(0, lost, &kept);
        }
        self.count(|counters| counters.wake_failures += 1);
    }

    /// Takes note that an actor has begun with one of its messages.
    pub(crate) fn message_taken(&self, index: u32) {
        if let Some(record) = self.shards.borrow_mut().get_mut(index) {
            record.in_flight = record.in_flight.saturating_sub(1);
            record.last_activity = unix_ms();
        }
    }

    /// Marks a shard as asleep; `false` when a message is on its way to it.
    pub(crate) fn fall_asleep(&self, index: u32) -> bool {
        let mut shards = self.shards.borrow_mut();
        let Some(record) = shards.get_mut(index).filter(|record| record.in_flight == 0) else {
            return false;
        };
        record.actor = None;
        record.is_asleep = true;
        record.sleeps += 1;
        self.count(|counters| counters.sleeps += 1);
        true
    }

    /// Forgets a shard that is over; `false` when it is not, or a message is on its way to it.
    pub(crate) fn forget(&self, index: u32) -> bool {
        let mut shards = self.shards.borrow_mut();
        let is_over = shards
            .get(index)
            .is_some_and(|record| record.in_flight == 0 && record.is_over());
        is_over && shards.remove(index).is_some()
    }
}
