//! A result file as it is read back: by the page, by baselines and by the performance document.
//!
//! Lenient where scenarios differ: what a scenario does not have stays empty. The schema is
//! described in docs/bench-results.md.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize;

use crate::criteria::Judgements;
use crate::failure::Failure;
use crate::machine::Machine;
use crate::outcome::{Account, Extra};
use crate::result_file::SCHEMA;
use crate::stats::{Snapshot, Statistic, Summary};
use crate::watch::{GeneratorUse, Series, ServerUse, Validity};

/// A result.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ResultDocument {
    /// Version of the form.
    pub schema: u32,
    /// What wrote it.
    pub tool: String,
    /// Its version.
    pub version: String,
    /// Which scenario and mode.
    pub scenario: String,
    /// Where the generator ran.
    pub machine: Machine,
    /// The server's base address.
    pub url: String,
    /// Heading of the criteria.
    #[serde(default)]
    pub title: String,
    /// What was run; each scenario has a form of its own.
    #[serde(default)]
    pub mode: serde_json::Value,
    /// When, RFC 3339.
    pub started_at: String,
    /// How long the load lasted.
    #[serde(default)]
    pub duration_seconds: f64,
    /// Whether it was stopped before its end.
    #[serde(default)]
    pub interrupted: bool,
    /// Factor on the length of every stage.
    #[serde(default = "one")]
    pub time_scale: f64,
    /// Generator processes.
    #[serde(default)]
    pub workers: usize,
    /// Whether the figures are the server's.
    #[serde(default)]
    pub validity: Option<Validity>,
    /// The server, where it could be seen.
    #[serde(default)]
    pub server: Option<ServerUse>,
    /// The generator.
    #[serde(default)]
    pub generator: Option<GeneratorUse>,
    /// The run over time.
    #[serde(default)]
    pub series: Series,
    /// Columns of upper bound in microseconds and count, by metric.
    #[serde(default)]
    pub histograms: BTreeMap<String, Vec<(u64, u64)>>,
    /// Everything measured.
    pub metrics: Snapshot,
    /// Thresholds and criteria.
    #[serde(default, alias = "goals")]
    pub judgements: Judgements,
    /// Whether what was sent is what arrived.
    #[serde(default)]
    pub accounts: Vec<Account>,
    /// The WebSocket scenario's form of the same.
    #[serde(default)]
    reconciliation: Option<Broadcasts>,
    /// Tables that only this scenario has.
    #[serde(default)]
    pub tables: Vec<Extra>,
    /// Complaints.
    #[serde(default)]
    pub notes: Vec<String>,
    /// Whether everything held; `None` where the scenario passes no judgement.
    #[serde(default)]
    pub passed: Option<bool>,
}

fn one() -> f64 {
    1.0
}

#[derive(Clone, Debug, Deserialize)]
struct Broadcasts {
    broadcasts: Vec<BroadcastRow>,
    pings: PingRow,
}

#[derive(Clone, Debug, Deserialize)]
struct BroadcastRow {
    audience: String,
    sent: u64,
    refused: u64,
    unanswered: u64,
    expected: u64,
    received: u64,
    lost: u64,
    duplicated: u64,
    misrouted: u64,
    miscounted: u64,
}

#[derive(Clone, Debug, Deserialize)]
struct PingRow {
    sent: u64,
    received: u64,
    lost: u64,
    duplicated: u64,
}

impl ResultDocument {
    /// Reads a result file.
    ///
    /// # Errors
    /// [`Failure::Usage`]: it cannot be read, is no result, or is of another schema.
    pub fn read(path: &Path) -> Result<Self, Failure> {
        let name = path.display();
        let refuse = |reason: String| {
            Failure::Usage(format!(
                "{name} is no result file: {reason}; give one that this program wrote with --out"
            ))
        };
        let text = std::fs::read_to_string(path)
            .map_err(|err| Failure::Usage(format!("cannot read the result {name}: {err}")))?;
        let document: Self = serde_json::from_str(&text).map_err(|err| refuse(err.to_string()))?;
        match document.schema {
            SCHEMA => Ok(document),
            other => Err(refuse(format!(
                "it has schema {other}, and this reads {SCHEMA}"
            ))),
        }
    }

