//! Names of shards.

use std::fmt;
use std::hash::{BuildHasher, Hash, Hasher};
use std::sync::Arc;

/// A shard's name: `<userId>` for the user's first, `<userId>-<n>` for the others.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ShardName {
    /// The owner.
    pub user: Arc<str>,
    /// 0 is the first.
    pub number: u16,
}

impl ShardName {
    /// The user's first shard.
    pub fn first(user: Arc<str>) -> Self {
        Self { user, number: 0 }
    }

    /// The hash that tables and the choice of a worker use.
    pub fn hash_of(user: &str, number: u16) -> u64 {
        // Fixed seeds: a name falls on the same worker on every start with as many workers.
        const SEEDS: ahash::RandomState = ahash::RandomState::with_seeds(1, 2, 3, 4);
        let mut hasher = SEEDS.build_hasher();
        user.hash(&mut hasher);
        number.hash(&mut hasher);
        hasher.finish()
    }

    /// The index of the worker that owns a shard, of `workers` (at least 1).
    pub fn worker_of(user: &str, number: u16, workers: usize) -> usize {
        (Self::hash_of(user, number) % workers.max(1) as u64) as usize
    }
}

impl fmt::Display for ShardName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.number {
            0 => f.write_str(&self.user),
            number => write!(f, "{}-{number}", self.user),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_stable_and_users_spread_over_workers() {
        let name = ShardName {
            user: "alice".into(),
            number: 2,
        };
        assert_eq!(name.to_string(), "alice-2");
        assert_eq!(ShardName::first("alice".into()).to_string(), "alice");
        let mut counts = [0; 4];
        for user in 0..4000 {
            counts[ShardName::worker_of(&format!("user-{user}"), 0, 4)] += 1;
        }
        assert!(
            counts.iter().all(|count| (850..1150).contains(count)),
            "{counts:?}"
        );
    }
}
