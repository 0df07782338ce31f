//! What came of a run: metrics, accounts, judgements; as data for the result file and as text.
//!
//! Made by `conductor` at the end of a run, printed and written by the command line.

use std::fmt::Write as _;

use serde::Serialize;

use super::ledger::Row;
use super::raw::Raw;
use super::round_trips::PingAccount;
use crate::conditions::Conditions;
use crate::criteria::Judgements;
use crate::mode::Mode;
use crate::outcome::metrics_tables;
use crate::stats::Snapshot;
use crate::table::{Table, mark};

/// A finished run.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Outcome {
    /// The server's base address.
    pub url: String,
    /// Heading of the acceptance criteria.
    pub title: String,
    /// What was run.
    pub mode: Mode,
    /// When, RFC 3339.
    pub started_at: String,
    /// How long, until the connections were told to leave.
    pub duration_seconds: f64,
    /// Whether it was stopped before its end.
    pub interrupted: bool,
    /// What was watched of both sides meanwhile.
    #[serde(flatten)]
    pub conditions: Conditions,
    /// Everything measured.
    pub metrics: Snapshot,
    /// Whether what was sent is what arrived.
    pub reconciliation: Reconciliation,
    /// Thresholds and criteria.
    pub judgements: Judgements,
    /// Complaints of the server and about it, without repetition.
    pub notes: Vec<String>,
    /// Whether everything held.
    pub passed: bool,
}

/// The accounts of a run. They must add up whatever the thresholds say.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Reconciliation {
    /// Broadcasts, by audience.
    pub broadcasts: Vec<Row>,
    /// Deliveries of broadcasts that this run did not send.
    pub foreign_deliveries: u64,
    /// Pings and pongs.
    pub pings: PingAccount,
    /// How often the statistics were compared with the open connections.
    pub census_checks: u64,
    /// How often they did not come to agree.
    pub census_mismatches: u64,
}

impl Reconciliation {
    /// Whether nothing was lost, doubled, misled, refused or miscounted.
    pub fn holds(&self) -> bool {
        self.broadcasts.iter().all(Row::holds)
            && self.foreign_deliveries == 0
            && self.pings.lost == 0
            && self.pings.duplicated == 0
            && self.census_mismatches == 0
    }

    fn sum(&self, of: fn(&Row) -> u64) -> u64 {
        self.broadcasts.iter().map(of).sum()
    }

    fn table(&self) -> String {
        let mut table = Table::new([
            "  broadcasts",
            "sent",
            "refused",
            "unanswered",
            "expected",
            "received",
            "lost",
            "duplicated",
            "misrouted",
            "miscounted",
        ]);
        for row in &self.broadcasts {
            let numbers = [
                row.sent,
                row.refused,
                row.unanswered,
                row.expected,
                row.received,
                row.lost,
                row.duplicated,
                row.misrouted,
                row.miscounted,
            ];
            let name = format!("{} {}", mark(row.holds()), row.audience);
            table.row(std::iter::once(name).chain(numbers.map(|number| number.to_string())));
        }
        let mut text = table.render();
        let PingAccount {
            sent,
            received,
            lost,
            duplicated,
        } = self.pings;
        // Writing to a string cannot fail.
        let _ = writeln!(
            text,
            "{} pings: sent={sent} received={received} lost={lost} duplicated={duplicated}\n\
             {} statistics: checked={} mismatched={}\n\
             {} deliveries of broadcasts that were not ours: {}",
            mark(lost + duplicated == 0),
            mark(self.census_mismatches == 0),
            self.census_checks,
            self.census_mismatches,
            mark(self.foreign_deliveries == 0),
            self.foreign_deliveries,
        );
        text
    }
}

impl Outcome {
    /// Judges a run.
    pub fn of(mode: &Mode, url: &str, raw: Raw) -> Self {
        let Raw {
            started_at,
            duration_seconds,
            interrupted,
            mut metrics,
            rows: broadcasts,
            foreign: foreign_deliveries,
            accounts,
            mut conditions,
        } = raw;
        let reconciliation = Reconciliation {
            broadcasts,
            foreign_deliveries,
            pings: accounts.pings,
            census_checks: accounts.census_checks,
            census_mismatches: accounts.census_mismatches,
        };
        let lost = reconciliation.sum(|row| row.lost);
        metrics.ws_broadcast_success.add_many(0, lost);
        let misrouted = reconciliation.sum(|row| row.misrouted) + foreign_deliveries;
        metrics.ws_broadcast_lost.add(lost);
        metrics
            .ws_broadcast_duplicated
            .add(reconciliation.sum(|row| row.duplicated));
        metrics.ws_broadcast_misrouted.add(misrouted);
        metrics
            .ws_broadcast_miscounted
            .add(reconciliation.sum(|row| row.miscounted));
        metrics.ws_pings_lost.add(accounts.pings.lost);
        metrics.ws_pongs_duplicated.add(accounts.pings.duplicated);
        metrics.do_stats_mismatched.add(accounts.census_mismatches);
        let exercised = reconciliation
            .broadcasts
            .iter()
            .filter(|row| row.expected > 0);
        metrics.ws_filters_exercised.add(exercised.count() as u64);
        metrics.server_memory_growth.set(conditions.memory_growth());
        for (name, trend) in [
            ("ws_connection_time", &metrics.ws_connection_time),
            ("ws_message_latency", &metrics.ws_message_latency),
            (
                "ws_broadcast_delivery_time",
                &metrics.ws_broadcast_delivery_time,
            ),
        ] {
            conditions.keep_histogram(name, trend);
        }
        let metrics = metrics.snapshot();
        let judgements = Judgements::of(&metrics, &mode.thresholds, &mode.criteria);
        let passed = judgements.passed() && reconciliation.holds() && !interrupted;
        Self {
            url: url.to_owned(),
            title: mode.title.clone(),
            mode: mode.clone(),
            started_at,
            duration_seconds,
            interrupted,
            conditions,
            metrics,
            reconciliation,
            judgements,
            notes: accounts.notes,
            passed,
        }
    }

    /// The whole report.
    pub fn report(&self) -> String {
        let mut text = metrics_tables(&self.metrics);
        let _ = writeln!(
            text,
            "\nreconciliation\n{}\nthresholds\n{}",
            self.reconciliation.table(),
            self.judgements.thresholds_table()
        );
        if !self.notes.is_empty() {
            let _ = writeln!(text, "complaints\n  {}\n", self.notes.join("\n  "));
        }
        text.push_str(&self.conditions.report());
        let _ = writeln!(
            text,
            "\n=== {} ===\n{}",
            self.mode.title,
            self.judgements.criteria_list()
        );
        text.push_str(&self.conditions.validity.line());
        let verdict = match (self.interrupted, self.passed) {
            (true, _) => "INTERRUPTED: the numbers cover what was measured until then",
            (false, true) => "PASSED",
            (false, false) if self.reconciliation.holds() => "FAILED: a limit was broken",
            (false, false) => "FAILED: what was sent is not what arrived",
        };
        text.push_str(verdict);
        text.push('\n');
        text
    }
}
