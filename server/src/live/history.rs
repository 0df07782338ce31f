//! The last 15 minutes: snapshots five seconds apart, in a ring.

use std::collections::VecDeque;

use super::snapshot::Snapshot;

/// Time between two snapshots that are kept, milliseconds.
const STEP_MS: u64 = 5_000;
/// Snapshots that are kept: 15 minutes, and the one before the first step.
const KEPT: usize = 181;

/// Snapshots of the last 15 minutes, and the newest of all.
#[derive(Debug, Default)]
pub(super) struct History {
    ring: VecDeque<Snapshot>,
    last: Option<Snapshot>,
}

impl History {
    /// Whether it is time for the next snapshot that is kept.
    pub fn is_due(&self, now: u64) -> bool {
        match self.ring.back() {
            // Ticks that come a little early must not make it wait for another one. A clock that
            // was set back must not stop it.
            Some(newest) => now + STEP_MS / 10 >= newest.at + STEP_MS || now < newest.at,
            None => true,
        }
    }

    /// Takes in a snapshot; keeps it if it is time.
    pub fn take_in(&mut self, snapshot: Snapshot) {
        if self.is_due(snapshot.at) {
            self.ring.push_back(snapshot.clone());
            if self.ring.len() > KEPT {
                self.ring.pop_front();
            }
        }
        self.last = Some(snapshot);
    }

    /// The newest snapshot.
    pub fn last(&self) -> Option<&Snapshot> {
        self.last.as_ref()
    }

    /// The oldest snapshot that is at most this many milliseconds older than `at`.
    pub fn within(&self, at: u64, ms: u64) -> Option<&Snapshot> {
        self.ring.iter().find(|kept| kept.at + ms >= at)
    }

    /// Each kept snapshot with the one before it.
    pub fn steps(&self) -> impl Iterator<Item = (&Snapshot, &Snapshot)> {
        self.ring.iter().zip(self.ring.iter().skip(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(at: u64) -> Snapshot {
        Snapshot {
            at,
            ..Snapshot::default()
        }
    }

    #[test]
    fn a_quarter_of_an_hour_is_kept_in_steps_of_five_seconds() {
        let mut history = History::default();
        assert!(history.is_due(0) && history.last().is_none());
        for second in 0..2_000 {
            history.take_in(at(1_000_000 + second * 1_000));
        }
        assert_eq!(history.ring.len(), KEPT);
        assert!(
            history
                .steps()
                .all(|(before, after)| after.at - before.at == STEP_MS)
        );
        let newest = history.last().unwrap().at;
        assert_eq!(newest, 2_999_000);
        let oldest = history.within(newest, 900_000).unwrap().at;
        assert!(newest - oldest <= 900_000 && newest - oldest > 890_000);
        assert_eq!(history.within(newest, 60_000).unwrap().at, 2_940_000);
    }

    #[test]
    fn early_ticks_and_clocks_that_are_set_back_do_no_harm() {
        let mut history = History::default();
        history.take_in(at(100_000));
        assert!(!history.is_due(104_000));
        assert!(history.is_due(104_600), "a tick that is a little early");
        assert!(history.is_due(50_000), "a clock that was set back");
        history.take_in(at(50_000));
        assert_eq!(history.steps().count(), 1);
    }
}
