//! The timeline of a run: who connects when, who comes back, when the observers look, the end.
//!
//! Owns the changes of membership. Called by the command line; every wait in here is bounded by
//! the mode's `delivery-timeout`.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use futures_util::future::join_all;
use tokio::sync::{mpsc, oneshot};

use super::audience::Audience;
use super::client::{Client, ConnectError, Leave};
use super::observers;
use super::raw::Raw;
use super::run::Run;
use crate::failure::Failure;
use crate::mix::Role;
use crate::mode::{Mode, Traffic};
use crate::stop::Stop;
use crate::target::Target;
use crate::token::Token;
use crate::watch::{Live, Observation, ServerWatch, Watch, sample_interval};

/// How long connections of an earlier run may take to be forgotten by the server.
const EMPTY_WITHIN: Duration = Duration::from_secs(2);

/// Something on the timeline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Act {
    Open(usize),
    Close(usize),
    Reconnect,
}

/// Runs a mode against a server and collects what came of it, unjudged.
///
/// # Errors
/// There is nothing to measure: the server cannot be reached, refuses the token, lacks an
/// endpoint, or the account is in use.
pub async fn play(
    mode: &Mode,
    target: Target,
    token: Token,
    mut stop: Stop,
    server: ServerWatch,
    live: Live,
) -> Result<Raw, Failure> {
    let run = Arc::new(Run::new(target, token, mode.traffic)?);
    look_at_server(&run).await?;
    let watched = Arc::clone(&run);
    let interval = sample_interval(mode.stages.duration());
    let watch = Watch::start(interval, server, live, move || observe(&watched));

    let started_at = SystemTime::now();
    let started = Instant::now();
    let end = started + mode.stages.duration();
    let label = format!(
        "{:x}",
        started_at
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap_or_default()
            .as_millis()
    );
    let roles = mode.mix.roles(mode.stages.peak(), &label);
    let mut timeline = timeline(mode).into_iter().peekable();
    let mut observers = Vec::new();
    let mut reconnected = 0;
    // Until when this loop was busy closing connections: what was due meanwhile is not late by the
    // server's fault.
    let mut busy_until = started;

    while let Some((at, act)) = timeline.next() {
        let due = started + at;
        tokio::select! {
            () = stop.requested() => break,
            () = tokio::time::sleep_until(due.into()) => {}
        }
        match act {
            Act::Open(connection) => {
                let mut batch = vec![(connection, due.max(busy_until))];
                // Whatever else is due by now opens at the same time.
                let now = started.elapsed();
                while let Some((at, Act::Open(connection))) =
                    timeline.next_if(|(at, act)| *at <= now && matches!(act, Act::Open(_)))
                {
                    batch.push((connection, (started + at).max(busy_until)));
                }
                open(&run, &roles, batch).await?;
            }
            Act::Close(connection) => {
                let _membership = run.change_membership().await;
                close(&run, connection).await;
                busy_until = Instant::now();
            }
            Act::Reconnect => {
                reconnect(&run, &roles, reconnected).await;
                reconnected += 1;
                busy_until = Instant::now();
            }
        }
        if observers.is_empty() {
            observers = start_observers(&run, end, &stop);
        }
    }
    tokio::select! {
        () = stop.requested() => {}
        () = tokio::time::sleep_until(end.into()) => {}
    }
    let interrupted = stop.is_requested();
    let took = started.elapsed();
    // Each ends by itself: its schedule is over and its last act is bounded.
    join_all(observers).await;
    let watched = watch.finish().await;
    run.end();
    part(&run).await;
    Ok(Raw::of(mode, &run, watched, started_at, took, interrupted))
}

/// What is shown of a run while it goes.
fn observe(run: &Run) -> Observation {
    let connections = run.roster().len() as u64;
    let metrics = run.recorder.lock();
    Observation {
        connections,
        trends: vec![
            ("ws_message_latency", metrics.ws_message_latency.clone()),
            (
                "ws_broadcast_delivery_time",
                metrics.ws_broadcast_delivery_time.clone(),
            ),
        ],
        counts: vec![
            ("ws_messages_sent", metrics.ws_messages_sent.count()),
            ("ws_messages_received", metrics.ws_messages_received.count()),
        ],
    }
}

