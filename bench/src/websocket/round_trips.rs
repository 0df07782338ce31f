//! Pings of one connection and the pongs that answer them, first to first.
//!
//! Used by `client`. A server answers the pings of a connection in order (realtime contract,
//! section 4.2), so no id is needed. Pure: the caller owns the clock.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// Pings that have no pong yet, and the account of those that were.
#[derive(Debug, Default)]
pub(super) struct RoundTrips {
    outstanding: VecDeque<Instant>,
    account: PingAccount,
}

/// What became of pings.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct PingAccount {
    /// Pings sent.
    pub sent: u64,
    /// Pongs that answer one.
    pub received: u64,
    /// Pings that were never answered.
    pub lost: u64,
    /// Pongs that answer none.
    pub duplicated: u64,
}

impl PingAccount {
    /// Adds the account of another connection.
    pub(super) fn add(&mut self, other: Self) {
        self.sent += other.sent;
        self.received += other.received;
        self.lost += other.lost;
        self.duplicated += other.duplicated;
    }
}

impl RoundTrips {
    /// A ping that was due at `intended` goes out.
    pub(super) fn sent(&mut self, intended: Instant) {
        self.outstanding.push_back(intended);
        self.account.sent += 1;
    }

    /// A pong has come: how long its ping took from the moment it was due, or `None` if there was
    /// no ping to answer.
    pub(super) fn answered(&mut self, now: Instant) -> Option<Duration> {
        let Some(intended) = self.outstanding.pop_front() else {
            self.account.duplicated += 1;
            return None;
        };
        self.account.received += 1;
        Some(now.saturating_duration_since(intended))
    }

    /// Whether every ping has been answered.
    pub(super) fn is_settled(&self) -> bool {
        self.outstanding.is_empty()
    }

    /// The account at the connection's end: what is unanswered now is lost.
    pub(super) fn close(self) -> PingAccount {
        PingAccount {
            lost: self.outstanding.len() as u64,
            ..self.account
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pongs_answer_pings_in_order_and_time_runs_from_the_intended_moment() {
        let start = Instant::now();
        let at = |millis| start + Duration::from_millis(millis);
        let mut trips = RoundTrips::default();
        trips.sent(at(0));
        trips.sent(at(100));
        assert_eq!(trips.answered(at(130)), Some(Duration::from_millis(130)));
        assert!(!trips.is_settled());
        assert_eq!(trips.answered(at(131)), Some(Duration::from_millis(31)));
        assert!(trips.is_settled());
        assert_eq!(trips.answered(at(132)), None);
        trips.sent(at(200));
        let account = trips.close();
        assert_eq!(
            account,
            PingAccount {
                sent: 3,
                received: 2,
                lost: 1,
                duplicated: 1
            }
        );
    }
}
