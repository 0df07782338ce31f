//! Tiers that admins have given to users, over what their tokens say. Kept in the store.

use std::collections::BTreeMap;
use std::sync::{PoisonError, RwLock};

use crate::store::{Store, StoreError};
use crate::tier::{TierId, Tiers};

/// Overrides in memory; read when a connection is placed, never to deliver.
#[derive(Debug, Default)]
pub struct Overrides {
    by_user: RwLock<BTreeMap<String, TierId>>,
}

impl Overrides {
    /// Reads what is stored. An override to a tier that is no longer configured is passed over.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn load(store: &Store, tiers: &Tiers) -> Result<Self, StoreError> {
        let mut by_user = BTreeMap::new();
        for (user, name) in store.tiers()? {
            match tiers.find(&name) {
                Some(tier) => {
                    by_user.insert(user, tier);
                }
                None => tracing::warn!(tier = name, "ignoring a tier override: not configured"),
            }
        }
        Ok(Self {
            by_user: RwLock::new(by_user),
        })
    }

    /// The user's override.
    pub fn get(&self, user: &str) -> Option<TierId> {
        self.by_user
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .get(user)
            .copied()
    }

    /// Notes an override, or its end, that is stored already.
    pub fn set(&self, user: &str, tier: Option<TierId>) {
        let mut by_user = self.by_user.write().unwrap_or_else(PoisonError::into_inner);
        match tier {
            Some(tier) => by_user.insert(user.to_owned(), tier),
            None => by_user.remove(user),
        };
    }
}
