//! The `leak` scenario: one connection that is used for as long as asked, and the line through the
//! server's resident memory meanwhile.

use std::time::{Duration, Instant, SystemTime};

use serde::Deserialize;

use super::CriterionText;
use super::connection::Connection;
use super::transport::{Heard, Transport};
use crate::conditions::Conditions;
use crate::criteria::{Criterion, Judgements};
use crate::failure::Failure;
use crate::outcome::{Extra, Outcome};
use crate::stats::{Counter, Figure, Snapshot, regression};
use crate::stop::Stop;
use crate::table::{format_number, sparkline};
use crate::target::Target;
use crate::threshold::Threshold;
use crate::watch::{Live, Observation, ServerWatch, Watch, sample_interval};

const RULE: &str = include_str!("../../modes/leak.toml");
const MB: f64 = 1_048_576.0;
/// How long the connection may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// Columns of the sparkline.
const WIDTH: usize = 60;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Rule {
    title: String,
    slope: f64,
    r_squared: f64,
    critical: f64,
    samples: usize,
    settling_share: f64,
    #[serde(with = "humantime_serde")]
    settling: Duration,
    #[serde(with = "humantime_serde")]
    least: Duration,
    thresholds: Vec<String>,
    criteria: Vec<CriterionText>,
}

impl Rule {
    /// How much of the beginning of a run is not judged, in whole seconds.
    fn settled(&self, duration: Duration) -> Duration {
        let settled = duration.mul_f64(self.settling_share).min(self.settling);
        Duration::from_secs(settled.as_secs())
    }
}

/// What a leak run is to do.
#[derive(Debug)]
pub struct LeakPlan {
    /// The server.
    pub target: Target,
    /// How it is spoken to.
    pub transport: Transport,
    /// How long.
    pub duration: Duration,
    /// Between two looks at the server's memory.
    pub sampling: Duration,
    /// What a user does, in actions a minute.
    pub activity: f64,
    /// Factor on the duration, already applied.
    pub time_scale: f64,
}

/// Uses one connection and fits a line to the server's memory.
///
/// # Errors
/// There is nothing to measure: no connection, or the server's memory cannot be seen.
pub async fn leak(
    plan: LeakPlan,
    mut server: ServerWatch,
    live: Live,
    mut stop: Stop,
) -> Result<Outcome, Failure> {
    let rule: Rule = toml::from_str(RULE).map_err(|err| Failure::Usage(err.to_string()))?;
    let started_at = SystemTime::now();
    let since = started_at
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    let label = format!("leak-{:x}", since.as_millis());
    let mut connection = Connection::open(&plan.transport, &plan.target, &label, PATIENCE).await?;
    if server.read().await.is_none() {
        return Err(Failure::Usage(
            "the server's memory cannot be seen: give its process id with --pid, or --admin-token \
             if its /metrics asks for one"
                .to_owned(),
        ));
    }
    let began = Instant::now();
    let interval = sample_interval(plan.duration);
    let watch = Watch::start(interval, server.clone(), live, || Observation {
        connections: 1,
        ..Observation::default()
    });
    let mut memory: Vec<(f64, f64)> = Vec::new();
    let (mut actions, mut reconnects) = (Counter::default(), Counter::default());
    let pace = Duration::from_secs_f64(60.0 / plan.activity);
    let (mut next_action, mut next_look) = (began + pace, began);
    let end = began + plan.duration;
    loop {
        tokio::select! {
            () = stop.requested() => break,
            () = tokio::time::sleep_until(end.into()) => break,
            () = tokio::time::sleep_until(next_look.into()) => {
                if let Some(reading) = server.read().await {
                    memory.push((began.elapsed().as_secs_f64(), reading.memory as f64));
                }
                next_look += plan.sampling;
            }
            () = tokio::time::sleep_until(next_action.into()) => {
                let turn = actions.count() as usize;
                connection.send(plan.transport.action(&label, turn)).await;
                actions.add(1);
                next_action += pace;
            }
            heard = connection.next() => match heard {
                Some(Heard::Beat(answer)) => {
                    connection.send(answer.to_owned()).await;
                }
                Some(Heard::Closed) | None => {
                    reconnects.add(1);
                    connection =
                        Connection::open(&plan.transport, &plan.target, &label, PATIENCE).await?;
                }
                Some(_) => {}
            }
        }
    }
    connection.close().await;
    let conditions = Conditions::of(watch.finish().await, plan.time_scale, None);
    let interrupted = stop.is_requested();
    let mut outcome = judge(&plan, &rule, &memory, conditions, started_at, interrupted)?;
    outcome.duration_seconds = began.elapsed().as_secs_f64();
    outcome.metrics.push("actions", actions.summary());
    outcome.metrics.push("reconnections", reconnects.summary());
    Ok(outcome)
}

