//! The `pubsub` scenario: publishers post call events, subscribers receive them on `/ws/events`
//! (contract events.md, sections 4 to 7).
//!
//! Every event has a number in its call id, so that each subscriber's receipts are exact. The
//! parts: `publisher` posts on a fixed schedule, `subscriber` is one socket, `findings` what came
//! of it, `steps` several runs at rising rates.

mod findings;
mod publisher;
mod steps;
mod subscriber;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use serde::Deserialize;
use tokio::task::JoinHandle;

use crate::conditions::Conditions;
use crate::failure::Failure;
use crate::outcome::Outcome;
use crate::receipts::{Published, Receipts};
use crate::script::Credentials;
use crate::stages::{Stage, Stages};
use crate::stats::{Counter, Rate, Trend};
use crate::stop::Stop;
use crate::target::Target;
use crate::watch::{Live, Observation, ServerWatch, Watch, sample_interval};
use publisher::Publisher;
pub use steps::climb;
use subscriber::Subscriber;

const SETTINGS: &str = include_str!("../modes/pubsub.toml");
/// How many different complaints are kept for the report.
const MOST_NOTES: usize = 8;

/// How a run is made, read from `modes/pubsub.toml`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Settings {
    title: String,
    thresholds: Vec<String>,
    criteria: Vec<CriterionText>,
    channels: Vec<String>,
    /// Publishers at work.
    pub publishers: usize,
    /// Events a second, all publishers together.
    pub messages_per_second: f64,
    #[serde(with = "humantime_serde")]
    patience: Duration,
    #[serde(with = "humantime_serde")]
    linger: Duration,
    stages: Vec<Stage>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct CriterionText {
    name: String,
    all: Vec<String>,
}

impl Settings {
    /// Those that come with the program.
    ///
    /// # Errors
    /// None in a released program: the tests read them.
    pub fn read() -> Result<Self, Failure> {
        toml::from_str(SETTINGS).map_err(|err| Failure::Usage(err.to_string()))
    }

    /// The subscribers over time.
    pub fn stages(&self) -> Stages {
        Stages::new(self.stages.clone())
    }

    /// The same with so many events a second.
    #[must_use]
    pub fn at_rate(&self, messages_per_second: f64) -> Self {
        Self {
            messages_per_second,
            ..self.clone()
        }
    }
}

/// What a run needs.
#[derive(Debug)]
pub struct Job {
    /// How it is made.
    pub settings: Settings,
    /// The subscribers over time.
    pub stages: Stages,
    /// Factor on the length of every stage, already applied.
    pub time_scale: f64,
    /// Where events are posted.
    pub api: Target,
    /// Where subscribers connect.
    pub sockets: Target,
    /// API key and tenant.
    pub credentials: Credentials,
}

/// What the parts of a run share.
#[derive(Debug)]
struct Shared {
    job: Job,
    label: String,
    began: Mutex<Instant>,
    published: Mutex<Vec<Published>>,
    metrics: Mutex<Metrics>,
}

#[derive(Debug, Default)]
struct Metrics {
    subscribed: u64,
    most_subscribed: u64,
    connection_time: Trend,
    connection_success_rate: Rate,
    disconnection_rate: Rate,
    publish_duration: Trend,
    message_latency: Trend,
    published: Counter,
    received: Counter,
    notes: Vec<String>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shared {
    fn metrics(&self) -> MutexGuard<'_, Metrics> {
        lock(&self.metrics)
    }

    fn note(&self, text: String) {
        let text = match &self.job.credentials.api_key {
            Some(key) => key.hide_in(&text),
            None => text,
        };
        let notes = &mut self.metrics().notes;
        if notes.len() < MOST_NOTES && !notes.contains(&text) {
            notes.push(text);
        }
    }

    /// When an event is due.
    fn due(&self, number: usize) -> Instant {
        let after = number as f64 / self.job.settings.messages_per_second;
        *lock(&self.began) + Duration::from_secs_f64(after)
    }
}

