//! The `load` and `leak` scenarios: many connections that exchange events at a steady rate, and
//! one that stays for hours while the server's memory is watched.
//!
//! Both run over plain WebSocket and over Socket.IO; `transport` holds what differs. `connection`
//! is one socket, `member` one connection of a load run, `board` what they share, `findings` what
//! came of it; `leak` is the other scenario.

mod board;
mod connection;
mod findings;
mod leak;
mod member;
mod transport;

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

pub use leak::{LeakPlan, leak};
use serde::Deserialize;
pub use transport::Transport;

use crate::conditions::Conditions;
use crate::failure::Failure;
use crate::outcome::Outcome;
use crate::stop::Stop;
use crate::target::Target;
use crate::watch::{Live, Observation, ServerWatch, Watch, sample_interval};
use board::Board;
use connection::Connection;
use member::Member;

const SETTINGS: &str = include_str!("../modes/load.toml");

/// How a load run is made, read from `modes/load.toml`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Settings {
    title: String,
    thresholds: Vec<String>,
    criteria: Vec<CriterionText>,
    group: usize,
    #[serde(with = "humantime_serde")]
    group_pause: Duration,
    #[serde(with = "humantime_serde")]
    patience: Duration,
    #[serde(with = "humantime_serde")]
    quiet: Duration,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct CriterionText {
    name: String,
    all: Vec<String>,
}

/// What a load run is to do.
#[derive(Debug)]
pub struct LoadPlan {
    /// The server.
    pub target: Target,
    /// How it is spoken to.
    pub transport: Transport,
    /// Concurrent connections.
    pub connections: usize,
    /// Events a second, all connections together.
    pub event_rate: f64,
    /// How long events are measured.
    pub duration: Duration,
    /// How long events are sent before.
    pub warmup: Duration,
    /// Factor on both times, already applied.
    pub time_scale: f64,
}

impl LoadPlan {
    /// Events of the whole run.
    fn events(&self) -> usize {
        ((self.duration + self.warmup).as_secs_f64() * self.event_rate).round() as usize
    }

    /// When an event is due, from the start of the run.
    fn due(&self, number: usize) -> Duration {
        Duration::from_secs_f64(number as f64 / self.event_rate)
    }
}

/// Opens the connections, sends the events and accounts for every delivery.
///
/// # Errors
/// There is nothing to measure: no connection came about.
pub async fn run(
    plan: LoadPlan,
    server: ServerWatch,
    live: Live,
    mut stop: Stop,
) -> Result<Outcome, Failure> {
    let settings: Settings =
        toml::from_str(SETTINGS).map_err(|err| Failure::Usage(err.to_string()))?;
    let started_at = SystemTime::now();
    let since = started_at
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    let label = format!("{:x}", since.as_millis());
    let plan = Arc::new(plan);
    let board = Arc::new(Board::new(plan.events()));
    let watched = Arc::clone(&board);
    let whole = plan.duration + plan.warmup;
    let watch = Watch::start(sample_interval(whole), server, live, move || {
        let metrics = watched.metrics();
        Observation {
            connections: metrics.open,
            trends: vec![("event_latency", metrics.event_latency.clone())],
            counts: vec![
                ("events_sent", metrics.events_sent.count()),
                ("events_received", metrics.events_received.count()),
            ],
        }
    });

    let connections = open(&plan, &settings, &label, &board, &mut stop).await;
    let connections = match connections {
        Ok(connections) => connections,
        Err(failure) => {
            watch.finish().await;
            return Err(failure);
        }
    };
    let senders = connections.len();
    let began = Instant::now();
    let (finish, finished) = Stop::channel();
    let members: Vec<_> = connections
        .into_iter()
        .enumerate()
        .map(|(place, connection)| {
            let member = Member {
                place,
                senders,
                began,
                label: label.clone(),
                plan: Arc::clone(&plan),
                board: Arc::clone(&board),
            };
            tokio::spawn(member.live(connection, finished.clone()))
        })
        .collect();
    tokio::select! {
        () = stop.requested() => {}
        () = tokio::time::sleep_until((began + whole).into()) => {}
    }
    let took = began.elapsed();
    let due = plan
        .events()
        .min((took.as_secs_f64() * plan.event_rate) as usize);
    board.stop_sending();
    drain(&plan, &settings, &board, senders).await;
    // Nobody listens only if all connections are gone.
    let _ = finish.send(true);
    let mut receipts = Vec::new();
    for member in members {
        if let Ok(receipt) = member.await {
            receipts.push(receipt);
        }
    }
    let watched = watch.finish().await;
    let offered = (board.metrics().events_sent.count(), due as u64);
    let conditions = Conditions::of(watched, plan.time_scale, Some(offered));
    let interrupted = stop.is_requested();
    findings::outcome(
        &plan,
        &settings,
        &board,
        &receipts,
        conditions,
        started_at,
        took,
        interrupted,
    )
}

/// Opens the connections group by group, each timed from the moment its group was due.
async fn open(
    plan: &LoadPlan,
    settings: &Settings,
    label: &str,
    board: &Board,
    stop: &mut Stop,
) -> Result<Vec<Connection>, Failure> {
    let mut connections = Vec::new();
    let mut refusal = None;
    let began = Instant::now();
    let groups = plan.connections.div_ceil(settings.group.max(1));
    for group in 0..groups {
        let due = began + settings.group_pause * group as u32;
        tokio::select! {
            () = stop.requested() => break,
            () = tokio::time::sleep_until(due.into()) => {}
        }
        let size = settings
            .group
            .min(plan.connections - group * settings.group);
        let attempts = (0..size)
            .map(|_| Connection::open(&plan.transport, &plan.target, label, settings.patience));
        for attempt in futures_util::future::join_all(attempts).await {
            let mut metrics = board.metrics();
            metrics.connection_success_rate.add(attempt.is_ok());
            match attempt {
                Ok(connection) => {
                    metrics.connection_time.record(connection.ready_at() - due);
                    metrics.open += 1;
                    connections.push(connection);
                }
                Err(failure) => {
                    drop(metrics);
                    board.note(failure.to_string());
                    refusal = Some(failure);
                }
            }
        }
        if connections.is_empty() {
            break;
        }
    }
    match (connections.is_empty(), refusal) {
        (false, _) => Ok(connections),
        (true, Some(failure)) => Err(failure),
        (true, None) => Err(Failure::Incomplete(
            "stopped before anything was open".to_owned(),
        )),
    }
}

/// Waits until every delivery that is due has come, or none comes any more.
async fn drain(plan: &LoadPlan, settings: &Settings, board: &Board, receivers: usize) {
    let began = Instant::now();
    let mut last = (board.metrics().events_received.count(), Instant::now());
    loop {
        tokio::time::sleep(Duration::from_millis(20)).await;
        let received = board.metrics().events_received.count();
        if received != last.0 {
            last = (received, Instant::now());
        }
        let complete = board.is_settled()
            && match plan.transport.is_numbered() {
                true => received >= board.accepted() * (receivers as u64 - 1),
                // How many events a task makes is not known beforehand; but what one connection
                // has heard of, all will.
                false => {
                    last.1.elapsed() >= settings.quiet
                        && received >= board.task_events() * receivers as u64
                }
            };
        if complete || began.elapsed() >= settings.patience {
            return;
        }
    }
}
