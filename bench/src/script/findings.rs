//! What came of a scripted run.

use std::time::{Duration, SystemTime};

use super::metrics::endpoint_row;
use super::requests::Sender;
use crate::conditions::Conditions;
use crate::criteria::Judgements;
use crate::outcome::{Account, Extra, Outcome};
use crate::stages::Stages;
use crate::stats::{Rate, Trend};

pub(super) fn outcome(
    sender: &Sender,
    stages: &Stages,
    url: String,
    mut conditions: Conditions,
    started_at: SystemTime,
    took: Duration,
    interrupted: bool,
) -> Outcome {
    let scenario = &sender.scenario;
    let collected = sender.metrics().clone();
    conditions.keep_histogram("http_req_duration", &collected.http_req_duration);
    let rate = rate_at_peak(&conditions)
        .or_else(|| Some(collected.http_reqs.count() as f64 / took.as_secs_f64().max(1e-6)));
    let metrics = collected.snapshot(scenario, sender.peak(), rate);
    // Read once already, before the run.
    let (thresholds, criteria) = scenario.judged_by(stages.peak()).unwrap_or_default();
    let judgements = Judgements::of(&metrics, &thresholds, &criteria);
    let checks = match collected.checks.summary() {
        crate::stats::Summary::Rate { hits, total, .. } => total - hits,
        _ => 0,
    };
    let sent = collected.http_reqs.count();
    let answered = sent - collected.unanswered;
    let mut endpoints = Extra::new(
        "Results by Endpoint",
        &["endpoint", "requests", "p50", "p95", "p99", "failed"],
    );
    let names = scenario.request_names();
    let mut seen: Vec<&String> = Vec::new();
    for name in &names {
        if seen.contains(&name) {
            continue;
        }
        seen.push(name);
        let (mut duration, mut failed) = (Trend::new(), Rate::default());
        for (_, endpoint) in names
            .iter()
            .zip(&collected.each)
            .filter(|other| other.0 == name)
        {
            duration.merge(&endpoint.duration);
            failed.merge(&endpoint.failed);
        }
        endpoints.rows.push(endpoint_row(name, &duration, &failed));
    }
    Outcome {
        scenario: scenario.name.clone(),
        url,
        title: scenario.title.clone(),
        mode: serde_json::json!({ "stages": stages }),
        started_at: humantime::format_rfc3339_millis(started_at).to_string(),
        duration_seconds: took.as_secs_f64(),
        interrupted,
        conditions,
        metrics,
        accounts: vec![Account {
            name: "requests".to_owned(),
            sent,
            refused: collected.refused,
            unanswered: collected.unanswered,
            expected: answered,
            received: answered,
            wrong: checks,
            // The thresholds are stricter; this is where an account stops being one.
            refusals_allowed_percent: 5,
            ..Account::default()
        }],
        tables: vec![endpoints],
        judgements,
        notes: collected.notes,
        passed: false,
    }
    .judged()
}

/// Requests a second while at least 95 % of the most users were at work.
fn rate_at_peak(conditions: &Conditions) -> Option<f64> {
    let samples = &conditions.series.samples;
    let peak = samples.iter().map(|sample| sample.connections).max()?;
    let at_peak = samples
        .iter()
        .filter(|sample| sample.connections * 100 >= peak * 95);
    let rates: Vec<f64> = at_peak
        .filter_map(|sample| sample.per_second.get("http_reqs").copied())
        .collect();
    (!rates.is_empty()).then(|| rates.iter().sum::<f64>() / rates.len() as f64)
}
