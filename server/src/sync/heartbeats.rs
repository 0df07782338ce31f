//! Signs of life: how their time is read, and how seldom they are written (contract realtime.md
//! 5.3 and 5.6).

use std::sync::{Arc, Mutex, PoisonError};

use ahash::{AHashMap, AHashSet};

use super::error::SyncError;

/// How old a sign of life may be, ms.
const OLDEST_MS: i64 = 600_000;
/// How long a written one stands for those after it, ms.
const WRITE_EVERY_MS: i64 = 30_000;
/// How long those of a session that has ended are ignored, ms: what was under way must not revive
/// it (contract socketio.md section 8).
const IGNORED_MS: i64 = 60_000;
/// From this many remembered on, those that are over are forgotten.
const SWEEP_FROM: usize = 10_000;

/// The time of a sign of life: never later than now, and refused when it is stale.
///
/// # Errors
/// [`SyncError::Invalid`].
pub fn time(sent: f64, now: i64) -> Result<i64, SyncError> {
    // Beyond what an integer holds is the future; not a number is nothing.
    let at = if sent >= now as f64 { now } else { sent as i64 };
    if sent.is_nan() || at < now - OLDEST_MS {
        let text = "time is more than 10 minutes ago: it must be the current Unix time in ms";
        return Err(SyncError::Invalid(text.to_owned()));
    }
    Ok(at)
}

/// What sends signs of life.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Source {
    /// Its account.
    pub account: Arc<str>,
    /// Whether it is a machine; else a session.
    pub is_machine: bool,
    /// Its id.
    pub id: Box<str>,
}

impl Source {
    /// A session.
    #[must_use]
    pub fn session(account: Arc<str>, id: &str) -> Self {
        Self {
            account,
            is_machine: false,
            id: id.into(),
        }
    }

    /// A machine.
    #[must_use]
    pub fn machine(account: Arc<str>, id: &str) -> Self {
        Self {
            account,
            is_machine: true,
            id: id.into(),
        }
    }
}

/// When signs of life were last written, which sessions have just ended, and which machines are
/// connected.
#[derive(Debug, Default)]
pub struct Heartbeats(Mutex<Times>);

#[derive(Debug, Default)]
struct Times {
    written: AHashMap<Source, i64>,
    ended: AHashMap<Source, i64>,
    connected: AHashSet<Source>,
}

impl Heartbeats {
    /// Whether one that was written lately stands for this one, at `now`, Unix ms.
    pub fn is_fresh(&self, source: &Source, now: i64) -> bool {
        let written = self.lock().written.get(source).copied();
        written.is_some_and(|at| at <= now && now - at < WRITE_EVERY_MS)
    }

    /// Notes that one was written.
    pub fn written(&self, source: Source, now: i64) {
        insert(&mut self.lock().written, source, now, WRITE_EVERY_MS);
    }

    /// Notes that a session has ended: its signs of life are ignored for a minute.
    pub fn ended(&self, source: Source, now: i64) {
        let mut times = self.lock();
        times.written.remove(&source);
        insert(&mut times.ended, source, now, IGNORED_MS);
    }

    /// Whether signs of life of this session are ignored at `now`, Unix ms.
    pub fn are_ignored(&self, source: &Source, now: i64) -> bool {
        let ended = self.lock().ended.get(source).copied();
        ended.is_some_and(|at| at <= now && now - at < IGNORED_MS)
    }

    /// Takes a session's signs of life again: it was loaded anew.
    pub fn resumed(&self, source: &Source) {
        self.lock().ended.remove(source);
    }

    /// Notes that a machine's first connection came, or that its last one went.
    pub fn connected(&self, source: Source, is_connected: bool) {
        let connected = &mut self.lock().connected;
        if is_connected {
            connected.insert(source);
        } else {
            connected.remove(&source);
        }
    }

    /// Whether a machine has a connection.
    pub fn is_connected(&self, source: &Source) -> bool {
        self.lock().connected.contains(source)
    }

    /// Has the next one written: it may change what is stored.
    pub fn forget(&self, source: &Source) {
        self.lock().written.remove(source);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Times> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Remembers a time, and forgets those that are over when there are many.
fn insert(times: &mut AHashMap<Source, i64>, source: Source, now: i64, for_ms: i64) {
    if times.len() >= SWEEP_FROM {
        times.retain(|_, at| now - *at < for_ms);
    }
    times.insert(source, now);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_clamped_and_stale_ones_refused() {
        let now = 1_000_000_000;
        assert_eq!(time(now as f64 + 5.0, now).unwrap(), now);
        assert_eq!(time(f64::INFINITY, now).unwrap(), now);
        assert_eq!(time(now as f64 - 5.0, now).unwrap(), now - 5);
        assert_eq!(
            time((now - OLDEST_MS) as f64, now).unwrap(),
            now - OLDEST_MS
        );
        for stale in [(now - OLDEST_MS - 1) as f64, 0.0, -1e300, f64::NAN] {
            assert!(time(stale, now).is_err(), "{stale}");
        }
    }

    #[test]
    fn a_session_that_has_ended_is_ignored_for_a_minute_or_until_it_is_loaded() {
        let heartbeats = Heartbeats::default();
        let source = Source::session("alice".into(), "s");
        heartbeats.written(source.clone(), 50);
        heartbeats.ended(source.clone(), 100);
        assert!(!heartbeats.is_fresh(&source, 101));
        assert!(heartbeats.are_ignored(&source, 60_099));
        assert!(!heartbeats.are_ignored(&source, 60_100));
        assert!(!heartbeats.are_ignored(&source, 99));
        heartbeats.resumed(&source);
        assert!(!heartbeats.are_ignored(&source, 101));
    }

    #[test]
    fn one_in_thirty_seconds_is_written() {
        let heartbeats = Heartbeats::default();
        let source = Source::session("alice".into(), "s");
        assert!(!heartbeats.is_fresh(&source, 100));
        heartbeats.written(source.clone(), 100);
        assert!(heartbeats.is_fresh(&source, 30_099));
        assert!(!heartbeats.is_fresh(&source, 30_100));
        // A clock that was set back does not silence it.
        assert!(!heartbeats.is_fresh(&source, 99));
        heartbeats.forget(&source);
        assert!(!heartbeats.is_fresh(&source, 100));
    }
}
