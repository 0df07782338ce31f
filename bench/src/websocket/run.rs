//! What the tasks of one run share: target, traffic, roster, ledger, metrics, accounts.
//!
//! Made by `conductor`, used by `client` and `observers`, read at the end by `outcome`. The locks
//! are held for moments, never across an `await`; where two are needed, they are taken in the
//! order roster, metrics, ledger.

use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Instant;

use serde::{Deserialize, Serialize};
use tokio::sync::{RwLock, RwLockReadGuard, RwLockWriteGuard};

use super::api::Api;
use super::ledger::Ledger;
use super::metrics::Recorder;
use super::roster::Roster;
use super::round_trips::PingAccount;
use crate::failure::Failure;
use crate::mode::Traffic;
use crate::target::Target;
use crate::token::Token;

/// How many different complaints are kept for the report.
const MOST_NOTES: usize = 8;

/// What the tasks of a run share.
pub(super) struct Run {
    pub(super) target: Target,
    pub(super) token: Token,
    pub(super) traffic: Traffic,
    pub(super) api: Api,
    pub(super) recorder: Recorder,
    ledger: Mutex<Ledger>,
    roster: Mutex<Roster>,
    /// Held exclusively while connections come and go, shared while someone relies on them.
    membership: RwLock<()>,
    accounts: Mutex<Accounts>,
    /// When the measured time was over; from then on connections only settle and leave.
    ended: OnceLock<Instant>,
}

/// The accounts beside the ledger's.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Accounts {
    pub(super) pings: PingAccount,
    pub(super) census_checks: u64,
    pub(super) census_mismatches: u64,
    pub(super) notes: Vec<String>,
}

impl Accounts {
    /// Adds the accounts of another worker.
    pub(super) fn add(&mut self, other: &Self) {
        self.pings.add(other.pings);
        self.census_checks += other.census_checks;
        self.census_mismatches += other.census_mismatches;
        for note in &other.notes {
            self.note(note.clone());
        }
    }

    /// Keeps a complaint for the report, once.
    fn note(&mut self, text: String) {
        if self.notes.len() < MOST_NOTES && !self.notes.contains(&text) {
            self.notes.push(text);
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Run {
    /// A run that has not begun.
    ///
    /// # Errors
    /// The HTTP client cannot be set up.
    pub(super) fn new(target: Target, token: Token, traffic: Traffic) -> Result<Self, Failure> {
        Ok(Self {
            api: Api::new(target.clone(), token.clone(), traffic.delivery_timeout)?,
            target,
            token,
            traffic,
            recorder: Recorder::default(),
            ledger: Mutex::default(),
            roster: Mutex::default(),
            membership: RwLock::default(),
            accounts: Mutex::default(),
            ended: OnceLock::new(),
        })
    }

    /// Waits until nobody relies on the open connections, and lets nobody do so while the guard
    /// lives.
    pub(super) async fn change_membership(&self) -> RwLockWriteGuard<'_, ()> {
        self.membership.write().await
    }

    /// The same, with the moment at which it was granted if there was a wait.
    pub(super) async fn change_membership_noting_wait(
        &self,
    ) -> (RwLockWriteGuard<'_, ()>, Option<Instant>) {
        match self.membership.try_write() {
            Ok(guard) => (guard, None),
            Err(_) => (self.membership.write().await, Some(Instant::now())),
        }
    }

    /// Ends the measured time: what is due from here on is accounted for and not timed.
    pub(super) fn end(&self) {
        self.ended.get_or_init(Instant::now);
    }

    /// Whether something that was due at this moment belongs to the measured time.
    pub(super) fn times(&self, due: Instant) -> bool {
        self.ended.get().is_none_or(|ended| due < *ended)
    }

    pub(super) fn ledger(&self) -> MutexGuard<'_, Ledger> {
        lock(&self.ledger)
    }

    pub(super) fn roster(&self) -> MutexGuard<'_, Roster> {
        lock(&self.roster)
    }

    pub(super) fn accounts(&self) -> MutexGuard<'_, Accounts> {
        lock(&self.accounts)
    }

    pub(super) fn settle_pings(&self, account: PingAccount) {
        self.accounts().pings.add(account);
    }

    pub(super) fn count_census(&self, agreed: bool) {
        let mut accounts = self.accounts();
        accounts.census_checks += 1;
        accounts.census_mismatches += u64::from(!agreed);
    }

    /// Keeps a complaint for the report, once.
    pub(super) fn note(&self, text: String) {
        self.accounts().note(text);
    }

    /// Keeps connections from coming and going while the guard lives. If one was just doing so,
    /// what was due is put off until it is done: that wait is ours and not the server's.
    pub(super) async fn stable_membership(
        &self,
        due: Instant,
    ) -> (RwLockReadGuard<'_, ()>, Instant) {
        if let Ok(guard) = self.membership.try_read() {
            return (guard, due);
        }
        let guard = self.membership.read().await;
        (guard, Instant::now())
    }
}
