//! The HTTP side of a run: broadcasts and readings of the statistics, each on its own schedule.
//!
//! Started by `conductor`. Both keep membership as it is while they look (a shared hold on
//! `Run::membership`), so that who must receive a broadcast is exact and not a guess.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde_json::json;
use tokio::task::JoinSet;
use tokio::time::timeout;
use uuid::Uuid;

use super::api::{CallError, Stats};
use super::ledger::Answer;
use super::run::Run;
use crate::stop::Stop;

/// How long the statistics may take to agree with the open connections.
const SETTLING: Duration = Duration::from_secs(1);
/// Between two looks at statistics that do not agree yet.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// Does `act` every `interval` until `end` or until stopped, whether or not the one before has
/// finished, and returns when the last has.
///
/// The moments are fixed from the start: a slow server does not stretch the schedule.
pub(super) async fn on_schedule<F>(
    interval: Duration,
    end: Instant,
    mut stop: Stop,
    mut act: impl FnMut(usize, Instant) -> F,
) where
    F: Future<Output = ()> + Send + 'static,
{
    let mut running = JoinSet::new();
    let mut due = Instant::now();
    for turn in 0.. {
        if due >= end {
            break;
        }
        tokio::select! {
            () = stop.requested() => break,
            () = tokio::time::sleep_until(due.into()) => {}
        }
        running.spawn(act(turn, due));
        due += interval;
        while running.try_join_next().is_some() {}
    }
    while running.join_next().await.is_some() {}
}

/// Sends the `turn`th broadcast and waits for its deliveries.
pub(super) async fn broadcast(run: Arc<Run>, turn: usize, due: Instant) {
    let (_membership, due) = run.stable_membership(due).await;
    let (audience, expected) = {
        let roster = run.roster();
        let audience = roster.audience(turn);
        let expected = roster.reached_by(&audience);
        (audience, expected)
    };
    let id = Uuid::new_v4();
    let sent_at = unix_millis(SystemTime::now() - due.elapsed());
    let complete = run.ledger().announce(id, &audience, expected, due);

    let payload = json!({"sentAt": sent_at, "testId": id});
    let answer = run
        .api
        .broadcast(&payload, sent_at, audience.filter())
        .await;
    record_call(&run, due, &answer);
    let answer = match answer {
        Ok(delivered) => Answer::Accepted(delivered),
        Err(CallError::Transport { .. }) => Answer::None,
        Err(CallError::Status { .. } | CallError::Body { .. }) => Answer::Refused,
    };
    run.ledger().answer(id, answer);
    if matches!(answer, Answer::Accepted(_)) {
        // What has not come by then is in the ledger as lost.
        let _ = timeout(run.traffic.delivery_timeout, complete.notified()).await;
    }
}

/// Reads the statistics and compares them with the open connections.
pub(super) async fn read_stats(run: Arc<Run>, due: Instant) {
    let (_membership, due) = run.stable_membership(due).await;
    let stats = run.api.stats().await;
    record_call(&run, due, &stats);
    if let Ok(stats) = stats {
        record_stats(&run, &stats, due);
        check_census(&run, Some(stats)).await;
    }
}

/// Waits until the statistics agree with the open connections, and counts whether they came to.
///
/// The caller keeps membership from changing meanwhile.
pub(super) async fn check_census(run: &Run, first: Option<Stats>) {
    let began = Instant::now();
    let mut reading = first;
    let agreed = loop {
        let stats = match reading.take() {
            Some(stats) => stats,
            None => match run.api.stats().await {
                Ok(stats) => stats,
                Err(err) => {
                    run.note(err.to_string());
                    break false;
                }
            },
        };
        // Asked afresh each time: a connection may be dropped meanwhile.
        let (said, expected) = (stats.census(), run.roster().census());
        if said == expected {
            break true;
        }
        if began.elapsed() >= SETTLING {
            run.note(format!(
                "the statistics say {said:?} where {expected:?} is true"
            ));
            break false;
        }
        tokio::time::sleep(LOOK_AGAIN).await;
    };
    run.count_census(agreed);
}

fn record_call<T>(run: &Run, due: Instant, answer: &Result<T, CallError>) {
    let mut metrics = run.recorder.lock();
    metrics.http_req_duration.record(due.elapsed());
    metrics.http_req_failed.add(answer.is_err());
    drop(metrics);
    if let Err(err) = answer {
        run.note(err.to_string());
    }
}

fn record_stats(run: &Run, stats: &Stats, due: Instant) {
    let mut metrics = run.recorder.lock();
    metrics.do_response_time.record(due.elapsed());
    metrics
        .do_connections_total
        .set(stats.total_connections as f64);
    if let Some(bytes) = stats.memory_usage {
        metrics.do_memory_usage_bytes.set(bytes as f64);
    }
    if let Some(depth) = stats.message_queue_depth {
        metrics.do_message_queue_depth.set(depth as f64);
    }
    if let Some(connected_at) = stats.oldest_connection {
        let age = unix_millis(SystemTime::now()).saturating_sub(connected_at);
        metrics.do_oldest_connection_ms.set(age as f64);
    }
}

fn unix_millis(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH)
        .unwrap_or_default()
        .as_millis() as u64
}
