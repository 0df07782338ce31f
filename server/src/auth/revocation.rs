//! Tokens that were taken back (data model, revokedToken).
//!
//! Owns the interface that verification asks, and an in-memory implementation of it. Called by the
//! verifier on every token that is verified or found in a cache. It knows hashes only, never a
//! token.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{PoisonError, RwLock};

use ahash::AHashMap;

use super::TokenHash;

/// What verification asks about revoked tokens. It is asked on worker threads, so it must answer
/// from memory; an implementation over a database keeps the hashes loaded.
pub trait Revocations: Send + Sync {
    /// Whether the token of this hash was revoked.
    fn is_revoked(&self, token_hash: &TokenHash) -> bool;

    /// Grows with every revocation, after it can be seen by [`Self::is_revoked`]. Caches ask again
    /// about a token when the epoch is another than the one they last asked in.
    fn epoch(&self) -> u64;
}

/// Revoked tokens in memory.
#[derive(Debug, Default)]
pub struct RevokedTokens {
    /// Hash to the time after which it may be forgotten, in Unix milliseconds.
    hashes: RwLock<AHashMap<TokenHash, u64>>,
    epoch: AtomicU64,
}

impl RevokedTokens {
    /// With no token revoked.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Revokes a token until `forget_at_ms` (Unix milliseconds): at least its own `exp` and the
    /// grace of refreshing, as an expired token can still be refreshed.
    pub fn revoke(&self, token_hash: TokenHash, forget_at_ms: u64) {
        let mut hashes = self.hashes.write().unwrap_or_else(PoisonError::into_inner);
        let kept = hashes.entry(token_hash).or_insert(forget_at_ms);
        *kept = forget_at_ms.max(*kept);
        drop(hashes);
        // Release: who sees the new epoch sees the hash.
        self.epoch.fetch_add(1, Ordering::Release);
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

    /// Whether none is remembered.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Revocations for RevokedTokens {
    fn is_revoked(&self, token_hash: &TokenHash) -> bool {
        self.hashes
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .contains_key(token_hash)
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
        let revoked = RevokedTokens::new();
        let before = revoked.epoch();
        assert!(!revoked.is_revoked(&[1; 32]));
        revoked.revoke([1; 32], 1000);
        assert!(revoked.is_revoked(&[1; 32]));
        assert!(!revoked.is_revoked(&[2; 32]));
        assert!(revoked.epoch() > before);
    }

    #[test]
    fn revocations_are_forgotten_at_their_time_only() {
        let revoked = RevokedTokens::new();
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
