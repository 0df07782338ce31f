//! Fixed-window rate limits (REST contract section 1.8, realtime contract section 3).
//!
//! Owns the counting: windows of 60 s aligned to the clock minute, check and count in one step,
//! refused calls not counted. Called by the handlers of limited endpoints, each with a limiter of
//! its own. It must never skip the limit: when its table is full, new keys are refused until the
//! window ends.

use std::borrow::Borrow;
use std::hash::Hash;
use std::sync::{Mutex, PoisonError};

use ahash::AHashMap;

/// Length of a window in milliseconds.
pub const WINDOW_MS: u64 = 60_000;

/// The answer to one call, with what the rate limit headers need.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Admission {
    /// Whether the call may go on; it was counted if so.
    pub admitted: bool,
    /// Calls per window: `X-RateLimit-Limit`.
    pub limit: u32,
    /// Calls left in this window: `X-RateLimit-Remaining`.
    pub remaining: u32,
    /// Seconds to the end of the window, rounded up, 1 to 60: `Retry-After` of a refused call.
    pub retry_after_s: u32,
}

/// Counts calls per key in fixed windows. Threads share one behind a reference: the limit is on
/// the connect path, where an uncontended lock costs little.
///
/// A key made of a network address should be the /64 of an IPv6 address, since one host has as many
/// addresses as it likes.
#[derive(Debug)]
pub struct FixedWindow<K> {
    limit: u32,
    max_keys: usize,
    current: Mutex<Window<K>>,
}

#[derive(Debug)]
struct Window<K> {
    /// Minutes since the Unix epoch.
    number: u64,
    calls: AHashMap<K, u32>,
}

impl<K: Eq + Hash> FixedWindow<K> {
    /// Admits `limit` calls per key and window, and remembers at most `max_keys` keys.
    #[must_use]
    pub fn new(limit: u32, max_keys: usize) -> Self {
        let current = Mutex::new(Window {
            number: 0,
            calls: AHashMap::new(),
        });
        Self {
            limit,
            max_keys,
            current,
        }
    }

    /// Checks whether `key` has a call left in the window of `now_ms` and counts it if so, in one
    /// step.
    pub fn admit<Q>(&self, key: &Q, now_ms: u64) -> Admission
    where
        K: Borrow<Q>,
        Q: Eq + Hash + ToOwned<Owned = K> + ?Sized,
    {
        self.admit_up_to(self.limit, key, now_ms)
    }

    /// As [`Self::admit`], with a limit of this key's own.
    pub fn admit_up_to<Q>(&self, limit: u32, key: &Q, now_ms: u64) -> Admission
    where
        K: Borrow<Q>,
        Q: Eq + Hash + ToOwned<Owned = K> + ?Sized,
    {
        let answer = |admitted, counted: u32| Admission {
            admitted,
            limit,
            remaining: limit.saturating_sub(counted),
            retry_after_s: seconds_left(now_ms),
        };
        let mut window = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        window.turn_to(now_ms / WINDOW_MS);
        let has_room = window.calls.len() < self.max_keys;
        match window.calls.get_mut(key) {
            Some(counted) if *counted < limit => {
                *counted += 1;
                answer(true, *counted)
            }
            None if limit > 0 && has_room => {
                window.calls.insert(key.to_owned(), 1);
                answer(true, 1)
            }
            _ => answer(false, limit),
        }
    }

    /// Keys that are remembered now.
    #[must_use]
    pub fn keys(&self) -> usize {
        self.current
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .calls
            .len()
    }
}

impl<K: Eq + Hash> Window<K> {
    /// Forgets all counts when a new window has begun, and gives back memory that the last window
    /// did not need. A clock that steps back over the edge of a window stays in the later one, lest
    /// the step admit more; one that steps back further was wrong before, and counts anew.
    fn turn_to(&mut self, number: u64) {
        if number > self.number || number.saturating_add(1) < self.number {
            self.number = number;
            let needed = self.calls.len();
            self.calls.clear();
            self.calls.shrink_to(needed);
        }
    }
}

/// Seconds from `now_ms` to the end of its window, rounded up: 1 to 60.
fn seconds_left(now_ms: u64) -> u32 {
    // The remainder is under 60 000, so the result fits.
    (WINDOW_MS - now_ms % WINDOW_MS).div_ceil(1000) as u32
}

#[cfg(test)]
mod tests {
    use std::sync::Barrier;

    use proptest::prelude::*;

    use super::*;

    const MINUTE: u64 = 29_000_000 * WINDOW_MS;

