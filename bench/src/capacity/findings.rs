//! What the steps mean: the knee, where things began to degrade, what to do about it. The headings
//! are those of the capacity planning guide's template.

use super::{Plan, Step};
use crate::conditions::Conditions;
use crate::criteria::{Criterion, Judgements};
use crate::outcome::{Extra, Outcome};
use crate::stats::{Snapshot, Statistic, Summary};
use crate::table::{format_micros, format_number};
use crate::target::Target;
use crate::threshold::Threshold;
use crate::watch::Validity;

use super::Raise;

/// A step as one line.
pub(super) fn line(plan: &Plan, step: &Step) -> String {
    format!(
        "{} {:>6} {}: p95 {}, rejected {}{}",
        crate::table::mark(step.held()),
        step.level,
        plan.raise.unit(),
        time(step, "ws_message_latency", Statistic::P95),
        percent(rejected(step)),
        match step.held() {
            true => String::new(),
            false => format!(" [{}]", step.broken.join("; ")),
        }
    )
}

#[expect(
    clippy::too_many_arguments,
    reason = "the parts of one document, each used once"
)]
pub(super) fn outcome(
    plan: &Plan,
    target: &Target,
    steps: &[Step],
    mut conditions: Conditions,
    notes: Vec<String>,
    started_at: String,
    duration_seconds: f64,
    interrupted: bool,
) -> Outcome {
    let knee = knee(steps);
    // What is said of the knee rests on the steps that held; that the generator fell behind on the
    // one above is said there.
    let behind = steps
        .iter()
        .filter(|step| step.held())
        .find(|step| !valid(step));
    conditions.validity = behind.map_or_else(Validity::kept_up, |step| {
        step.outcome.conditions.validity.clone()
    });
    let highest = steps.iter().map(|step| step.level).max().unwrap_or(0);
    let peak = steps
        .iter()
        .filter_map(|step| statistic(step, "ws_connections_active", Statistic::Max))
        .fold(0.0, f64::max);
    let at_knee = steps
        .iter()
        .rev()
        .find(|step| step.held() && Some(step.level) == knee);
    let shown = at_knee.or(steps.first());
    let value = |value: Option<f64>| Summary::Value { value };
    let of =
        |metric: &str, statistic| shown.and_then(|step| self::statistic(step, metric, statistic));

    let mut metrics = Snapshot::default();
    metrics.push("capacity_knee", value(Some(knee.unwrap_or(0) as f64)));
    metrics.push("capacity_highest_level", value(Some(highest as f64)));
    metrics.push("capacity_peak_connections", value(Some(peak)));
    let last = steps.last().map(|step| rejected(step) * 100.0);
    metrics.push("capacity_rejection_percent", value(last));
    let p95 = of("ws_message_latency", Statistic::P95);
    metrics.push("capacity_latency_p95_us", value(p95));
    let stats = of("do_response_time", Statistic::P95);
    metrics.push("capacity_stats_p95_us", value(stats));

    let criteria = match plan.raise {
        Raise::Connections => criterion(
            &format!(
                "{} connections of the {} tier within its promise",
                plan.limit, plan.tier
            ),
            // A climb that ends below the limit cannot show more than its own height.
            &format!("capacity_knee value >= {}", plan.limit.min(highest)),
        ),
        Raise::Messages => criterion(
            &format!(
                "the first step within the promise of the {} tier",
                plan.tier
            ),
            "capacity_knee value > 0",
        ),
    };
    let judgements = Judgements::of(&metrics, &[], &criteria);
    Outcome {
        scenario: format!("capacity-{}-{}", plan.raise.name(), plan.tier),
        url: target.shown().to_owned(),
        title: "Capacity".to_owned(),
        mode: serde_json::json!({
            "raise": plan.raise.name(),
            "tier": plan.tier,
            "levels": plan.levels,
            "promise": plan.promise.iter().map(ToString::to_string).collect::<Vec<_>>(),
        }),
        started_at,
        duration_seconds,
        interrupted,
        conditions,
        metrics,
        accounts: Vec::new(),
        tables: vec![
            table(plan, steps),
            results(plan, steps, knee, peak),
            degradation(plan, steps),
            recommendations(plan, steps, knee),
        ],
        judgements,
        notes,
        passed: false,
    }
    .judged()
}

