use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::*;
use crate::auth::revocation::RevocationList;

const NOW: u64 = 1_000;

fn hash(number: u16) -> TokenHash {
    let mut hash = [0; 32];
    hash[..2].copy_from_slice(&number.to_be_bytes());
    hash
}

fn identity(number: u16, expires_at_ms: u64) -> Identity {
    Identity {
        user: Arc::from(format!("user-{number}")),
        tier: None,
        admin: false,
        expires_at_ms,
        extras: None,
        token_hash: hash(number),
    }
}

struct Fixture {
    cache: TokenCache,
    revoked: RevocationList,
}

impl Fixture {
    fn new(capacity: usize) -> Self {
        Self {
            cache: TokenCache::new(capacity),
            revoked: RevocationList::new(),
        }
    }

    fn checked(&self) -> Checked {
        Checked {
            epoch: self.revoked.epoch(),
            keys: 0,
        }
    }

    fn insert(&mut self, number: u16) {
        let checked = self.checked();
        self.cache
            .insert(hash(number), identity(number, 2 * NOW), checked);
    }

    fn has(&mut self, number: u16) -> bool {
        self.get_at(number, NOW, 0).is_some()
    }

    fn get_at(&mut self, number: u16, now_ms: u64, keys: u64) -> Option<Identity> {
        let current = Checked {
            keys,
            ..self.checked()
        };
        let found = self
            .cache
            .get(&hash(number), now_ms, current, &self.revoked);
        assert!(
            found
                .as_ref()
                .is_none_or(|found| found.token_hash == hash(number))
        );
        found
    }
}

#[test]
fn what_was_inserted_is_found() {
    let mut fixture = Fixture::new(10);
    assert!(!fixture.has(1));
    fixture.insert(1);
    assert_eq!(&*fixture.get_at(1, NOW, 0).unwrap().user, "user-1");
    assert!(!fixture.has(2));
}

#[test]
fn entries_die_when_their_token_expires() {
    let mut fixture = Fixture::new(10);
    fixture.insert(1);
    assert!(fixture.get_at(1, 2 * NOW - 1, 0).is_some());
    assert!(fixture.get_at(1, 2 * NOW, 0).is_none());
    assert!(fixture.cache.is_empty(), "a dead entry is dropped");
}

#[test]
fn a_revocation_ends_its_token_and_no_other() {
    let mut fixture = Fixture::new(10);
    fixture.insert(1);
    fixture.insert(2);
    fixture.revoked.revoke(hash(1), u64::MAX);
    assert!(!fixture.has(1));
    assert!(fixture.has(2));
}

/// Counts how often it is asked.
#[derive(Default)]
struct Asked(AtomicU64);

impl Revocations for Asked {
    fn is_revoked(&self, _: &TokenHash) -> bool {
        self.0.fetch_add(1, Ordering::Relaxed);
        false
    }

    fn is_blocked(&self, _: &str) -> bool {
        false
    }

    fn epoch(&self) -> u64 {
        1
    }
}

#[test]
fn revocations_are_asked_once_per_epoch_and_entry() {
    let mut cache = TokenCache::new(10);
    cache.insert(hash(1), identity(1, 2 * NOW), Checked { epoch: 0, keys: 0 });
    let asked = Asked::default();
    let current = Checked {
        epoch: asked.epoch(),
        keys: 0,
    };
    for _ in 0..3 {
        assert!(cache.get(&hash(1), NOW, current, &asked).is_some());
    }
    assert_eq!(asked.0.into_inner(), 1);
}

#[test]
fn a_token_revoked_while_it_was_verified_is_not_given_out() {
    let mut fixture = Fixture::new(10);
    let before = fixture.checked();
    fixture.revoked.revoke(hash(1), u64::MAX);
    fixture.cache.insert(hash(1), identity(1, 2 * NOW), before);
    assert!(!fixture.has(1));
}

#[test]
fn entries_die_when_the_issuers_keys_change() {
    let mut fixture = Fixture::new(10);
    fixture.insert(1);
    assert!(fixture.get_at(1, NOW, 1).is_none());
    assert!(fixture.cache.is_empty());
}

#[test]
fn the_old_generation_is_checked_as_well() {
    let mut fixture = Fixture::new(4);
    for number in 0..3 {
        fixture.insert(number);
    }
    fixture.revoked.revoke(hash(0), u64::MAX);
    assert!(!fixture.has(0));
    assert!(fixture.get_at(1, 2 * NOW, 0).is_none());
    assert!(fixture.has(2));
}

#[test]
fn the_capacity_holds_and_what_is_used_stays() {
    let mut fixture = Fixture::new(10);
    fixture.insert(0);
    for number in 1..1000 {
        fixture.insert(number);
        assert!(fixture.has(0), "used each time, so it is never dropped");
        assert!(fixture.cache.len() <= 10);
    }
    assert!(fixture.has(999));
    assert!(!fixture.has(1));
}

#[test]
fn a_cache_without_room_remembers_nothing() {
    for capacity in [0, 1] {
        let mut fixture = Fixture::new(capacity);
        fixture.insert(1);
        assert!(!fixture.has(1));
    }
}
