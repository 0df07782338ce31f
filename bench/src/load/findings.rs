//! What came of a load run.

use std::time::{Duration, SystemTime};

use super::board::Board;
use super::{LoadPlan, Settings};
use crate::conditions::Conditions;
use crate::criteria::{Criterion, Judgements};
use crate::failure::Failure;
use crate::outcome::{Account, Outcome};
use crate::receipts::{Published, Receipts, Sums, reconcile};
use crate::stats::{Counter, Figure, Rate, Snapshot, Trend};
use crate::threshold::Threshold;

#[expect(
    clippy::too_many_arguments,
    reason = "the parts of one document, each used once"
)]
pub(super) fn outcome(
    plan: &LoadPlan,
    settings: &Settings,
    board: &Board,
    receipts: &[Receipts],
    mut conditions: Conditions,
    started_at: SystemTime,
    took: Duration,
    interrupted: bool,
) -> Result<Outcome, Failure> {
    let published = board.published();
    let mut delivery = Trend::new();
    let (sums, tasks_without_events) = match plan.transport.is_numbered() {
        true => {
            let own = |place: usize, number: usize| number % receipts.len() == place;
            (reconcile(&published, receipts, own), 0)
        }
        false => of_tasks(board, receipts, &mut delivery),
    };
    let metrics = board.metrics();
    let sent = metrics.events_sent.count();
    let count =
        |of: fn(&Published) -> bool| published.iter().filter(|event| of(event)).count() as u64;
    let refused = count(|event| matches!(event, Published::Refused));
    let accepted = board.accepted();

    let mut loss = Rate::default();
    loss.add_many(sums.lost(), sums.expected);
    let mut duplicated = Counter::default();
    duplicated.add(sums.duplicated);
    let mut rate = Figure::default();
    rate.set(Some(sent as f64 / took.as_secs_f64().max(1e-6)));
    let mut memory = Figure::default();
    memory.set(
        conditions
            .server
            .map(|server| server.memory_peak_bytes as f64),
    );
    let mut silent = Counter::default();
    silent.add(tasks_without_events);

    let mut snapshot = Snapshot::default();
    snapshot.push("connection_time", metrics.connection_time.summary());
    snapshot.push(
        "connection_success_rate",
        metrics.connection_success_rate.summary(),
    );
    snapshot.push("disconnection_rate", metrics.disconnection_rate.summary());
    snapshot.push("event_latency", metrics.event_latency.summary());
    if !plan.transport.is_numbered() {
        snapshot.push("event_delivery_time", delivery.summary());
        snapshot.push("tasks_without_events_lost", silent.summary());
    }
    snapshot.push("ack_latency", metrics.ack_latency.summary());
    snapshot.push("events_sent", metrics.events_sent.summary());
    snapshot.push("event_send_throughput", rate.summary());
    snapshot.push("events_received", metrics.events_received.summary());
    snapshot.push("event_loss_rate", loss.summary());
    snapshot.push("events_duplicated", duplicated.summary());
    snapshot.push("server_memory_peak_bytes", memory.summary());

    let read = |text: &String| {
        Threshold::parse(text).map_err(|err| Failure::Usage(format!("threshold {text}: {err}")))
    };
    let thresholds = settings
        .thresholds
        .iter()
        .map(read)
        .collect::<Result<Vec<_>, _>>()?;
    let criteria = settings.criteria.iter().map(|criterion| {
        Ok(Criterion {
            name: criterion.name.clone(),
            all: criterion
                .all
                .iter()
                .map(read)
                .collect::<Result<_, Failure>>()?,
        })
    });
    let criteria = criteria.collect::<Result<Vec<_>, Failure>>()?;
    let judgements = Judgements::of(&snapshot, &thresholds, &criteria);
    conditions.keep_histogram("event_latency", &metrics.event_latency);
    conditions.keep_histogram("connection_time", &metrics.connection_time);
    let outcome = Outcome {
        scenario: format!(
            "load-{}-{}x{}",
            plan.transport.name(),
            plan.connections,
            plan.event_rate
        ),
        url: plan.target.shown().to_owned(),
        title: settings.title.clone(),
        mode: serde_json::json!({
            "transport": plan.transport.name(),
            "connections": plan.connections,
            "eventRate": plan.event_rate,
            "durationSeconds": plan.duration.as_secs_f64(),
            "warmupSeconds": plan.warmup.as_secs_f64(),
        }),
        started_at: humantime::format_rfc3339_millis(started_at).to_string(),
        duration_seconds: took.as_secs_f64(),
        interrupted,
        conditions,
        metrics: snapshot,
        accounts: vec![
            Account {
                name: "events".to_owned(),
                sent,
                refused,
                unanswered: sent - refused - accepted,
                expected: accepted,
                received: accepted,
                ..Account::default()
            },
            Account {
                name: "deliveries".to_owned(),
                sent: sums.expected,
                expected: sums.expected,
                received: sums.received,
                lost: sums.lost(),
                duplicated: sums.duplicated,
                wrong: sums.wrong,
                ..Account::default()
            },
        ],
        tables: Vec::new(),
        judgements,
        notes: metrics.notes.clone(),
        passed: false,
    };
    Ok(outcome.judged())
}

/// The account of tasks: whatever one connection heard of a task of ours, all must have; and of
/// each task at least something. Also how long it took from the moment an event was due until the
/// first connection heard of its task.
fn of_tasks(board: &Board, receipts: &[Receipts], delivery: &mut Trend) -> (Sums, u64) {
    let (tasks, owners) = board.tasks();
    let open = receipts.iter().map(|receipt| receipt.from).min();
    let events: Vec<Published> = owners
        .iter()
        .map(
            |owner| match (tasks.get(owner).and_then(|task| task.due), open) {
                (Some(_), Some(open)) => Published::Accepted(open, open),
                // Someone else's: may be heard or not.
                _ => Published::Unanswered,
            },
        )
        .collect();
    let mut sums = reconcile(&events, receipts, |_, _| false);
    let mut silent = 0;
    for task in tasks.values() {
        match (task.due, task.first_seen) {
            (Some(due), Some(seen)) => delivery.record(seen.saturating_duration_since(due)),
            (Some(_), None) => silent += 1,
            (None, _) => {}
        }
    }
    sums.expected += silent * receipts.len() as u64;
    (sums, silent)
}