/// The highest level below which every step held.
fn knee(steps: &[Step]) -> Option<usize> {
    steps
        .iter()
        .take_while(|step| step.held())
        .map(|step| step.level)
        .last()
}

fn criterion(name: &str, threshold: &str) -> Vec<Criterion> {
    // Both are made above and read by the tests.
    let threshold = Threshold::parse(threshold).ok();
    threshold
        .map(|threshold| Criterion {
            name: name.to_owned(),
            all: vec![threshold],
        })
        .into_iter()
        .collect()
}

fn statistic(step: &Step, metric: &str, statistic: Statistic) -> Option<f64> {
    step.outcome
        .metrics
        .get(metric)?
        .statistic(statistic)
        .ok()
        .flatten()
}

fn time(step: &Step, metric: &str, of: Statistic) -> String {
    statistic(step, metric, of).map_or_else(|| "-".to_owned(), format_micros)
}

fn rejected(step: &Step) -> f64 {
    statistic(step, "do_connection_rejection_rate", Statistic::Rate).unwrap_or(0.0)
}

/// Whether the generator kept up.
fn valid(step: &Step) -> bool {
    step.outcome.conditions.validity.valid
}

fn percent(share: f64) -> String {
    format!("{}%", format_number(share * 100.0))
}

fn table(plan: &Plan, steps: &[Step]) -> Extra {
    let columns = [
        plan.raise.unit(),
        "open",
        "rejected",
        "latency p50",
        "p95",
        "p99",
        "broadcast p95",
        "stats p95",
        "server cpu",
        "server memory",
        "within promise",
    ];
    let mut table = Extra::new("Steps", &columns);
    for step in steps {
        let server = step.outcome.conditions.server;
        let open = statistic(step, "ws_connections_active", Statistic::Max).unwrap_or(0.0);
        table.rows.push(vec![
            step.level.to_string(),
            format_number(open),
            percent(rejected(step)),
            time(step, "ws_message_latency", Statistic::P50),
            time(step, "ws_message_latency", Statistic::P95),
            time(step, "ws_message_latency", Statistic::P99),
            time(step, "ws_broadcast_delivery_time", Statistic::P95),
            time(step, "do_response_time", Statistic::P95),
            server.map_or_else(|| "-".to_owned(), |server| percent(server.cpu)),
            server.map_or_else(
                || "-".to_owned(),
                |server| {
                    let mebibytes = server.memory_peak_bytes as f64 / f64::from(1 << 20);
                    format!("{} MiB", format_number(mebibytes))
                },
            ),
            if step.held() {
                "✓".to_owned()
            } else {
                "✗".to_owned()
            },
        ]);
    }
    table
}

fn results(plan: &Plan, steps: &[Step], knee: Option<usize>, peak: f64) -> Extra {
    let mut table = Extra::new("Results", &["", ""]);
    let mut row = |name: &str, value: String| table.rows.push(vec![name.to_owned(), value]);
    let unit = plan.raise.unit();
    row("Peak Connections", format_number(peak));
    row(
        "Knee",
        match (knee, steps.last()) {
            (None, _) => "below the first step".to_owned(),
            (Some(knee), Some(last)) if last.level == knee => {
                format!("not reached: {knee} {unit}, the highest step, still held")
            }
            (Some(knee), _) => match steps.iter().find(|step| !step.held()) {
                Some(broke) if !valid(broke) => {
                    format!(
                        "at least {knee} {unit}: at {} the generator fell behind",
                        broke.level
                    )
                }
                _ => format!("{knee} {unit}"),
            },
        },
    );
    if let Some(last) = steps.last() {
        row(
            "Rejection Rate",
            format!("{} at {} {unit}", percent(rejected(last)), last.level),
        );
    }
    let best = knee.and_then(|knee| steps.iter().find(|step| step.level == knee));
    if let Some(step) = best.or(steps.first()) {
        let at = format!("at {} {unit}", step.level);
        let p95 = |metric| format!("{} {at}", time(step, metric, Statistic::P95));
        row("p95 Latency", p95("ws_message_latency"));
        row("DO Response Time (p95)", p95("do_response_time"));
    }
    table
}

