//! What came of a pub/sub run.

use std::time::{Duration, SystemTime};

use super::{Shared, lock};
use crate::conditions::Conditions;
use crate::criteria::{Criterion, Judgements};
use crate::failure::Failure;
use crate::outcome::{Account, Outcome};
use crate::receipts::{Published, Receipts, reconcile};
use crate::stats::{Counter, Figure, Rate, Snapshot};
use crate::threshold::Threshold;

/// Share of the rate asked for that counts as reached: the first and last second are not whole.
const RATE_SLACK: f64 = 0.98;

pub(super) fn outcome(
    shared: &Shared,
    receipts: &[Receipts],
    mut conditions: Conditions,
    started_at: SystemTime,
    took: Duration,
    interrupted: bool,
) -> Result<Outcome, Failure> {
    let settings = &shared.job.settings;
    let published = lock(&shared.published).clone();
    let sums = reconcile(&published, receipts, |_, _| false);
    let metrics = shared.metrics();
    let sent = metrics.published.count();
    let count =
        |of: fn(&Published) -> bool| published.iter().filter(|event| of(event)).count() as u64;
    let accepted = count(|event| matches!(event, Published::Accepted(..)));
    let refused = count(|event| matches!(event, Published::Refused));

    let mut delivery = Rate::default();
    delivery.add_many(sums.received, sums.expected);
    let mut throughput = Figure::default();
    throughput.set(Some(accepted as f64 / took.as_secs_f64().max(1e-6)));
    let counter = |count: u64| {
        let mut counter = Counter::default();
        counter.add(count);
        counter.summary()
    };
    let mut subscribers = Figure::default();
    subscribers.set(Some(metrics.most_subscribed as f64));
    let mut snapshot = Snapshot::default();
    snapshot.push("message_latency", metrics.message_latency.summary());
    snapshot.push("publish_duration", metrics.publish_duration.summary());
    snapshot.push("connection_time", metrics.connection_time.summary());
    snapshot.push(
        "connection_success_rate",
        metrics.connection_success_rate.summary(),
    );
    snapshot.push("disconnection_rate", metrics.disconnection_rate.summary());
    snapshot.push("pubsub_delivery_rate", delivery.summary());
    snapshot.push("pubsub_throughput", throughput.summary());
    let mut frames = Figure::default();
    frames.set(Some(sums.received as f64 / took.as_secs_f64().max(1e-6)));
    snapshot.push("frames_per_second", frames.summary());
    // All that the server did, publishing included.
    let mut per_frame = Figure::default();
    let spent = conditions.server.map(|server| server.cpu_seconds * 1e6);
    per_frame.set(spent.map(|micros| micros / (sums.received as f64).max(1.0)));
    snapshot.push("server_cpu_per_frame_us", per_frame.summary());
    snapshot.push("subscribers_max", subscribers.summary());
    snapshot.push("messages_published", counter(sent));
    snapshot.push("messages_received", metrics.received.summary());
    snapshot.push("messages_lost", counter(sums.lost()));
    snapshot.push("messages_duplicated", counter(sums.duplicated));

    let rate = format!("{:.2}", settings.messages_per_second * RATE_SLACK);
    let read = |text: &String| {
        let text = text.replace("{rate}", &rate);
        Threshold::parse(&text).map_err(|err| Failure::Usage(format!("threshold {text}: {err}")))
    };
    let thresholds = settings
        .thresholds
        .iter()
        .map(read)
        .collect::<Result<Vec<_>, _>>()?;
    let criteria = settings.criteria.iter().map(|criterion| {
        let asked = settings.messages_per_second.to_string();
        Ok(Criterion {
            name: criterion.name.replace("500", &asked),
            all: criterion
                .all
                .iter()
                .map(read)
                .collect::<Result<_, Failure>>()?,
        })
    });
    let criteria = criteria.collect::<Result<Vec<_>, Failure>>()?;
    let judgements = Judgements::of(&snapshot, &thresholds, &criteria);
    conditions.keep_histogram("message_latency", &metrics.message_latency);
    let outcome = Outcome {
        scenario: "pubsub".to_owned(),
        url: shared.job.api.shown().to_owned(),
        title: settings.title.clone(),
        mode: serde_json::json!({
            "stages": shared.job.stages,
            "publishers": settings.publishers,
            "messagesPerSecond": settings.messages_per_second,
            "channels": settings.channels,
        }),
        started_at: humantime::format_rfc3339_millis(started_at).to_string(),
        duration_seconds: took.as_secs_f64(),
        interrupted,
        conditions,
        metrics: snapshot,
        accounts: vec![
            Account {
                name: "published events".to_owned(),
                sent,
                refused,
                unanswered: sent - accepted - refused,
                expected: accepted,
                received: accepted,
                // Thresholds judge them; what was accepted must be delivered all the same.
                refusals_allowed_percent: 5,
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
