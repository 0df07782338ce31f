//! What a trial is held to: counts that must be exact, figures with limits, and what is told besides.

use std::time::SystemTime;

use crate::conditions::Conditions;
use crate::criteria::{Criterion, Judgements};
use crate::failure::Failure;
use crate::outcome::{Account, Extra, Outcome};
use crate::stats::{Figure, Snapshot};
use crate::threshold::Threshold;

/// Collects what is found.
#[derive(Debug, Default)]
pub struct Checks {
    accounts: Vec<Account>,
    metrics: Snapshot,
    criteria: Vec<Criterion>,
    tables: Vec<Extra>,
    notes: Vec<String>,
}

impl Checks {
    /// A count that must be exact.
    pub fn exactly(&mut self, name: impl Into<String>, expected: u64, received: u64) {
        self.accounts.push(Account {
            name: name.into(),
            sent: expected,
            expected,
            received,
            lost: expected.saturating_sub(received),
            wrong: received.saturating_sub(expected),
            ..Account::default()
        });
    }

    /// A figure that is only told.
    pub fn tell(&mut self, name: &str, value: Option<f64>) {
        let mut figure = Figure::default();
        figure.set(value);
        self.metrics.push(name, figure.summary());
    }

    /// A figure with a limit, as in `< 50`, under a heading that the report shows.
    ///
    /// # Errors
    /// The limit cannot be read.
    pub fn limit(
        &mut self,
        heading: &str,
        name: &str,
        value: Option<f64>,
        limit: &str,
    ) -> Result<(), Failure> {
        self.tell(name, value);
        let text = format!("{name} value {limit}");
        let threshold = Threshold::parse(&text)
            .map_err(|err| Failure::Usage(format!("threshold {text}: {err}")))?;
        self.criteria.push(Criterion {
            name: heading.to_owned(),
            all: vec![threshold],
        });
        Ok(())
    }

    /// Something that must be so.
    ///
    /// # Errors
    /// None that can happen: the limit is this file's own.
    pub fn holds(&mut self, heading: &str, name: &str, so: bool) -> Result<(), Failure> {
        self.limit(heading, name, Some(f64::from(u8::from(so))), "== 1")
    }

    /// A table.
    pub fn table(&mut self, table: Extra) {
        self.tables.push(table);
    }

    /// Something to know, such as what was not run.
    pub fn note(&mut self, text: impl Into<String>) {
        self.notes.push(text.into());
    }

    /// Takes in what another trial has found.
    pub fn join(&mut self, other: Self) {
        self.accounts.extend(other.accounts);
        for (name, summary) in other.metrics.iter() {
            self.metrics.push(name, *summary);
        }
        self.criteria.extend(other.criteria);
        self.tables.extend(other.tables);
        self.notes.extend(other.notes);
    }

    /// Whether everything so far is as it must be.
    pub fn hold(&self) -> bool {
        Judgements::of(&self.metrics, &[], &self.criteria).passed()
            && self.accounts.iter().all(Account::holds)
    }

    /// The result. The counts that are exact are told in one line each only where they are not.
    pub fn outcome(
        self,
        scenario: &str,
        title: &str,
        mode: serde_json::Value,
        (started_at, lasted): (SystemTime, f64),
        conditions: Conditions,
    ) -> Outcome {
        let judgements = Judgements::of(&self.metrics, &[], &self.criteria);
        let outcome = Outcome {
            scenario: scenario.to_owned(),
            url: "a server of the trial's own".to_owned(),
            title: title.to_owned(),
            mode,
            started_at: humantime::format_rfc3339_millis(started_at).to_string(),
            duration_seconds: lasted,
            interrupted: false,
            conditions,
            metrics: self.metrics,
            accounts: self.accounts,
            tables: self.tables,
            judgements,
            notes: self.notes,
            passed: false,
        };
        outcome.judged()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_must_be_exact_and_figures_within_their_limits() {
        let mut checks = Checks::default();
        checks.exactly("closed", 3, 3);
        checks.limit("fast", "x_ms", Some(4.0), "< 5").unwrap();
        checks.holds("alive", "alive", true).unwrap();
        checks.tell("only_told", None);
        assert!(checks.hold());
        let broken: [fn(&mut Checks); 5] = [
            |checks| checks.exactly("closed", 3, 2),
            |checks| checks.exactly("closed", 3, 4),
            |checks| checks.limit("fast", "y_ms", Some(5.0), "< 5").unwrap(),
            |checks| checks.limit("fast", "z_ms", None, "< 5").unwrap(),
            |checks| checks.holds("alive", "dead", false).unwrap(),
        ];
        for spoil in broken {
            let mut checks = Checks::default();
            checks.exactly("closed", 3, 3);
            spoil(&mut checks);
            assert!(!checks.hold(), "{checks:?}");
        }
        assert!(checks.limit("fast", "x", Some(1.0), "nonsense").is_err());
    }
}
