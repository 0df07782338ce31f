//! What a run collected, before it is judged: what one generator process hands to another.

use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};

use super::ledger::Row;
use super::metrics::Metrics;
use super::run::{Accounts, Run};
use crate::conditions::Conditions;
use crate::mode::Mode;
use crate::watch::Watched;

/// A finished run, unjudged. Histograms are whole, so that several can be added up exactly.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Raw {
    pub(super) started_at: String,
    pub(super) duration_seconds: f64,
    pub(super) interrupted: bool,
    pub(super) metrics: Metrics,
    pub(super) rows: Vec<Row>,
    pub(super) foreign: u64,
    pub(super) accounts: Accounts,
    pub(super) conditions: Conditions,
}

impl Raw {
    pub(super) fn of(
        mode: &Mode,
        run: &Run,
        watched: Watched,
        started_at: SystemTime,
        took: Duration,
        interrupted: bool,
    ) -> Self {
        let (rows, foreign) = {
            let ledger = run.ledger();
            (ledger.rows(), ledger.foreign())
        };
        Self {
            started_at: humantime::format_rfc3339_millis(started_at).to_string(),
            duration_seconds: took.as_secs_f64(),
            interrupted,
            metrics: run.recorder.lock().clone(),
            rows,
            foreign,
            accounts: run.accounts().clone(),
            conditions: Conditions::of(watched, mode.time_scale, None),
        }
    }

    /// Adds the run of another worker, made at the same time with an account of its own.
    pub fn merge(&mut self, other: &Self) {
        self.duration_seconds = self.duration_seconds.max(other.duration_seconds);
        self.interrupted |= other.interrupted;
        self.metrics.merge(&other.metrics);
        for theirs in &other.rows {
            match self
                .rows
                .iter_mut()
                .find(|row| row.audience == theirs.audience)
            {
                Some(row) => row.add(theirs),
                None => self.rows.push(*theirs),
            }
        }
        self.foreign += other.foreign;
        self.accounts.add(&other.accounts);
        self.conditions.merge(&other.conditions);
    }
}