fn degradation(plan: &Plan, steps: &[Step]) -> Extra {
    let mut table = Extra::new("Degradation Points", &["at", "observation"]);
    let unit = plan.raise.unit();
    let mut row =
        |level: usize, text: String| table.rows.push(vec![format!("{level} {unit}"), text]);
    if let Some(step) = steps.iter().find(|step| rejected(step) > 0.0) {
        row(
            step.level,
            format!("connections are rejected: {}", percent(rejected(step))),
        );
    }
    for metric in [
        "ws_message_latency",
        "ws_broadcast_delivery_time",
        "do_response_time",
    ] {
        let p95 = |step: &Step| statistic(step, metric, Statistic::P95);
        let Some(first) = steps.first().and_then(p95) else {
            continue;
        };
        let worse = |step: &&Step| p95(step).is_some_and(|p95| p95 >= first * plan.degradation);
        if let Some(step) = steps.iter().find(worse) {
            row(
                step.level,
                format!(
                    "{metric} p95 is {}, {} at {}",
                    time(step, metric, Statistic::P95),
                    format_micros(first),
                    steps.first().map_or(0, |step| step.level)
                ),
            );
        }
    }
    if let Some(step) = steps.iter().find(|step| !step.held()) {
        row(
            step.level,
            format!("the promise breaks: {}", step.broken.join("; ")),
        );
    }
    if let Some(step) = steps
        .iter()
        .find(|step| !step.outcome.conditions.validity.valid)
    {
        row(
            step.level,
            "the generator falls behind: figures from here on are its own".to_owned(),
        );
    }
    if table.rows.is_empty() {
        table.rows.push(vec![
            "none".to_owned(),
            "nothing degraded up to the highest step".to_owned(),
        ]);
    }
    table
}

fn recommendations(plan: &Plan, steps: &[Step], knee: Option<usize>) -> Extra {
    let mut table = Extra::new("Recommendations", &["", ""]);
    let mut row = |text: String| table.rows.push(vec!["[ ]".to_owned(), text]);
    let unit = plan.raise.unit();
    let broke = steps.iter().find(|step| !step.held());
    match (knee, broke) {
        (None, _) => row(format!(
            "The promise of the {} tier does not hold at all here: use a larger machine or a \
             weaker promise",
            plan.tier
        )),
        (Some(knee), None) => row(format!(
            "Nothing to change: {knee} {unit} keep the promise of the {} tier; climb further with \
             --up-to",
            plan.tier
        )),
        (Some(knee), Some(broke)) if !valid(broke) && rejected(broke) == 0.0 => row(format!(
            "Nothing to change up to {knee} {unit}; to look further, measure from another machine"
        )),
        (Some(knee), Some(broke)) => {
            let limit = (knee as f64 * plan.margin) as usize;
            row(format!("Adjust the limit to {limit} {unit} ({knee} held)"));
            if rejected(broke) > 0.0 {
                row(format!(
                    "Raise the tier's connections_per_shard or max_shards for users exceeding \
                     {knee} connections"
                ));
            } else {
                row(format!(
                    "Spread users exceeding {knee} {unit} over more shards, or use more workers"
                ));
            }
        }
    }
    table
}
