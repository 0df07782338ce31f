//! What came of a run of any scenario but the WebSocket one, which has an account of its own form:
//! metrics, accounts, judgements; as data for the result file and as text.

use std::fmt::Write as _;

use serde::{Deserialize, Serialize};

use crate::conditions::Conditions;
use crate::criteria::Judgements;
use crate::stats::{Snapshot, Summary};
use crate::table::{Table, format_micros, format_number, mark};

/// A finished run.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Outcome {
    /// The scenario's name in result files, whose frame has it: `http-full-api-average`, `pubsub`, …
    #[serde(skip)]
    pub scenario: String,
    /// The server's base address.
    pub url: String,
    /// Heading of the criteria.
    pub title: String,
    /// What was run, as its file says it.
    pub mode: serde_json::Value,
    /// When, RFC 3339.
    pub started_at: String,
    /// How long the load lasted.
    pub duration_seconds: f64,
    /// Whether it was stopped before its end.
    pub interrupted: bool,
    /// What was watched of both sides meanwhile.
    #[serde(flatten)]
    pub conditions: Conditions,
    /// Everything measured.
    pub metrics: Snapshot,
    /// Whether what was sent is what arrived.
    pub accounts: Vec<Account>,
    /// Tables that only this scenario has.
    pub tables: Vec<Extra>,
    /// Thresholds and criteria.
    pub judgements: Judgements,
    /// Complaints of the server and about it, without repetition.
    pub notes: Vec<String>,
    /// Whether everything held.
    pub passed: bool,
}

/// One account: what was sent, and what became of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Account {
    /// Of what.
    pub name: String,
    /// Requests or messages sent.
    pub sent: u64,
    /// Refused by the server.
    pub refused: u64,
    /// Never answered.
    pub unanswered: u64,
    /// Answers or deliveries that must have come.
    pub expected: u64,
    /// Those that came, each counted once.
    pub received: u64,
    /// Those that never came.
    pub lost: u64,
    /// Those that came again.
    pub duplicated: u64,
    /// Answers or deliveries that contradict what was sent.
    pub wrong: u64,
    /// Refused out of those sent that this scenario may have refused, in percent. The rest of an
    /// account must be exact.
    pub refusals_allowed_percent: u64,
}

impl Account {
    /// Whether it adds up. Refusals count against it past their allowance; thresholds judge them
    /// besides.
    pub fn holds(&self) -> bool {
        self.lost + self.duplicated + self.wrong == 0
            && self.received == self.expected
            && (self.refused + self.unanswered) * 100 <= self.sent * self.refusals_allowed_percent
    }
}

/// A table or a list that only one scenario has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Extra {
    /// Its heading.
    pub title: String,
    /// The heads of its columns.
    pub columns: Vec<String>,
    /// Its rows.
    pub rows: Vec<Vec<String>>,
}

impl Extra {
    /// An empty table.
    pub fn new(title: &str, columns: &[&str]) -> Self {
        Self {
            title: title.to_owned(),
            columns: columns.iter().map(|name| (*name).to_owned()).collect(),
            rows: Vec::new(),
        }
    }

    /// As text. Two columns are a name and words about it, and stand on the left.
    fn render(&self) -> String {
        if self.columns.len() == 2 {
            let name = |row: &Vec<String>| row.first().cloned().unwrap_or_default();
            let width = self
                .rows
                .iter()
                .map(|row| name(row).chars().count())
                .max()
                .unwrap_or(0);
            let lines = self.rows.iter().map(|row| {
                let words = row.get(1).map_or("", String::as_str);
                format!("  {:<width$}  {words}\n", name(row))
            });
            return lines.collect();
        }
        let mut table = Table::new(self.columns.iter().map(String::as_str));
        for row in &self.rows {
            table.row(row.iter().cloned());
        }
        table.render()
    }
}

impl Outcome {
    /// Whether all accounts add up.
    pub fn reconciled(&self) -> bool {
        self.accounts.iter().all(Account::holds)
    }

    /// Judges itself: to be called once everything else is known.
    pub fn judged(mut self) -> Self {
        self.passed = self.judgements.passed() && self.reconciled() && !self.interrupted;
        self
    }