fn judge(
    plan: &LeakPlan,
    rule: &Rule,
    memory: &[(f64, f64)],
    conditions: Conditions,
    started_at: SystemTime,
    interrupted: bool,
) -> Result<Outcome, Failure> {
    let settled = rule.settled(plan.duration);
    let judged: Vec<(f64, f64)> = memory
        .iter()
        .copied()
        .filter(|sample| sample.0 >= settled.as_secs_f64())
        .collect();
    // A try-out passes no verdict: a few seconds tell nothing of an hour.
    let try_out = plan.time_scale < 1.0 && plan.duration < rule.least;
    let line = regression(&judged).filter(|_| judged.len() >= rule.samples && !try_out);
    let slope = line.map(|line| line.slope * 3_600.0 / MB);
    let r_squared = line.map(|line| line.r_squared);
    let leaking = slope
        .zip(r_squared)
        .map(|(slope, r_squared)| slope > rule.slope && r_squared > rule.r_squared);
    let megabytes: Vec<f64> = memory.iter().map(|point| point.1 / MB).collect();
    let value = |value: Option<f64>| {
        let mut figure = Figure::default();
        figure.set(value);
        figure.summary()
    };
    let fold = |of: fn(f64, f64) -> f64| megabytes.iter().copied().reduce(of);
    let average = megabytes.iter().sum::<f64>() / megabytes.len().max(1) as f64;
    let mut metrics = Snapshot::default();
    metrics.push("memory_initial_mb", value(megabytes.first().copied()));
    metrics.push("memory_final_mb", value(megabytes.last().copied()));
    metrics.push("memory_average_mb", value(Some(average)));
    metrics.push("memory_max_mb", value(fold(f64::max)));
    metrics.push("memory_min_mb", value(fold(f64::min)));
    metrics.push("memory_leak_rate_mb_per_hour", value(slope));
    metrics.push("memory_r_squared", value(r_squared));
    metrics.push("memory_samples", value(Some(judged.len() as f64)));
    if let Some(leaking) = leaking {
        let mut detected = Counter::default();
        detected.add(u64::from(leaking));
        metrics.push("leak_detected", detected.summary());
    }

    let mut summary = Extra::new("Server memory (resident)", &["", ""]);
    let mut row = |name: &str, text: String| summary.rows.push(vec![name.to_owned(), text]);
    let verdict = match (leaking, slope) {
        (None, _) if try_out => "NOT TOLD: too short for a verdict".to_owned(),
        (None, _) => format!(
            "NOT TOLD: {} samples after the first {}, {} needed",
            judged.len(),
            humantime::format_duration(settled),
            rule.samples
        ),
        (Some(true), Some(slope)) if slope > rule.critical => "✗ YES, CRITICAL".to_owned(),
        (Some(true), _) => "✗ YES".to_owned(),
        (Some(false), _) => "✓ NO".to_owned(),
    };
    row("Leak Detected", verdict);
    if let (Some(slope), Some(r_squared)) = (slope, r_squared) {
        row("Leak Rate", format!("{} MB/hour", format_number(slope)));
        row(
            "Confidence",
            format!("{:.0}% (R² {r_squared:.3})", r_squared * 100.0),
        );
    }
    if let (Some(first), Some(last)) = (megabytes.first(), megabytes.last()) {
        let percent = (last - first) / first.max(1e-9) * 100.0;
        row(
            "Total Growth",
            format!("{} MB ({percent:.1}%)", format_number(last - first)),
        );
        row("Timeline", sparkline(&megabytes, WIDTH));
    }

    let read = |text: &String| {
        Threshold::parse(text).map_err(|err| Failure::Usage(format!("threshold {text}: {err}")))
    };
    let thresholds = rule
        .thresholds
        .iter()
        .map(read)
        .collect::<Result<Vec<_>, _>>()?;
    let criteria = rule.criteria.iter().map(|criterion| {
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
    let judgements = match try_out {
        true => Judgements::of(&metrics, &[], &[]),
        false => Judgements::of(&metrics, &thresholds, &criteria),
    };
    let outcome = Outcome {
        scenario: format!(
            "leak-{}-{}m",
            plan.transport.name(),
            format_number(plan.duration.as_secs_f64() / plan.time_scale / 60.0)
        ),
        url: plan.target.shown().to_owned(),
        title: rule.title.clone(),
        mode: serde_json::json!({
            "transport": plan.transport.name(),
            "minutes": plan.duration.as_secs_f64() / 60.0,
            "samplingSeconds": plan.sampling.as_secs_f64(),
            "actionsPerMinute": plan.activity,
        }),
        started_at: humantime::format_rfc3339_millis(started_at).to_string(),
        duration_seconds: plan.duration.as_secs_f64(),
        interrupted,
        conditions,
        metrics,
        accounts: Vec::new(),
        tables: vec![summary],
        judgements,
        notes: Vec::new(),
        passed: false,
    };
    Ok(outcome.judged())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::token::Token;
    use crate::watch::Series;

    fn judged(memory: &[(f64, f64)]) -> (bool, String) {
        judged_after(memory, Duration::from_secs(3600), 1.0)
    }

    fn judged_after(memory: &[(f64, f64)], duration: Duration, time_scale: f64) -> (bool, String) {
        let rule: Rule = toml::from_str(RULE).unwrap();
        let plan = LeakPlan {
            target: Target::parse("http://h").unwrap(),
            transport: Transport::WebSocket {
                token: Token::new("t").unwrap(),
            },
            duration,
            sampling: Duration::from_secs(10),
            activity: 10.0,
            time_scale,
        };
        let watched = crate::watch::Watched {
            series: Series::default(),
            server: None,
            generator: crate::watch::GeneratorUse::default(),
        };
        let conditions = Conditions::of(watched, 1.0, None);
        let outcome = judge(
            &plan,
            &rule,
            memory,
            conditions,
            SystemTime::UNIX_EPOCH,
            false,
        )
        .unwrap();
        (outcome.passed, outcome.report())
    }

    /// Samples every minute of an hour; megabytes by minute.
    fn hour(of: impl Fn(f64) -> f64) -> Vec<(f64, f64)> {
        (0..60)
            .map(|minute| (f64::from(minute) * 60.0, of(f64::from(minute)) * MB))
            .collect()
    }

    #[test]
    fn a_leak_is_a_steep_line_that_explains_what_is_seen() {
        // 12 MB an hour, straight: a leak. Values that wobble by more than they grow: none.
        let (passed, report) = judged(&hour(|minute| 100.0 + minute * 0.2));
        assert!(!passed && report.contains("✗ YES"), "{report}");
        assert!(
            report.contains("12 MB/hour") && report.contains("R² 1.000"),
            "{report}"
        );
        let wobbling = hour(|minute| 100.0 + minute * 0.1 + (minute % 2.0) * 20.0);
        let (passed, report) = judged(&wobbling);
        assert!(passed && report.contains("✓ NO"), "{report}");
        let (passed, _) = judged(&hour(|minute| 100.0 + minute * 0.08));
        assert!(passed, "4.8 MB an hour is below the limit however straight");
        let (_, report) = judged(&hour(|minute| 100.0 + minute));
        assert!(report.contains("CRITICAL"), "{report}");
    }

    #[test]
    fn too_few_samples_prove_nothing_and_do_not_pass() {
        // The first five minutes are not judged.
        let (passed, report) = judged(&hour(|_| 1.0)[..14]);
        assert!(
            !passed && report.contains("NOT TOLD: 9 samples after the first 5m, 10 needed"),
            "{report}"
        );
    }

    #[test]
    fn what_a_server_fills_at_its_start_is_no_leak() {
        let (passed, report) = judged(&hour(|minute| match minute {
            minute if minute < 5.0 => 100.0 + minute * 20.0,
            _ => 200.0,
        }));
        assert!(passed && report.contains("✓ NO"), "{report}");
    }

    #[test]
    fn a_try_out_passes_no_verdict_and_a_short_run_of_ones_own_does() {
        let climbing = hour(|minute| 100.0 + minute);
        let short = Duration::from_secs(6);
        let (passed, report) = judged_after(&climbing, short, 0.02);
        assert!(passed && report.contains("NOT TOLD: too short"), "{report}");
        let (passed, _) = judged_after(&climbing, short, 1.0);
        assert!(!passed);
        let (passed, _) = judged_after(&climbing, Duration::from_secs(300), 0.1);
        assert!(
            !passed,
            "five minutes are a verdict, whatever they were shortened from"
        );
    }
}
