//! A rising rate of events: each step is a run of its own, until one misses what is promised.

use super::{Job, run};
use crate::failure::Failure;
use crate::outcome::{Extra, Outcome};
use crate::stats::{Statistic, Summary};
use crate::stop::Stop;
use crate::table::{format_micros, format_number};
use crate::watch::{Live, ServerWatch};

/// Publishes at each of the rates, in the order given, and ends after the first step that does not
/// hold. Returns the last one that held, or the first, with a table of all; its accounts are those
/// of every step that held.
///
/// # Errors
/// As [`run`], for any step.
pub async fn climb(
    rates: &[f64],
    job: impl Fn(f64) -> Job,
    server: &ServerWatch,
    stop: Stop,
) -> Result<Outcome, Failure> {
    let mut table = Extra::new(
        "Steps",
        &[
            "events/s asked",
            "published/s",
            "frames/s",
            "p50",
            "p95",
            "p99",
            "server µs/frame",
            "server processors",
            "lost",
            "held",
        ],
    );
    let mut best: Option<Outcome> = None;
    let mut accounts = Vec::new();
    let mut is_over = false;
    for rate in rates {
        if is_over || stop.is_requested() {
            break;
        }
        let job = job(*rate);
        let live = Live::start("pubsub", job.stages.duration());
        let outcome = run(job, server.clone(), live, stop.clone()).await?;
        table.rows.push(row(*rate, &outcome));
        is_over = !outcome.passed;
        if outcome.passed || best.is_none() {
            for mut account in outcome.accounts.clone() {
                account.name = format!("{} at {rate}/s", account.name);
                accounts.push(account);
            }
            best = Some(outcome);
        }
    }
    let mut best = best.ok_or_else(|| Failure::Incomplete("there was no step".to_owned()))?;
    best.accounts = accounts;
    best.tables.push(table);
    Ok(best.judged())
}

fn row(rate: f64, outcome: &Outcome) -> Vec<String> {
    let statistic = |name: &str, statistic| {
        let summary = outcome.metrics.get(name)?;
        summary.statistic(statistic).ok().flatten()
    };
    let number = |name: &str| match outcome.metrics.get(name) {
        Some(Summary::Counter { count }) => format_number(*count as f64),
        _ => statistic(name, Statistic::Value).map_or("–".to_owned(), format_number),
    };
    let time = |of| statistic("message_latency", of).map_or("–".to_owned(), format_micros);
    let processors = outcome.conditions.server;
    vec![
        format_number(rate),
        number("pubsub_throughput"),
        number("frames_per_second"),
        time(Statistic::P50),
        time(Statistic::P95),
        time(Statistic::P99),
        number("server_cpu_per_frame_us"),
        processors.map_or("–".to_owned(), |server| format!("{:.2}", server.cpu)),
        number("messages_lost"),
        if outcome.passed { "yes" } else { "no" }.to_owned(),
    ]
}
