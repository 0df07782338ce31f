//! The backbone of one process: the database and the workers.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use dormouse_protocol::events::CallStatus;
use dormouse_shard::Workers;
use dormouse_shard::event::Event;
use dormouse_shard::event_log::{EventLog, LogReader, LogUnavailable};
use tokio::time::Instant;

use super::arrivals::Arrivals;
use super::backbone::{Backbone, Committed};
use super::call_record::{self, CallRecord};
use super::change::{Applied, Calls, Scope};
use super::counters::EventCounters;
use super::stored_events::{self, LogEntry};
use super::submission::{Idempotency, Outcome, Published, Submission};
use crate::database::{Database, DatabaseError, Tx};

/// State and log in the database, fan-out by the workers of this process.
#[derive(Clone, Debug)]
pub struct EmbeddedBackbone {
    database: Database,
    workers: Workers,
    counters: Arc<EventCounters>,
    arrivals: Arc<Arrivals>,
    /// How long the state of a call is kept after its last event, ms.
    call_ttl_ms: u64,
    /// The latest time in an event's id, Unix ms; 0 until the log has been asked for it.
    latest_id_ms: Arc<AtomicU64>,
}

impl EmbeddedBackbone {
    /// One on this database and these workers.
    pub fn new(
        database: Database,
        workers: Workers,
        counters: Arc<EventCounters>,
        arrivals: Arc<Arrivals>,
        call_ttl: std::time::Duration,
    ) -> Self {
        Self {
            database,
            workers,
            counters,
            arrivals,
            call_ttl_ms: u64::try_from(call_ttl.as_millis()).unwrap_or(u64::MAX),
            latest_id_ms: Arc::default(),
        }
    }
}

impl EventLog for EmbeddedBackbone {
    fn read(&self, tenant: &Arc<str>, after: u64, most: usize, done: LogReader) {
        let reading = stored_events::begin_read(&self.database, tenant.clone(), after, most);
        actix_rt::spawn(async move {
            done(reading.await.map_err(|err| {
                tracing::warn!(%err, "a replay cannot read the log");
                LogUnavailable
            }));
        });
    }
}

impl Backbone for EmbeddedBackbone {
    fn commit(
        &self,
        submissions: Vec<Submission>,
    ) -> Pin<Box<dyn Future<Output = Result<Committed, DatabaseError>> + '_>> {
        let ttl = self.call_ttl_ms;
        let latest = self.latest_id_ms.clone();
        Box::pin(async move {
            let group = commit(&self.database, submissions, ttl, latest).await?;
            for (from, to) in group.steps {
                self.counters.call_became(to);
                let was_active = from.is_some_and(|from| !from.is_terminal());
                let change = i64::from(!to.is_terminal()) - i64::from(was_active);
                self.counters.change_active(change);
            }
            Ok((group.outcomes, group.events))
        })
    }

    fn tell(&self, events: Vec<Event>) {
        if !events.is_empty() {
            self.arrivals.came(&events);
            self.workers.publish_events(events);
        }
    }

    fn waiting(&self) -> usize {
        self.workers.events_waiting()
    }
}

/// Where a call was, unless it is new, and where it is.
type Step = (Option<CallStatus>, CallStatus);

/// A submission of the group with an idempotency key: its number, its tenant, the key.
type Keyed = (usize, Arc<str>, Idempotency);

/// Commits a group in one transaction; states of calls are kept for `ttl` ms. `latest` is the latest
/// time in an event's id, or 0 if nobody has looked yet.
pub(super) async fn commit(
    database: &Database,
    submissions: Vec<Submission>,
    ttl: u64,
    latest: Arc<AtomicU64>,
) -> Result<Group, DatabaseError> {
    let writing =
        database.write(async move |tx| Group::commit(tx, submissions, ttl, &latest).await);
    writing.await
}

/// What a group of submissions led to.
#[derive(Debug)]
pub(super) struct Group {
    pub(super) outcomes: Vec<Outcome>,
    pub(super) events: Vec<Event>,
    pub(super) steps: Vec<Step>,
}

/// An event that waits for its place: where it belongs in the outcomes.
struct Unplaced {
    applied: Applied,
    submission: usize,
    event: usize,
    accepted_at: Instant,
    accepted_ms: u64,
}

