//! Tokens that were taken back and users who are refused (data model, revokedToken).
//!
//! Owns the interface that verification asks, and an in-memory implementation of it. Called by the
//! verifier on every token that is verified or found in a cache. It knows hashes only, never a
//! token.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use ahash::{AHashMap, AHashSet};

use super::TokenHash;

/// What verification asks about revoked tokens and blocked users. It is asked on worker threads, so
/// it must answer from memory; an implementation over a database keeps both loaded.
pub trait Revocations: Send + Sync {
    /// Whether the token of this hash was revoked.
    fn is_revoked(&self, token_hash: &TokenHash) -> bool;

    /// Whether no token of this user is accepted.
    fn is_blocked(&self, user: &str) -> bool;

    /// Grows with every revocation and every block, after it can be seen by [`Self::is_revoked`]
    /// and [`Self::is_blocked`]. Caches ask again about a token when the epoch is another than the
    /// one they last asked in.
    fn epoch(&self) -> u64;
}

/// Revoked tokens and blocked users in memory.
#[derive(Debug, Default)]
pub struct RevocationList {
    /// Hash to the time after which it may be forgotten, in Unix milliseconds.
    hashes: RwLock<AHashMap<TokenHash, u64>>,
    users: RwLock<AHashSet<Arc<str>>>,
    epoch: AtomicU64,
}

impl RevocationList {
    /// With nothing revoked and nobody blocked.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Revokes a token until `forget_at_ms` (Unix milliseconds): at least its own `exp` and the
    /// grace of refreshing, as an expired token can still be refreshed. Says whether that is news.
    pub fn revoke(&self, token_hash: TokenHash, forget_at_ms: u64) -> bool {
        let mut hashes = self.hashes.write().unwrap_or_else(PoisonError::into_inner);
        let known = hashes.len();
        let kept = hashes.entry(token_hash).or_insert(forget_at_ms);
        *kept = forget_at_ms.max(*kept);
        let is_news = hashes.len() > known;
        drop(hashes);
        // Release: who sees the new epoch sees the hash.
        self.epoch.fetch_add(1, Ordering::Release);
        is_news
    }

    /// Refuses all tokens of a user. Says whether that is news.
    pub fn block(&self, user: &str) -> bool {
        let mut users = self.users.write().unwrap_or_else(PoisonError::into_inner);
        let is_news = users.insert(user.into());
        drop(users);
        // As above.
        self.epoch.fetch_add(1, Ordering::Release);
        is_news
    }

    /// Takes a block back. Caches hold no refusals, so none has to be told.
    pub fn unblock(&self, user: &str) {
        self.users
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(user);
    }

    /// Forgets the revocations whose time has come and gives their number.
    pub fn sweep(&self, now_ms: u64) -> usize {
        let mut hashes = self.hashes.write().unwrap_or_else(PoisonError::into_inner);
        let before = hashes.len();
        hashes.retain(|_, forget_at_ms| now_ms < *forget_at_ms);
        hashes.shrink_to_fit();
        before - hashes.len()
    }

    /// How many revocations are remembered.
    #[must_use]
    pub fn len(&self) -> usize {
        self.hashes
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .len()
    }

    /// Whether no revocation is remembered.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Revocations for RevocationList {
    fn is_revoked(&self, token_hash: &TokenHash) -> bool {
        self.hashes
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .contains_key(token_hash)
    }

    fn is_blocked(&self, user: &str) -> bool {
        self.users
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .contains(user)
    }

    fn epoch(&self) -> u64 {
        self.epoch.load(Ordering::Acquire)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_revoked_token_is_known_and_changes_the_epoch() {
        let revoked = RevocationList::new();
        let before = revoked.epoch();
        assert!(!revoked.is_revoked(&[1; 32]));
        assert!(revoked.revoke([1; 32], 1000));
        assert!(!revoked.revoke([1; 32], 1000), "it is no news");
        assert!(revoked.is_revoked(&[1; 32]));
        assert!(!revoked.is_revoked(&[2; 32]));
        assert!(revoked.epoch() > before);
    }

    #[test]
    fn a_blocked_user_is_known_until_unblocked() {
        let list = RevocationList::new();
        let before = list.epoch();
        assert!(list.block("alice") && !list.block("alice"));
        assert!(list.is_blocked("alice") && !list.is_blocked("bob"));
        assert!(list.epoch() > before);
        list.unblock("alice");
        assert!(!list.is_blocked("alice"));
    }

    #[test]
    fn revocations_are_forgotten_at_their_time_only() {
        let revoked = RevocationList::new();
        revoked.revoke([1; 32], 1000);
        revoked.revoke([1; 32], 500);
        revoked.revoke([2; 32], 2000);
        assert_eq!(revoked.sweep(999), 0);
        assert_eq!(revoked.sweep(1000), 1);
        assert!(!revoked.is_revoked(&[1; 32]));
        assert!(revoked.is_revoked(&[2; 32]));
        assert_eq!(revoked.len(), 1);
    }
}