/// Checks, before the clock starts, that both endpoints are there and that the account is ours
/// alone.
async fn look_at_server(run: &Run) -> Result<(), Failure> {
    let url = &run.target;
    let began = Instant::now();
    loop {
        let stats = run.api.stats().await.map_err(|err| err.into_failure(url))?;
        if stats.total_connections == 0 {
            break;
        }
        if began.elapsed() > EMPTY_WITHIN {
            return Err(Failure::Usage(format!(
                "the account has {} open connections already, so nothing could be proved; close \
                 them, or use the token of an account of its own",
                stats.total_connections
            )));
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let delivered = run.api.broadcast(&serde_json::Value::Null, 1, None).await;
    match delivered.map_err(|err| err.into_failure(url))? {
        0 => Ok(()),
        delivered => Err(Failure::Incomplete(format!(
            "a broadcast to an account without connections claims {delivered} deliveries; this \
             server's counts cannot be relied on"
        ))),
    }
}

/// Openings and closings of the stages with the reconnections spread between them.
fn timeline(mode: &Mode) -> Vec<(Duration, Act)> {
    let mut timeline: Vec<(Duration, Act)> = mode
        .stages
        .changes()
        .into_iter()
        .map(|change| match change.opens {
            true => (change.at, Act::Open(change.connection)),
            false => (change.at, Act::Close(change.connection)),
        })
        .collect();
    let count = reconnections(mode);
    let duration = mode.stages.duration();
    timeline.extend((1..=count).map(|step| {
        (
            duration.mul_f64(step as f64 / (count + 1) as f64),
            Act::Reconnect,
        )
    }));
    timeline.sort_by_key(|(at, _)| *at);
    timeline
}

/// How many connections come back once: the mode's share of the peak, rounded up.
fn reconnections(mode: &Mode) -> usize {
    (mode.stages.peak() * mode.traffic.reconnect_percent).div_ceil(100)
}

fn start_observers(run: &Arc<Run>, end: Instant, stop: &Stop) -> Vec<tokio::task::JoinHandle<()>> {
    let broadcasts = Arc::clone(run);
    let readings = Arc::clone(run);
    let Traffic {
        broadcast_interval,
        stats_interval,
        ..
    } = run.traffic;
    vec![
        tokio::spawn(observers::on_schedule(
            broadcast_interval,
            end,
            stop.clone(),
            move |turn, due| observers::broadcast(Arc::clone(&broadcasts), turn, due),
        )),
        tokio::spawn(observers::on_schedule(
            stats_interval,
            end,
            stop.clone(),
            move |_, due| observers::read_stats(Arc::clone(&readings), due),
        )),
    ]
}

/// Opens a batch of connections at once.
///
/// # Errors
/// None came about and none was open: there is nothing to measure.
async fn open(run: &Arc<Run>, roles: &[Role], batch: Vec<(usize, Instant)>) -> Result<(), Failure> {
    let (_membership, waited) = run.change_membership_noting_wait().await;
    let attempts = batch.into_iter().filter_map(|(connection, due)| {
        // Waiting for deliveries under way is ours and not the server's.
        let due = waited.map_or(due, |until| due.max(until));
        roles
            .get(connection)
            .map(|role| connect(run, connection, role, due))
    });
    let errors: Vec<ConnectError> = join_all(attempts)
        .await
        .into_iter()
        .filter_map(Result::err)
        .collect();
    if run.roster().len() > 0 {
        return Ok(());
    }
    match errors.into_iter().next() {
        Some(err) => Err(err.into_failure(run.target.shown())),
        None => Ok(()),
    }
}

/// Opens one connection and counts what came of it.
async fn connect(
    run: &Arc<Run>,
    connection: usize,
    role: &Role,
    due: Instant,
) -> Result<(), ConnectError> {
    let client = Client::connect(run, connection, role, due).await;
    let mut metrics = run.recorder.lock();
    let rejected = matches!(&client, Err(err) if err.is_rejection());
    metrics.ws_connection_success_rate.add(client.is_ok());
    metrics.do_connection_rejection_rate.add(rejected);
    metrics.do_connections_rejected.add(u64::from(rejected));
    metrics
        .ws_connection_errors
        .add(u64::from(client.is_err() && !rejected));
    metrics.ws_connection_success.add(u64::from(client.is_ok()));
    drop(metrics);
    let client = client.inspect_err(|err| run.note(err.to_string()))?;

    let (orders, inbox) = mpsc::channel(1);
    let mut roster = run.roster();
    roster.join(connection, role.clone(), orders);
    run.recorder
        .lock()
        .ws_connections_active
        .set(roster.len() as f64);
    drop(roster);
    tokio::spawn(client.live(inbox));
    Ok(())
}

/// Tells a connection to leave and waits until it has; `false` if it was gone already.
async fn close(run: &Run, connection: usize) -> bool {
    let Some(orders) = run.roster().remove(connection) else {
        return false;
    };
    let (done, left) = oneshot::channel();
    if orders.send(Leave(done)).await.is_err() || left.await.is_err() {
        return false;
    }
    let open = run.roster().len();
    run.recorder.lock().ws_connections_active.set(open as f64);
    true
}

/// Closes one of the open connections, sees the server forget it, and opens it again. Successive
/// turns choose different ones, of all types as the mix has them.
async fn reconnect(run: &Arc<Run>, roles: &[Role], turn: usize) {
    let _membership = run.change_membership().await;
    let open = run.roster().connections();
    let chosen = (open.len() / 2 + turn * 3).checked_rem(open.len());
    let Some(&connection) = chosen.and_then(|index| open.get(index)) else {
        return;
    };
    let Some(role) = roles.get(connection) else {
        return;
    };
    if !close(run, connection).await {
        return;
    }
    observers::check_census(run, None).await;
    let began = Instant::now();
    if connect(run, connection, role, began).await.is_ok() {
        let mut metrics = run.recorder.lock();
        metrics.ws_reconnections.add(1);
        metrics.ws_reconnection_time.record(began.elapsed());
    }
}

/// Ends all connections and sees the server forget them. User-scoped ones go first: they would be
/// told of every machine that leaves, which at 2,000 connections is a million frames.
async fn part(run: &Run) {
    let _membership = run.change_membership().await;
    let users = run.roster().reached_by(&Audience::UserScopedOnly);
    join_all(users.into_iter().map(|connection| close(run, connection))).await;
    let rest = run.roster().connections();
    join_all(rest.into_iter().map(|connection| close(run, connection))).await;
    observers::check_census(run, None).await;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mode::Overrides;
    use crate::websocket::Metrics;

    fn mode(connections: usize, seconds: u64) -> Mode {
        let over = Overrides {
            connections: Some(connections),
            duration: Some(Duration::from_secs(seconds)),
            ..Overrides::default()
        };
        Mode::named("smoke", over, &Metrics::default().snapshot()).unwrap()
    }

    #[test]
    fn a_tenth_of_the_connections_come_back_evenly_within_the_run() {
        let acts = timeline(&mode(25, 40));
        let opens = acts
            .iter()
            .filter(|(at, act)| at.is_zero() && matches!(act, Act::Open(_)));
        assert_eq!(opens.count(), 25);
        let back: Vec<u64> = acts
            .iter()
            .filter(|(_, act)| *act == Act::Reconnect)
            .map(|(at, _)| at.as_secs())
            .collect();
        assert_eq!(back, [10, 20, 30]);
        assert_eq!(reconnections(&mode(1, 1)), 1);
        assert_eq!(reconnections(&mode(10, 1)), 1);
    }
}
