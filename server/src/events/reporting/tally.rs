//! Sums over calls, and the figures that are computed of them.

use super::super::call_record::RecordStatus;

/// Sums over some calls.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Calls.
    pub calls: i64,
    /// Those that somebody answered.
    pub answered: i64,
    /// Those that ended as they should.
    pub completed: i64,
    /// Those that failed, were busy or not answered.
    pub failed: i64,
    /// Seconds.
    pub duration: i64,
    /// Seconds that are charged.
    pub billable_duration: i64,
    /// Millionths.
    pub cost_micros: i64,
    /// Calls whose time from answer to end is known.
    pub handled: i64,
    /// That time, ms.
    pub handle_ms: i64,
}

impl Tally {
    /// Sums of calls that ended in one way, with only those fields set that do not depend on it.
    #[must_use]
    pub fn of_status(self, status: RecordStatus) -> Self {
        let calls = self.calls;
        let if_so = |is_so: bool| if is_so { calls } else { 0 };
        Self {
            answered: if_so(status.is_answered()),
            completed: if_so(status == RecordStatus::Completed),
            failed: if_so(status.is_failed()),
            ..self
        }
    }

    /// Adds others.
    pub fn add(&mut self, other: &Self) {
        // Without `..`, so that no new sum is forgotten.
        let Self {
            calls,
            answered,
            completed,
            failed,
            duration,
            billable_duration,
            cost_micros,
            handled,
            handle_ms,
        } = other;
        self.calls += calls;
        self.answered += answered;
        self.completed += completed;
        self.failed += failed;
        self.duration = self.duration.saturating_add(*duration);
        self.billable_duration = self.billable_duration.saturating_add(*billable_duration);
        self.cost_micros = self.cost_micros.saturating_add(*cost_micros);
        self.handled += handled;
        self.handle_ms = self.handle_ms.saturating_add(*handle_ms);
    }

    /// Charged minutes, floored.
    pub const fn billable_minutes(&self) -> i64 {
        self.billable_duration / 60
    }

    /// The price.
    pub fn cost(&self) -> f64 {
        self.cost_micros as f64 / 1e6
    }

    /// Seconds of a call on average.
    pub fn average_duration(&self) -> f64 {
        share(self.duration, self.calls)
    }

    /// The share of calls that somebody answered, 0 to 1.
    pub fn asr(&self) -> f64 {
        share(self.answered, self.calls)
    }

    /// Seconds from answer to end on average, floored.
    pub const fn aht(&self) -> i64 {
        match self.handled {
            0 => 0,
            handled => self.handle_ms / handled / 1000,
        }
    }
}

fn share(part: i64, whole: i64) -> f64 {
    if whole == 0 {
        0.0
    } else {
        part as f64 / whole as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_status_counts_where_the_contract_says() {
        let calls = Tally {
            calls: 3,
            ..Tally::default()
        };
        for (status, expected) in [
            (RecordStatus::Answered, (3, 0, 0)),
            (RecordStatus::Completed, (3, 3, 0)),
            (RecordStatus::Failed, (0, 0, 3)),
            (RecordStatus::Busy, (0, 0, 3)),
            (RecordStatus::NoAnswer, (0, 0, 3)),
        ] {
            let counted = calls.of_status(status);
            let found = (counted.answered, counted.completed, counted.failed);
            assert_eq!((counted.calls, found), (3, expected), "{status:?}");
        }
    }

    #[test]
    fn figures_are_floored_or_shares_and_nothing_is_divided_by_nothing() {
        let some = Tally {
            calls: 8,
            answered: 6,
            duration: 20,
            billable_duration: 119,
            cost_micros: 1_250_000,
            handled: 2,
            handle_ms: 3_999,
            ..Tally::default()
        };
        assert_eq!((some.billable_minutes(), some.aht()), (1, 1));
        let shares = (some.asr(), some.average_duration(), some.cost());
        assert_eq!(shares, (0.75, 2.5, 1.25));
        let none = Tally::default();
        assert_eq!(
            (none.asr(), none.average_duration(), none.aht()),
            (0.0, 0.0, 0)
        );
    }
}