/// Publishes and subscribes through the stages.
///
/// # Errors
/// There is nothing to measure: the server cannot be reached, refuses the key or lacks an
/// endpoint.
pub async fn run(
    job: Job,
    server: ServerWatch,
    live: Live,
    mut stop: Stop,
) -> Result<Outcome, Failure> {
    let started_at = SystemTime::now();
    let since = started_at
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    let duration = job.stages.duration();
    let events = (duration.as_secs_f64() * job.settings.messages_per_second) as usize;
    let shared = Arc::new(Shared {
        job,
        label: format!("bench-{:x}", since.as_millis()),
        began: Mutex::new(Instant::now()),
        published: Mutex::new(vec![Published::Unanswered; events]),
        metrics: Mutex::default(),
    });
    // Both endpoints, before the clock starts.
    let publisher = Arc::new(Publisher::new(Arc::clone(&shared))?);
    publisher.rehearse().await?;
    Subscriber::open(&shared).await?.close().await;

    let watched = Arc::clone(&shared);
    let watch = Watch::start(sample_interval(duration), server, live, move || {
        let metrics = watched.metrics();
        Observation {
            connections: metrics.subscribed,
            trends: vec![("message_latency", metrics.message_latency.clone())],
            counts: vec![
                ("messages_published", metrics.published.count()),
                ("messages_received", metrics.received.count()),
            ],
        }
    });
    let began = Instant::now();
    *lock(&shared.began) = began;
    let (end_publishing, ended) = Stop::channel();
    let publishers: Vec<JoinHandle<()>> = (0..shared.job.settings.publishers)
        .map(|place| {
            let publisher = Arc::clone(&publisher);
            tokio::spawn(publisher.publish(place, events, ended.clone()))
        })
        .collect();

    let mut subscribers: Vec<Option<Member>> = Vec::new();
    let mut left = Vec::new();
    for change in shared.job.stages.changes() {
        let due = began + change.at;
        tokio::select! {
            () = stop.requested() => break,
            () = tokio::time::sleep_until(due.into()) => {}
        }
        if change.opens {
            subscribers.push(Some(Member::begin(Arc::clone(&shared), due)));
        } else if let Some(member) = subscribers.pop().flatten() {
            left.push(member.leave());
        }
    }
    tokio::select! {
        () = stop.requested() => {}
        () = tokio::time::sleep_until((began + duration).into()) => {}
    }
    let took = began.elapsed();
    // Publishers end before the last subscribers do, so that those must have everything.
    let _ = end_publishing.send(true);
    futures_util::future::join_all(publishers).await;
    left.extend(subscribers.into_iter().flatten().map(Member::leave));
    let receipts: Vec<Receipts> = futures_util::future::join_all(left)
        .await
        .into_iter()
        .filter_map(|receipts| receipts.ok().flatten())
        .collect();
    let watched = watch.finish().await;
    let due = events.min((took.as_secs_f64() * shared.job.settings.messages_per_second) as usize);
    let offered = (shared.metrics().published.count(), due as u64);
    let conditions = Conditions::of(watched, shared.job.time_scale, Some(offered));
    findings::outcome(
        &shared,
        &receipts,
        conditions,
        started_at,
        took,
        stop.is_requested(),
    )
}

/// A subscriber at work.
struct Member {
    task: JoinHandle<Option<Receipts>>,
    leave: tokio::sync::watch::Sender<bool>,
}

impl Member {
    fn begin(shared: Arc<Shared>, due: Instant) -> Self {
        let (leave, left) = Stop::channel();
        let task = tokio::spawn(async move {
            let opened = Subscriber::open(&shared).await;
            {
                let mut metrics = shared.metrics();
                metrics.connection_success_rate.add(opened.is_ok());
                metrics.connection_time.record(due.elapsed());
            }
            match opened {
                Ok(subscriber) => Some(subscriber.live(&shared, left).await),
                Err(failure) => {
                    shared.note(failure.to_string());
                    None
                }
            }
        });
        Self { task, leave }
    }

    fn leave(self) -> JoinHandle<Option<Receipts>> {
        // Nobody listens only if it has ended already.
        let _ = self.leave.send(true);
        self.task
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_settings_that_come_with_the_program_are_the_documents() {
        let settings = Settings::read().unwrap();
        let stages = settings.stages();
        assert_eq!((stages.peak(), settings.publishers), (200, 10));
        assert_eq!(stages.duration(), Duration::from_secs(450));
        assert_eq!(settings.messages_per_second, 500.0);
    }
}
