//! What a worker keeps of each of its shards, awake or asleep.
//!
//! Asleep, a shard is one of these records: what statistics and placement need, so that reading
//! them wakes nobody.

use std::sync::Arc;

use actix::Addr;
use hashbrown::HashTable;

use crate::hub::HubRecord;
use crate::manager::ConnectionManager;
use crate::name::ShardName;
use crate::tier::{TierId, Tiers};

/// Where a user's tier comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TierSource {
    /// The configured default.
    Default,
    /// The token's `tier` claim.
    Token,
    /// An admin's override.
    Override,
}

impl TierSource {
    /// The word that admins see.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Default => "default",
            Self::Token => "token",
            Self::Override => "override",
        }
    }
}

/// One shard of this worker.
#[derive(Debug)]
pub struct ShardRecord {
    /// The owner.
    pub user: Arc<str>,
    /// 0 is the user's first.
    pub number: u16,
    /// The tier that caps the user.
    pub tier: TierId,
    /// Why that one.
    pub tier_source: TierSource,
    /// What the token of the user's last arrival said.
    pub claimed: Option<TierId>,
    /// Attachments are in the store.
    pub is_asleep: bool,
    /// The actor, while awake.
    pub actor: Option<Addr<ConnectionManager>>,
    /// Messages for the actor that it has not handled; it does not stop before.
    pub in_flight: u32,
    /// Of those, the ones that wait until the shard is woken; what comes later waits behind them.
    pub waiting: u32,
    /// Connections by client type.
    pub by_type: [u32; 3],
    /// Smallest `connectedAt`, Unix ms.
    pub oldest: u64,
    /// Last event, Unix ms.
    pub last_activity: u64,
    /// Connections refused at the cap.
    pub rejected: u32,
    /// How often it fell asleep.
    pub sleeps: u32,
    /// How often it woke.
    pub wakes: u32,
    /// What is known of the user's whole hub; with the first shard only, once there is anything.
    pub hub: Option<Box<HubRecord>>,
}

impl ShardRecord {
    /// Chooses the tier: an admin's word, else the token's, else the default.
    pub fn place_in_tier(&mut self, overridden: Option<TierId>, tiers: &Tiers) {
        (self.tier, self.tier_source) = match (overridden, self.claimed) {
            (Some(tier), _) => (tier, TierSource::Override),
            (None, Some(tier)) => (tier, TierSource::Token),
            (None, None) => (tiers.default_tier(), TierSource::Default),
        };
    }

    /// The shard's name.
    pub fn name(&self) -> ShardName {
        ShardName {
            user: self.user.clone(),
            number: self.number,
        }
    }

    /// Connections of the shard.
    pub fn connections(&self) -> u32 {
        self.by_type.iter().sum()
    }

    /// Whether there are other shards of this user.
    pub fn has_siblings(&self) -> bool {
        self.number > 0
            || self
                .hub
                .as_ref()
                .is_some_and(|hub| hub.siblings.iter().any(|n| *n > 0))
    }

    /// The numbers of the user's other shards that have connections. For a first shard.
    pub fn numbers_of_siblings(&self) -> Vec<u16> {
        let counts = self.hub.iter().flat_map(|hub| &hub.siblings);
        let numbers = (1..).zip(counts).filter(|(_, count)| **count > 0);
        numbers.map(|(number, _)| number).collect()
    }

    /// Connections of all shards of the user. For a first shard.
    pub fn user_connections(&self) -> u64 {
        let siblings = self.hub.iter().flat_map(|hub| &hub.siblings);
        u64::from(self.connections()) + siblings.map(|count| u64::from(*count)).sum::<u64>()
    }

    /// Connections of each active shard of the user, first to last. For a first shard.
    pub fn occupancy(&self) -> Vec<u32> {
        let siblings = self.hub.iter().flat_map(|hub| hub.siblings.iter().copied());
        std::iter::once(self.connections())
            .chain(siblings)
            .collect()
    }

    /// Gives back what is empty; `true` when the record itself can go.
    pub fn tidy_up(&mut self) -> bool {
        self.hub.take_if(|hub| hub.is_empty());
        self.is_over() && self.actor.is_none() && self.in_flight == 0
    }