impl Group {
    async fn commit(
        tx: &mut Tx,
        submissions: Vec<Submission>,
        ttl: u64,
        latest: &AtomicU64,
    ) -> Result<Self, DatabaseError> {
        // The clock may have stepped back while no process ran.
        if latest.load(Ordering::Relaxed) == 0 {
            let stored = stored_events::latest_id_ms(tx).await?;
            latest.fetch_max(stored, Ordering::Relaxed);
        }
        let calls = submissions.iter().flat_map(|submission| {
            let of_calls = submission
                .events
                .iter()
                .filter_map(|event| event.call.as_ref());
            of_calls.map(|call| (submission.tenant.clone(), call.id.clone()))
        });
        let mut calls: Calls = stored_events::load_calls(tx, calls.collect()).await?;
        let mut outcomes = Vec::with_capacity(submissions.len());
        let mut unplaced: BTreeMap<Arc<str>, Vec<Unplaced>> = BTreeMap::new();
        let mut keyed: Vec<Keyed> = Vec::new();
        for (number, submission) in submissions.into_iter().enumerate() {
            if let Some(idempotency) = &submission.idempotency {
                let earlier = keyed.iter().find(|(_, tenant, known): &&Keyed| {
                    *tenant == submission.tenant && known.key == idempotency.key
                });
                if let Some((earlier, _, known)) = earlier {
                    outcomes.push(if known.fingerprint == idempotency.fingerprint {
                        // Its answer is complete once places are given.
                        Pending::SameAs(*earlier)
                    } else {
                        Pending::Known(Outcome::Conflict)
                    });
                    continue;
                }
                if let Some(known) =
                    stored_events::answer_of(tx, &submission.tenant, idempotency).await?
                {
                    outcomes.push(Pending::Known(known));
                    continue;
                }
                keyed.push((number, submission.tenant.clone(), idempotency.clone()));
            }
            outcomes.push(Pending::Known(Outcome::Stored(apply(
                &mut calls,
                submission,
                number,
                latest,
                &mut unplaced,
            ))));
        }
        let mut this = Self {
            outcomes: Vec::new(),
            events: Vec::new(),
            steps: Vec::new(),
        };
        let mut records: Vec<CallRecord> = Vec::new();
        let mut entries: Vec<LogEntry> = Vec::new();
        for (tenant, events) in unplaced {
            let head = stored_events::take_places(tx, &tenant, events.len()).await?;
            let first = head - events.len() as u64 + 1;
            for (cursor, event) in (first..).zip(events) {
                let Applied {
                    name,
                    id: _,
                    payload,
                    record,
                    step,
                } = event.applied;
                if let Some(Pending::Known(Outcome::Stored(published))) =
                    outcomes.get_mut(event.submission)
                    && let Some(published) = published.get_mut(event.event)
                {
                    published.cursor = Some(cursor);
                }
                records.extend(record);
                this.steps.extend(step);
                entries.push(LogEntry {
                    tenant: tenant.clone(),
                    place: cursor,
                    name: name.as_str().into(),
                    payload: payload.clone(),
                    created_at: event.accepted_ms,
                });
                let tenant = tenant.clone();
                let at = event.accepted_at;
                this.events
                    .push(Event::new(tenant, name.as_str(), cursor, payload, at));
            }
        }
        stored_events::append(tx, &entries).await?;
        stored_events::store_calls(tx, &calls, ttl).await?;
        call_record::insert(tx, &records).await?;
        let outcomes = resolve(outcomes);
        for (number, tenant, idempotency) in &keyed {
            if let Some(Outcome::Stored(published)) = outcomes.get(*number) {
                let answer = answer_json(published);
                stored_events::keep_answer(tx, tenant, idempotency, &answer).await?;
            }
        }
        this.outcomes = outcomes;
        Ok(this)
    }
}

/// The outcome of a submission, or which earlier one of the group it repeats.
enum Pending {
    Known(Outcome),
    SameAs(usize),
}

fn resolve(pending: Vec<Pending>) -> Vec<Outcome> {
    let mut outcomes: Vec<Outcome> = Vec::with_capacity(pending.len());
    for pending in pending {
        let outcome = match pending {
            Pending::Known(outcome) => outcome,
            // Repetitions point back, never forward.
            Pending::SameAs(earlier) => match outcomes.get(earlier) {
                Some(Outcome::Stored(published)) => Outcome::Repeated(answer_json(published)),
                Some(other) => other.clone(),
                None => Outcome::Conflict,
            },
        };
        outcomes.push(outcome);
    }
    outcomes
}

/// What a submission is answered with, for those who repeat it.
pub fn answer_json(published: &[Published]) -> String {
    let events: Vec<serde_json::Value> = published.iter().map(Published::to_json).collect();
    serde_json::json!({ "success": true, "events": events }).to_string()
}

/// Applies the events of a submission; what is to be stored of them waits for places.
fn apply(
    calls: &mut Calls,
    submission: Submission,
    number: usize,
    latest: &AtomicU64,
    unplaced: &mut BTreeMap<Arc<str>, Vec<Unplaced>>,
) -> Vec<Published> {
    let accepted_ms = submission.accepted_ms;
    let scope = Scope {
        tenant: submission.tenant,
        accepted_ms,
        // The one writer is here alone.
        id_ms: latest
            .fetch_max(accepted_ms, Ordering::Relaxed)
            .max(accepted_ms),
    };
    let mut published = Vec::with_capacity(submission.events.len());
    for (place, event) in submission.events.into_iter().enumerate() {
        let name = event.name.clone();
        let effect = calls.apply(&scope, event);
        published.push(Published {
            name,
            id: effect.applied.as_ref().map(|applied| applied.id.clone()),
            cursor: None,
            state: effect.state,
        });
        if let Some(applied) = effect.applied {
            let of_tenant = unplaced.entry(scope.tenant.clone()).or_default();
            of_tenant.push(Unplaced {
                applied,
                submission: number,
                event: place,
                accepted_at: submission.accepted_at,
                accepted_ms: scope.accepted_ms,
            });
        }
    }
    published
}