    #[test]
    fn calls_up_to_the_limit_are_admitted() {
        let tickets = FixedWindow::<String>::new(10, 100);
        for remaining in (0..10).rev() {
            let admission = tickets.admit("alice", MINUTE);
            assert_eq!(
                admission,
                Admission {
                    admitted: true,
                    limit: 10,
                    remaining,
                    retry_after_s: 60
                }
            );
        }
        let refused = tickets.admit("alice", MINUTE + 1);
        assert_eq!(
            refused,
            Admission {
                admitted: false,
                limit: 10,
                remaining: 0,
                retry_after_s: 60
            }
        );
        assert!(
            tickets.admit("bob", MINUTE).admitted,
            "keys do not share a count"
        );
    }

    #[test]
    fn windows_end_with_the_clock_minute() {
        let limiter = FixedWindow::<String>::new(1, 100);
        assert!(limiter.admit("alice", MINUTE + 59_999).admitted);
        let refused = limiter.admit("alice", MINUTE + 59_999);
        assert!(!refused.admitted);
        assert_eq!(refused.retry_after_s, 1);
        assert!(
            limiter.admit("alice", MINUTE + 60_000).admitted,
            "1 ms later, a new window"
        );
        assert!(!limiter.admit("alice", MINUTE + 119_999).admitted);
    }

    #[test]
    fn the_wait_is_rounded_up() {
        for (offset, seconds) in [
            (0, 60),
            (1, 60),
            (999, 60),
            (1000, 59),
            (58_999, 2),
            (59_000, 1),
            (59_999, 1),
        ] {
            assert_eq!(seconds_left(MINUTE + offset), seconds, "{offset}");
        }
    }

    #[test]
    fn refused_calls_are_not_counted() {
        let limiter = FixedWindow::<String>::new(2, 100);
        for _ in 0..50 {
            limiter.admit("alice", MINUTE);
        }
        assert_eq!(limiter.current.lock().unwrap().calls["alice"], 2);
    }

    #[test]
    fn a_limit_of_nothing_admits_nothing() {
        let limiter = FixedWindow::<String>::new(0, 100);
        assert!(!limiter.admit("alice", MINUTE).admitted);
        assert_eq!(limiter.keys(), 0);
    }

    #[test]
    fn a_full_table_refuses_new_keys_until_the_window_ends() {
        let limiter = FixedWindow::<u32>::new(2, 3);
        assert!((0..3).all(|key| limiter.admit(&key, MINUTE).admitted));
        assert!(!limiter.admit(&3, MINUTE).admitted);
        assert!(
            limiter.admit(&0, MINUTE).admitted,
            "a known key keeps its calls"
        );
        assert!(limiter.admit(&3, MINUTE + WINDOW_MS).admitted);
        assert_eq!(limiter.keys(), 1, "old windows are forgotten");
    }

    #[test]
    fn a_clock_that_steps_back_opens_no_new_window() {
        let limiter = FixedWindow::<String>::new(1, 100);
        assert!(limiter.admit("alice", MINUTE).admitted);
        assert!(!limiter.admit("alice", MINUTE - 1).admitted);
        assert!(!limiter.admit("alice", MINUTE).admitted);
    }

    #[test]
    fn a_clock_that_was_far_ahead_locks_nobody_out() {
        let limiter = FixedWindow::<String>::new(1, 100);
        assert!(limiter.admit("alice", MINUTE + 1440 * WINDOW_MS).admitted);
        assert!(limiter.admit("alice", MINUTE).admitted);
    }

    #[test]
    fn threads_never_exceed_the_limit_together() {
        let limiter = FixedWindow::<String>::new(100, 10);
        let start = Barrier::new(4);
        let admitted: usize = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..4)
                .map(|_| {
                    scope.spawn(|| {
                        start.wait();
                        (0..60)
                            .filter(|_| limiter.admit("alice", MINUTE).admitted)
                            .count()
                    })
                })
                .collect();
            threads
                .into_iter()
                .map(|thread| thread.join().unwrap())
                .sum()
        });
        assert_eq!(admitted, 100);
    }

    proptest! {
        #[test]
        fn no_window_admits_more_than_the_limit(
            limit in 0_u32..5,
            mut times in prop::collection::vec(0_u64..5 * WINDOW_MS, 0..100),
        ) {
            times.sort_unstable();
            let limiter = FixedWindow::<u8>::new(limit, 10);
            let mut admitted = [0_u32; 5];
            let mut asked = [0_u32; 5];
            for time in times {
                let minute = (time / WINDOW_MS) as usize;
                asked[minute] += 1;
                admitted[minute] += u32::from(limiter.admit(&0, MINUTE + time).admitted);
            }
            for (admitted, asked) in admitted.into_iter().zip(asked) {
                prop_assert_eq!(admitted, asked.min(limit));
            }
        }
    }
}
