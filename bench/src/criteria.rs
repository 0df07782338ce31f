//! Acceptance criteria: thresholds grouped under the names that people know them by.
//!
//! Called by every scenario at its end. Pure.

use serde::{Deserialize, Serialize};

use crate::stats::Snapshot;
use crate::table::{Table, mark};
use crate::threshold::{Judgement, Threshold};

/// A named criterion: met when all of its thresholds are.
#[derive(Clone, Debug, PartialEq)]
pub struct Criterion {
    /// Its name in the report.
    pub name: String,
    /// What must hold.
    pub all: Vec<Threshold>,
}

/// What is said of one criterion.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CriterionJudgement {
    /// Its name.
    pub name: String,
    /// Whether everything under it held.
    pub passed: bool,
    /// The parts.
    pub parts: Vec<Judgement>,
}

/// Everything that a run is held to, judged.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Judgements {
    /// The thresholds, one by one.
    pub thresholds: Vec<Judgement>,
    /// The criteria.
    pub criteria: Vec<CriterionJudgement>,
}

impl Judgements {
    /// Judges a run.
    pub fn of(metrics: &Snapshot, thresholds: &[Threshold], criteria: &[Criterion]) -> Self {
        let judge = |all: &[Threshold]| -> Vec<Judgement> {
            all.iter()
                .map(|threshold| threshold.judge(metrics))
                .collect()
        };
        let criteria = criteria.iter().map(|criterion| {
            let parts = judge(&criterion.all);
            let passed = parts.iter().all(|part| part.passed);
            CriterionJudgement {
                name: criterion.name.clone(),
                passed,
                parts,
            }
        });
        Self {
            thresholds: judge(thresholds),
            criteria: criteria.collect(),
        }
    }

    /// Whether all of it held.
    pub fn passed(&self) -> bool {
        let thresholds = self.thresholds.iter().all(|judgement| judgement.passed);
        thresholds && self.criteria.iter().all(|criterion| criterion.passed)
    }

    /// The table of thresholds: mark, notation, what was measured.
    pub fn thresholds_table(&self) -> String {
        let mut table = Table::new(["  threshold", "measured"]);
        for judgement in &self.thresholds {
            let text = format!("{} {}", mark(judgement.passed), judgement.threshold);
            table.row([text, judgement.shown.clone()]);
        }
        table.render()
    }

    /// The criteria, one a line; a criterion that failed names the parts that did.
    pub fn criteria_list(&self) -> String {
        let mut text = String::new();
        for criterion in &self.criteria {
            text.push_str(&format!("{} {}", mark(criterion.passed), criterion.name));
            for part in criterion.parts.iter().filter(|part| !part.passed) {
                text.push_str(&format!(" [{}: {}]", part.threshold, part.shown));
            }
            text.push('\n');
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::Counter;

    fn threshold(text: &str) -> Threshold {
        Threshold::parse(text).unwrap()
    }

    #[test]
    fn a_criterion_fails_with_any_of_its_parts_and_names_it() {
        let mut metrics = Snapshot::default();
        let mut lost = Counter::default();
        lost.add(2);
        metrics.push("lost", lost.summary());
        metrics.push("duplicated", Counter::default().summary());
        let criteria = [
            Criterion {
                name: "whole".into(),
                all: vec![threshold("duplicated count == 0")],
            },
            Criterion {
                name: "exact".into(),
                all: vec![
                    threshold("duplicated count == 0"),
                    threshold("lost count == 0"),
                ],
            },
        ];
        let judged = Judgements::of(&metrics, &[threshold("lost count < 3")], &criteria);
        assert!(!judged.passed());
        assert_eq!(
            judged.criteria_list(),
            "✓ whole\n✗ exact [lost count == 0: 2]\n"
        );
        assert_eq!(
            judged.thresholds_table(),
            "  threshold       measured\n✓ lost count < 3         2\n"
        );
        assert!(Judgements::of(&metrics, &[threshold("lost count < 3")], &[]).passed());
        assert!(!Judgements::of(&metrics, &[threshold("lost count < 2")], &[]).passed());
    }
}