    /// The whole report.
    pub fn report(&self) -> String {
        let mut text = metrics_tables(&self.metrics);
        // Writing to a string cannot fail.
        if !self.accounts.is_empty() {
            let _ = write!(text, "\nreconciliation\n{}", accounts_table(&self.accounts));
        }
        for table in &self.tables {
            let _ = write!(text, "\n{}\n{}", table.title, table.render());
        }
        if !self.judgements.thresholds.is_empty() {
            let _ = write!(text, "\nthresholds\n{}", self.judgements.thresholds_table());
        }
        text.push('\n');
        if !self.notes.is_empty() {
            let _ = writeln!(text, "complaints\n  {}\n", self.notes.join("\n  "));
        }
        text.push_str(&self.conditions.report());
        if !self.judgements.criteria.is_empty() {
            let _ = writeln!(
                text,
                "\n=== {} ===\n{}",
                self.title,
                self.judgements.criteria_list()
            );
        }
        text.push_str(&self.conditions.validity.line());
        let verdict = match (self.interrupted, self.passed) {
            (true, _) => "INTERRUPTED: the numbers cover what was measured until then",
            (false, true) => "PASSED",
            (false, false) if self.reconciled() => "FAILED: a limit was broken",
            (false, false) => "FAILED: what was sent is not what arrived",
        };
        text.push_str(verdict);
        text.push('\n');
        text
    }
}

fn accounts_table(accounts: &[Account]) -> String {
    let mut table = Table::new([
        "  of",
        "sent",
        "refused",
        "unanswered",
        "expected",
        "received",
        "lost",
        "duplicated",
        "wrong",
    ]);
    for account in accounts {
        let numbers = [
            account.sent,
            account.refused,
            account.unanswered,
            account.expected,
            account.received,
            account.lost,
            account.duplicated,
            account.wrong,
        ];
        let name = format!("{} {}", mark(account.holds()), account.name);
        table.row(std::iter::once(name).chain(numbers.map(|number| number.to_string())));
    }
    table.render()
}

/// Times with their percentiles, then the other metrics.
pub fn metrics_tables(metrics: &Snapshot) -> String {
    let mut times = Table::new(["times", "count", "p50", "p95", "p99", "max"]);
    let mut others = Table::new(["counts and shares", "value", ""]);
    let shown = |value: Option<f64>| value.map_or_else(|| "-".to_owned(), format_number);
    for (name, summary) in metrics.iter() {
        match *summary {
            Summary::Trend {
                count,
                p50_us,
                p95_us,
                p99_us,
                max_us,
                ..
            } => {
                let time = |micros: Option<u64>| {
                    micros.map_or_else(|| "-".to_owned(), |micros| format_micros(micros as f64))
                };
                let cells = [p50_us, p95_us, p99_us, max_us].map(time);
                times.row(
                    [name.to_owned(), count.to_string()]
                        .into_iter()
                        .chain(cells),
                );
            }
            Summary::Counter { count } => {
                others.row([name.to_owned(), format_number(count as f64)]);
            }
            Summary::Gauge { last, max, .. } => {
                let most = format!("max {}", shown(max));
                others.row([name.to_owned(), shown(last), most]);
            }
            Summary::Rate { hits, total, rate } => {
                let percent = rate.map(|rate| rate * 100.0);
                let percent =
                    percent.map_or_else(|| "-".to_owned(), |rate| shown(Some(rate)) + "%");
                others.row([name.to_owned(), percent, format!("{hits} of {total}")]);
            }
            Summary::Value { value } => others.row([name.to_owned(), shown(value)]),
        }
    }
    let parts = [times, others].map(|table| {
        if table.is_empty() {
            String::new()
        } else {
            table.render()
        }
    });
    let parts: Vec<String> = parts.into_iter().filter(|part| !part.is_empty()).collect();
    parts.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_account_holds_only_when_nothing_is_missing_doubled_or_wrong() {
        let exact = Account {
            name: "x".to_owned(),
            sent: 100,
            expected: 90,
            received: 90,
            refused: 10,
            refusals_allowed_percent: 10,
            ..Account::default()
        };
        assert!(exact.holds());
        let broken = [
            Account {
                refused: 11,
                ..exact.clone()
            },
            Account {
                unanswered: 1,
                ..exact.clone()
            },
            Account {
                received: 89,
                lost: 1,
                ..exact.clone()
            },
            Account {
                received: 91,
                ..exact.clone()
            },
            Account {
                duplicated: 1,
                ..exact.clone()
            },
            Account {
                wrong: 1,
                ..exact.clone()
            },
        ];
        for account in broken {
            assert!(!account.holds(), "{account:?}");
        }
        assert!(accounts_table(&[exact]).contains("✓ x"));
    }
}
