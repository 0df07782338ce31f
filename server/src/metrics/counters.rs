//! What this crate counts itself; workers count the rest.

use std::sync::atomic::{AtomicU64, Ordering};

use super::http_requests::HttpRequests;

/// Counters that all threads share. None is touched on the path of a WebSocket message.
#[derive(Debug)]
pub struct Counters {
    /// HTTP requests.
    pub http: HttpRequests,
    /// Checks of users' tokens.
    pub tokens: TokenChecks,
}

impl Counters {
    /// All at zero.
    ///
    /// # Errors
    /// As [`HttpRequests::new`].
    pub fn new() -> Result<Self, prometheus::Error> {
        Ok(Self {
            http: HttpRequests::new()?,
            tokens: TokenChecks::default(),
        })
    }
}

/// How the check of a user's token ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenCheck {
    /// The thread had verified it before.
    Cached,
    /// Verified now.
    Verified,
    /// Refused.
    Refused,
}

impl TokenCheck {
    /// The words in metrics, in the order of the variants.
    pub const LABELS: [&'static str; 3] = ["cached", "verified", "refused"];
}

/// Checks of users' tokens by how they ended.
#[derive(Debug, Default)]
pub struct TokenChecks {
    cached: AtomicU64,
    verified: AtomicU64,
    refused: AtomicU64,
}

impl TokenChecks {
    /// Counts one.
    pub fn count(&self, check: TokenCheck) {
        let counter = match check {
            TokenCheck::Cached => &self.cached,
            TokenCheck::Verified => &self.verified,
            TokenCheck::Refused => &self.refused,
        };
        // A number among others: nothing is read because of it.
        counter.fetch_add(1, Ordering::Relaxed);
    }

    /// All counts, in the order of [`TokenCheck::LABELS`].
    pub fn all(&self) -> [u64; 3] {
        [&self.cached, &self.verified, &self.refused].map(|counter| counter.load(Ordering::Relaxed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checks_are_counted_by_their_end() {
        let checks = TokenChecks::default();
        for check in [
            TokenCheck::Cached,
            TokenCheck::Verified,
            TokenCheck::Verified,
            TokenCheck::Verified,
            TokenCheck::Refused,
            TokenCheck::Refused,
        ] {
            checks.count(check);
        }
        assert_eq!(checks.all(), [1, 3, 2]);
    }
}