    /// All accounts in one form.
    pub fn all_accounts(&self) -> Vec<Account> {
        let mut accounts = self.accounts.clone();
        if let Some(Broadcasts { broadcasts, pings }) = &self.reconciliation {
            accounts.extend(broadcasts.iter().map(|row| Account {
                name: format!("broadcasts, {}", row.audience),
                sent: row.sent,
                refused: row.refused,
                unanswered: row.unanswered,
                expected: row.expected,
                received: row.received,
                lost: row.lost,
                duplicated: row.duplicated,
                wrong: row.misrouted + row.miscounted,
                refusals_allowed_percent: 0,
            }));
            accounts.push(Account {
                name: "pings".to_owned(),
                sent: pings.sent,
                expected: pings.sent,
                received: pings.received,
                lost: pings.lost,
                duplicated: pings.duplicated,
                ..Account::default()
            });
        }
        accounts
    }

    /// One statistic of one metric, in its own unit; `None` if it was not measured.
    pub fn statistic(&self, metric: &str, statistic: Statistic) -> Option<f64> {
        self.metrics
            .get(metric)?
            .statistic(statistic)
            .ok()
            .flatten()
    }

    /// A percentile of a time in milliseconds.
    pub fn millis(&self, metric: &str, statistic: Statistic) -> Option<f64> {
        self.statistic(metric, statistic).map(|micros| micros / 1e3)
    }

    /// The day on which it was made: the first ten characters of its time.
    pub fn day(&self) -> &str {
        self.started_at.get(..10).unwrap_or(&self.started_at)
    }

    /// The largest number of connections or busy clients that was held.
    pub fn peak(&self) -> u64 {
        let gauge = match self.metrics.get("ws_connections_active") {
            Some(Summary::Gauge { max, .. }) => max.map(|max| max as u64),
            _ => None,
        };
        let seen = self
            .series
            .samples
            .iter()
            .map(|sample| sample.connections)
            .max();
        gauge.or(seen).unwrap_or(0)
    }

    /// Whether the figures can be believed. Scenarios that measure processor time directly pass
    /// no judgement of it.
    pub fn valid(&self) -> bool {
        self.validity.as_ref().is_none_or(|validity| validity.valid)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEAST: &str = r#"{"schema":1,"tool":"dormouse-bench","version":"0","scenario":"x",
        "machine":{"os":"linux","kernel":null,"arch":"x","processor":null,"cpus":2,
        "memoryBytes":null},"url":"http://h","startedAt":"2026-01-02T03:04:05.000Z",
        "metrics":{"t":{"kind":"trend","count":1,"min_us":1,"mean_us":1.0,"p50_us":1500,
        "p95_us":2,"p99_us":3,"max_us":4}}}"#;

    #[test]
    fn a_result_with_the_least_in_it_is_read() {
        let document: ResultDocument = serde_json::from_str(LEAST).unwrap();
        assert_eq!((document.day(), document.time_scale), ("2026-01-02", 1.0));
        assert_eq!(document.millis("t", Statistic::P50), Some(1.5));
        assert_eq!(document.millis("t", Statistic::Rate), None);
        assert_eq!((document.peak(), document.valid()), (0, true));
        assert!(document.all_accounts().is_empty());
    }

    #[test]
    fn what_is_no_result_is_refused_with_the_file_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.json");
        let read = |text: &str| {
            std::fs::write(&path, text).unwrap();
            ResultDocument::read(&path).unwrap_err().to_string()
        };
        assert!(read("{").contains("x.json is no result file"));
        assert!(read(&LEAST.replace("\"schema\":1", "\"schema\":9")).contains("it has schema 9"));
        let missing = ResultDocument::read(&folder.path().join("none")).unwrap_err();
        assert_eq!(missing.exit_code(), 2);
    }
}
