//! The subscribers of one worker: who they are, what they subscribe to, what they wait for.
//!
//! Plain data and rules without effects; `worker/subscribers.rs` carries them out.

use std::any::Any;
use std::sync::Arc;

use ahash::{AHashMap, RandomState};
use bytestring::ByteString;
use dormouse_protocol::events::request::MAX_PATTERNS;
use dormouse_protocol::events::{Pattern, RequestError, Since};
use indexmap::IndexSet;
use slab::Slab;

use crate::event::Event;
use crate::subscriber::Access;
use crate::subscriptions::{SubscriberKey, Subscriptions};
use crate::table::SlotToken;

/// Messages that may wait for a key to be verified, or for a replay to end.
pub const MOST_WAITING: usize = 16;

/// What happens to a subscriber now.
#[derive(Debug)]
pub enum Phase {
    /// Its key is being verified.
    Verifying,
    /// It gets what it subscribes to.
    Live(Access),
    /// It is given events of the past first.
    Replaying(Access, Replay),
}

/// A replay on its way from the log to the present.
///
/// Pages are read and written one after the other until one shows the log's end. Then the
/// subscriber's entries are put into the index, live events are held, and the log is read once
/// more: an event that the index was too late for was stored before that read began, so the read
/// sees it; one that is held is in the page too, or comes after it. What the page holds may be told
/// to the worker later still: a live subscriber is given nothing up to the page's end. So there is
/// neither a gap nor a duplicate at the seam, whatever is published meanwhile.
#[derive(Debug)]
pub struct Replay {
    /// Where it began; as it was asked for.
    pub since: Since,
    /// The place of the last event given.
    pub after: u64,
    /// Whether `subscribed` is sent.
    pub is_answered: bool,
    /// Live events that wait for the last page; `Some` once the entries are in the index.
    pub held: Option<Vec<Arc<Event>>>,
}

/// A subscriber.
pub struct Subscriber {
    /// Its connection.
    pub token: SlotToken,
    /// What happens to it.
    pub phase: Phase,
    /// Its entries, in the order of insertion.
    pub channels: IndexSet<Pattern, RandomState>,
    /// Messages that wait.
    pub waiting: Vec<ByteString>,
    /// The last place that its replay, if it had one, has dealt with; its frames carry cursors then.
    pub replayed_to: Option<u64>,
    /// The last turn of [`Subscribers::each_recipient`] that chose it.
    chosen_in: u64,
    /// Its place among the subscribers of the node.
    _permit: Box<dyn Any + Send>,
}

/// All subscribers of one worker.
#[derive(Default)]
pub struct Subscribers {
    all: Slab<Subscriber>,
    by_token: AHashMap<SlotToken, SubscriberKey>,
    index: Subscriptions,
    /// Counts calls of [`Subscribers::each_recipient`].
    choice: u64,
}

impl Subscribers {
    /// Takes one in whose key is being verified.
    pub fn enter(&mut self, token: SlotToken, permit: Box<dyn Any + Send>) {
        let key = self.all.insert(Subscriber {
            token,
            phase: Phase::Verifying,
            channels: IndexSet::default(),
            waiting: Vec::new(),
            replayed_to: None,
            chosen_in: 0,
            _permit: permit,
        });
        self.by_token.insert(token, key);
    }

    /// Lets one go.
    pub fn leave(&mut self, token: SlotToken) {
        self.remove_from_index(token);
        if let Some(key) = self.by_token.remove(&token) {
            self.all.try_remove(key);
        }
        if self.by_token.is_empty() {
            // A peak of subscribers must not be paid for ever after.
            *self = Self::default();
        }
    }

    /// One of them.
    pub fn get_mut(&mut self, token: SlotToken) -> Option<&mut Subscriber> {
        self.all.get_mut(*self.by_token.get(&token)?)
    }

    /// Adds entries to a set; those of a live subscriber count from now on.
    ///
    /// # Errors
    /// [`RequestError::TooMany`]; then nothing is added.
    pub fn add(&mut self, token: SlotToken, patterns: Vec<Pattern>) -> Result<(), RequestError> {
        let Some(key) = self.by_token.get(&token).copied() else {
            return Ok(());
        };
        let Some(subscriber) = self.all.get_mut(key) else {
            return Ok(());
        };
        let before = subscriber.channels.len();
        for pattern in patterns {
            subscriber.channels.insert(pattern);
            if subscriber.channels.len() > MAX_PATTERNS {
                subscriber.channels.truncate(before);
                return Err(RequestError::TooMany);
            }
        }
        if let Phase::Live(access) = &subscriber.phase {
            for pattern in subscriber.channels.iter().skip(before) {
                self.index.insert(&access.tenant, pattern, key);
            }
        }
        Ok(())
    }

    /// Removes entries from the set of a live subscriber.
    pub fn remove(&mut self, token: SlotToken, patterns: &[Pattern]) {
        let Some(key) = self.by_token.get(&token).copied() else {
            return;
        };
        let Some(subscriber) = self.all.get_mut(key) else {
            return;
        };
        let Phase::Live(access) = &subscriber.phase else {
            return;
        };
        for pattern in patterns {
            // In order: the answer lists what remains as it was inserted.
            if subscriber.channels.shift_remove(pattern) {
                self.index.remove(&access.tenant, pattern, key);
            }
        }
    }

    /// Puts all entries of one into the index, so that it is chosen from now on.
    pub fn add_to_index(&mut self, token: SlotToken) {
        let Some(key) = self.by_token.get(&token).copied() else {
            return;
        };
        if let Some(subscriber) = self.all.get(key)
            && let Some(access) = subscriber.access()
        {
            for pattern in &subscriber.channels {
                self.index.insert(&access.tenant, pattern, key);
            }
        }
    }

    /// Takes all entries of one out of the index.
    pub fn remove_from_index(&mut self, token: SlotToken) {
        let Some(key) = self.by_token.get(&token).copied() else {
            return;
        };
        if let Some(subscriber) = self.all.get(key)
            && let Some(access) = subscriber.access()
        {
            for pattern in &subscriber.channels {
                self.index.remove(&access.tenant, pattern, key);
            }
        }
    }

    /// Calls `each` once for every subscriber of whom an entry matches the event.
    pub fn each_recipient(&mut self, event: &Event, mut each: impl FnMut(&mut Subscriber)) {
        self.choice += 1;
        let (choice, all) = (self.choice, &mut self.all);
        self.index.each_match(event.tenant(), event.name(), |key| {
            if let Some(subscriber) = all.get_mut(key)
                && subscriber.chosen_in != choice
            {
                subscriber.chosen_in = choice;
                each(subscriber);
            }
        });
    }

    /// The connections that came with a key.
    pub fn of_key(&self, key: &str) -> Vec<SlotToken> {
        let of_key = |subscriber: &&Subscriber| {
            subscriber
                .access()
                .is_some_and(|access| *access.key == *key)
        };
        let all = self.all.iter().map(|(_, subscriber)| subscriber);
        all.filter(of_key)
            .map(|subscriber| subscriber.token)
            .collect()
    }

    /// Whether nobody subscribes to anything, so that events need not be looked at.
    pub fn has_no_entries(&self) -> bool {
        self.index.is_empty()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.by_token.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.by_token.is_empty()
    }
}

impl Subscriber {
    /// What its key opens, once it is verified.
    pub fn access(&self) -> Option<&Access> {
        match &self.phase {
            Phase::Verifying => None,
            Phase::Live(access) | Phase::Replaying(access, _) => Some(access),
        }
    }
}