    /// Whether nothing is left of the shard, nor of the hub if this is its first.
    pub fn is_over(&self) -> bool {
        self.connections() == 0 && (self.number > 0 || !self.has_siblings())
    }
}

/// All shards of one worker, by index and by name.
#[derive(Debug, Default)]
pub struct Shards {
    records: Vec<Option<ShardRecord>>,
    free: Vec<u32>,
    by_name: HashTable<u32>,
}

impl Shards {
    /// The index of a shard.
    pub fn find(&self, user: &str, number: u16) -> Option<u32> {
        let hash = ShardName::hash_of(user, number);
        let is_it = |index: &u32| {
            self.get(*index)
                .is_some_and(|record| record.number == number && *record.user == *user)
        };
        self.by_name.find(hash, is_it).copied()
    }

    /// The index of a shard, which is made if it does not exist.
    pub fn find_or_create(&mut self, user: &Arc<str>, number: u16, tier: TierId) -> u32 {
        if let Some(index) = self.find(user, number) {
            return index;
        }
        let record = ShardRecord {
            user: user.clone(),
            number,
            tier,
            tier_source: TierSource::Default,
            claimed: None,
            is_asleep: false,
            actor: None,
            in_flight: 0,
            waiting: 0,
            by_type: [0; 3],
            oldest: u64::MAX,
            last_activity: 0,
            rejected: 0,
            sleeps: 0,
            wakes: 0,
            hub: None,
        };
        let index = match self.free.pop() {
            Some(index) => {
                self.records[index as usize] = Some(record);
                index
            }
            None => {
                self.records.push(Some(record));
                (self.records.len() - 1) as u32
            }
        };
        let records = &self.records;
        let rehash = |index: &u32| {
            let record = records.get(*index as usize).and_then(Option::as_ref);
            record.map_or(0, |record| ShardName::hash_of(&record.user, record.number))
        };
        self.by_name
            .insert_unique(ShardName::hash_of(user, number), index, rehash);
        index
    }

    /// Forgets a shard.
    pub fn remove(&mut self, index: u32) -> Option<ShardRecord> {
        let record = self.records.get_mut(index as usize)?.take()?;
        let hash = ShardName::hash_of(&record.user, record.number);
        if let Ok(entry) = self.by_name.find_entry(hash, |other| *other == index) {
            entry.remove();
        }
        self.free.push(index);
        if self.by_name.is_empty() {
            *self = Self::default();
        }
        Some(record)
    }

    /// The shard at an index.
    pub fn get(&self, index: u32) -> Option<&ShardRecord> {
        self.records.get(index as usize)?.as_ref()
    }

    /// The shard at an index.
    pub fn get_mut(&mut self, index: u32) -> Option<&mut ShardRecord> {
        self.records.get_mut(index as usize)?.as_mut()
    }

    /// All shards.
    pub fn iter(&self) -> impl Iterator<Item = (u32, &ShardRecord)> {
        (0..)
            .zip(&self.records)
            .filter_map(|(index, record)| Some((index, record.as_ref()?)))
    }

    /// Number of shards.
    pub fn len(&self) -> usize {
        self.by_name.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.by_name.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tier::Tier;

    #[test]
    fn shards_are_found_by_name_and_forgotten() {
        let tier = Tier {
            name: "t".into(),
            connections_per_shard: 1,
            max_shards: 1,
        };
        let tier = Tiers::new(vec![tier], "t").unwrap().default_tier();
        let mut shards = Shards::default();
        let users: Vec<Arc<str>> = (0..100).map(|n| format!("user-{n}").into()).collect();
        for user in &users {
            shards.find_or_create(user, 0, tier);
            shards.find_or_create(user, 1, tier);
        }
        let index = shards.find("user-7", 1).unwrap();
        assert_eq!(shards.find_or_create(&users[7], 1, tier), index);
        assert_eq!(
            shards
                .remove(index)
                .map(|record| record.name().to_string())
                .as_deref(),
            Some("user-7-1")
        );
        assert_eq!(shards.find("user-7", 1), None);
        assert!(shards.find("user-7", 0).is_some());
        assert_eq!(shards.len(), 199);
    }
}
