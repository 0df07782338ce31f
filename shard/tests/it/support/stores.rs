//! Stores in memory: one that works, and one that fails when told to.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex};

use dormouse_shard::store::{Backend, Changes, Entries, StoreError};

/// Keys and values in a map.
#[derive(Default)]
pub struct MemoryBackend {
    /// What is stored.
    pub entries: Mutex<BTreeMap<Vec<u8>, Vec<u8>>>,
    /// Refuse to write.
    pub refuses_writes: AtomicBool,
    /// Refuse to read.
    pub refuses_reads: AtomicBool,
    tiers: Mutex<BTreeMap<String, String>>,
    writes: AtomicUsize,
    is_held: Mutex<bool>,
    /// Reads of shards of this number wait.
    held_shard: Mutex<Option<u16>>,
    released: Condvar,
    /// Reads that wait.
    pub waiting_reads: AtomicUsize,
}

/// Writes, or reads of one shard, wait as long as this lives.
pub struct Held<'a>(&'a MemoryBackend);

impl Drop for Held<'_> {
    fn drop(&mut self) {
        *self.0.is_held.lock().unwrap() = false;
        *self.0.held_shard.lock().unwrap() = None;
        self.0.released.notify_all();
    }
}

impl MemoryBackend {
    /// Number of stored records.
    pub fn len(&self) -> usize {
        self.entries.lock().unwrap().len()
    }

    /// Number of batches written so far.
    pub fn writes(&self) -> usize {
        self.writes.load(Ordering::SeqCst)
    }

    /// Keeps writes waiting.
    pub fn hold(&self) -> Held<'_> {
        *self.is_held.lock().unwrap() = true;
        Held(self)
    }

    /// Keeps those waiting who read a shard of this number.
    pub fn hold_reads(&self, shard: u16) -> Held<'_> {
        *self.held_shard.lock().unwrap() = Some(shard);
        Held(self)
    }

    /// Makes every stored record unreadable.
    pub fn spoil(&self) {
        for value in self.entries.lock().unwrap().values_mut() {
            *value = b"\xff\xff".to_vec();
        }
    }
}

impl Backend for MemoryBackend {
    fn scan(&self, prefix: &[u8]) -> Result<Entries, StoreError> {
        if self.refuses_reads.load(Ordering::SeqCst) {
            return Err(StoreError::new("cannot read"));
        }
        let held = self.held_shard.lock().unwrap();
        let is_held = |held: &mut Option<u16>| {
            held.is_some_and(|shard| prefix.ends_with(&shard.to_be_bytes()))
        };
        self.waiting_reads.fetch_add(1, Ordering::SeqCst);
        drop(self.released.wait_while(held, is_held).unwrap());
        self.waiting_reads.fetch_sub(1, Ordering::SeqCst);
        let entries = self.entries.lock().unwrap();
        let found = entries.iter().filter(|(key, _)| key.starts_with(prefix));
        Ok(found
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect())
    }

    fn apply(&self, changes: Changes) -> Result<(), StoreError> {
        let is_held = self.is_held.lock().unwrap();
        drop(
            self.released
                .wait_while(is_held, |is_held| *is_held)
                .unwrap(),
        );
        if self.refuses_writes.load(Ordering::SeqCst) {
            return Err(StoreError::new("disk full"));
        }
        self.writes.fetch_add(1, Ordering::SeqCst);
        let mut entries = self.entries.lock().unwrap();
        for (key, value) in changes {
            match value {
                Some(value) => entries.insert(key, value),
                None => entries.remove(&key),
            };
        }
        Ok(())
    }

    fn tiers(&self) -> Result<BTreeMap<String, String>, StoreError> {
        Ok(self.tiers.lock().unwrap().clone())
    }

    fn set_tier(&self, user: &str, tier: Option<&str>) -> Result<(), StoreError> {
        if self.refuses_writes.load(Ordering::SeqCst) {
            return Err(StoreError::new("disk full"));
        }
        let mut tiers = self.tiers.lock().unwrap();
        match tier {
            Some(tier) => tiers.insert(user.to_owned(), tier.to_owned()),
            None => tiers.remove(user),
        };
        Ok(())
    }
}
