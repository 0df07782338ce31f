//! What a footprint run found: as data for the result file and as text.

use std::time::SystemTime;

use serde::Serialize;

use super::comparison::{Comparison, Figures};
use super::dialect::Speech;
use super::growth::{self, GrowthStep};
use super::idle::IdleFigures;
use super::memory::MemoryFigures;
use super::plan::Plan;
use super::wake::{RushFigures, WakeFigures};
use crate::criteria::Judgements;
use crate::stats::{Snapshot, Summary};
use crate::table::{Table, format_micros, format_number};
use crate::threshold::Threshold;

/// The goals, one threshold on each line.
const GOALS: &str = include_str!("../../modes/footprint-goals.txt");

/// A finished run.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Findings {
    /// The server's base address.
    pub url: String,
    /// The server's process.
    pub pid: u32,
    /// How connections spoke.
    pub transport: Speech,
    /// When, RFC 3339.
    pub started_at: String,
    /// Rounds of each comparison.
    pub rounds: usize,
    /// Idle memory, if it was measured.
    pub memory: Option<MemoryFigures>,
    /// Sleeping connections left alone, if that was measured.
    pub idle: Option<IdleFigures>,
    /// One shard woken, if that was measured.
    pub wake: Option<WakeFigures>,
    /// Many users woken at once, if that was measured.
    pub wake_users: Option<RushFigures>,
    /// A connection among few and many; empty if that was not measured.
    pub growth: Vec<GrowthStep>,
    /// Server and floor, work by work.
    pub comparisons: Vec<Comparison>,
    /// The figures that goals are made of.
    pub metrics: Snapshot,
    /// The goals for what was measured.
    pub goals: Judgements,
}

impl Findings {
    pub(super) fn begin(plan: &Plan, started_at: SystemTime) -> Self {
        Self {
            url: plan.target.shown().to_owned(),
            pid: plan.pid,
            transport: plan.speech,
            started_at: humantime::format_rfc3339_millis(started_at).to_string(),
            rounds: plan.rounds,
            memory: None,
            idle: None,
            wake: None,
            wake_users: None,
            growth: Vec::new(),
            comparisons: Vec::new(),
            metrics: Snapshot::default(),
            goals: Judgements {
                thresholds: Vec::new(),
                criteria: Vec::new(),
            },
        }
    }

    /// Judges what was measured. Goals for what was not are left out.
    pub(super) fn judge(&mut self) {
        let mut metrics = Snapshot::default();
        if let Some(memory) = &self.memory {
            let awake = Some(memory.awake_bytes_per_connection);
            metrics.push("memory_awake_bytes", Summary::Value { value: awake });
            // Seen but not reached in time is a goal missed; not to be seen is none.
            if memory.shards_asleep.is_some() {
                let asleep = memory.asleep_bytes_per_connection;
                metrics.push("memory_asleep_bytes", Summary::Value { value: asleep });
            }
            let slab = Some(memory.kernel_slab_bytes_per_socket);
            metrics.push("memory_kernel_slab_bytes", Summary::Value { value: slab });
        }
        self.add_sleeping_to(&mut metrics);
        for comparison in &self.comparisons {
            comparison.add_to(&mut metrics);
        }
        let goals: Vec<Threshold> = goals()
            .filter(|goal| goal.check_metric(&metrics).is_ok())
            .collect();
        self.goals = Judgements::of(&metrics, &goals, &[]);
        self.metrics = metrics;
    }

    fn add_sleeping_to(&self, metrics: &mut Snapshot) {
        let mut push = |name: String, value: f64| {
            metrics.push(name, Summary::Value { value: Some(value) });
        };
        if let Some(idle) = &self.idle {
            push("idle_cpu_percent".to_owned(), idle.cpu_percent);
            if let Some(floor) = idle.floor_cpu_percent {
                push("idle_floor_cpu_percent".to_owned(), floor);
            }
        }
        if let Some(wake) = &self.wake {
            push(format!("wake_{}_p50_us", wake.connections), wake.p50_us);
            push(format!("wake_{}_p99_us", wake.connections), wake.p99_us);
            push(
                format!("wake_{}_awake_p99_us", wake.connections),
                wake.awake_p99_us,
            );
            if let Some(floor) = wake.floor_p99_us {
                push(format!("wake_{}_floor_p99_us", wake.connections), floor);
            }
        }
        if let Some(rush) = &self.wake_users {
            push(format!("wake_{}_users_seconds", rush.users), rush.seconds);
            push(format!("wake_{}_users_p99_us", rush.users), rush.p99_us);
            push(
                format!("wake_{}_users_others_before_p99_us", rush.users),
                rush.others_before_p99_us,
            );
            push(
                format!("wake_{}_users_others_p99_us", rush.users),
                rush.others_p99_us,
            );
        }
        growth::add_to(&self.growth, metrics);
    }

    /// The tables.
    pub fn report(&self) -> String {
        let mut text = String::new();
        if let Some(memory) = &self.memory {
            text.push_str(&memory_table(memory));
            text.push('\n');
        }
        if self.idle.is_some() || self.wake.is_some() {
            text.push_str(&self.sleeping_table());
            text.push('\n');
        }
        if !self.growth.is_empty() {
            text.push_str(&growth_table(&self.growth));
            text.push('\n');
        }
        if !self.comparisons.is_empty() {
            text.push_str(&comparison_table(&self.comparisons));
            text.push('\n');
        }
        if !self.goals.thresholds.is_empty() {
            text.push_str(&format!("goals\n{}", self.goals.thresholds_table()));
        }
        text
    }
}

impl Findings {
    fn sleeping_table(&self) -> String {
        let mut table = Table::new(["asleep", "", "", "", ""]);
        let mut row = |cells: [String; 5]| table.row(cells);
        let time = |micros: f64| format_micros(micros);
        if let Some(idle) = &self.idle {
            row([
                format!("{} connections, {:.0} s", idle.connections, idle.seconds),
                format!("{:.3}% of a processor", idle.cpu_percent),
                idle.floor_cpu_percent
                    .map_or_else(|| "-".to_owned(), |percent| format!("floor {percent:.3}%")),
                format!("{} protocol pings answered", idle.protocol_pings),
                format!(
                    "{} of {} shards asleep",
                    idle.shards.asleep, idle.shards.total
                ),
            ]);
        }
        if let Some(wake) = &self.wake {
            row([
                format!("woken by a broadcast to {}", wake.connections),
                format!("p50 {}", time(wake.p50_us)),
                format!("p99 {}", time(wake.p99_us)),
                format!("awake p99 {}", time(wake.awake_p99_us)),
                wake.floor_p99_us.map_or_else(
                    || "-".to_owned(),
                    |micros| format!("floor p99 {}", time(micros)),
                ),
            ]);
        }
        if let Some(rush) = &self.wake_users {
            row([
                format!("{} users woken at once", rush.users),
                format!("all in {:.3} s", rush.seconds),
                format!("others before p99 {}", time(rush.others_before_p99_us)),
                format!("others meanwhile p99 {}", time(rush.others_p99_us)),
                format!("{} awake at last", rush.awake),
            ]);
        }
        table.render()
    }
}

fn growth_table(steps: &[GrowthStep]) -> String {
    let mut table = Table::new([
        "connections",
        "users",
        "bytes awake",
        "bytes asleep",
        "connect cpu",
        "ping cpu",
    ]);
    for step in steps {
        table.row([
            step.connections.to_string(),
            step.accounts.to_string(),
            format!("{:.0}", step.awake_bytes),
            format!("{:.0}", step.asleep_bytes),
            format!("{:.2}us", step.connect_cpu_us),
            format!("{:.2}us", step.ping_cpu_us),
        ]);
    }
    table.render()
}

/// The goals in their notation. A line that cannot be read is a fault that the tests find.
fn goals() -> impl Iterator<Item = Threshold> {
    goal_lines().filter_map(|line| Threshold::parse(line).ok())
}

fn goal_lines() -> impl Iterator<Item = &'static str> {
    GOALS
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
}

/// The memory as `key=value`.
pub(super) fn memory_line(memory: &MemoryFigures) -> String {
    let mut line = format!(
        "memory connections={} accounts={} before_bytes={} awake_bytes={} \
         awake_bytes_per_connection={:.0} kernel_slab_bytes_per_socket={:.0} \
         kernel_buffer_bytes_per_socket={:.0}",
        memory.connections,
        memory.accounts,
        memory.before.resident,
        memory.awake.resident,
        memory.awake_bytes_per_connection,
        memory.kernel_slab_bytes_per_socket,
        memory.kernel_buffer_bytes_per_socket,
    );
    if let Some(shards) = memory.shards_awake {
        line.push_str(&format!(
            " shards={} asleep_at_awake={}",
            shards.total, shards.asleep
        ));
    }
    match (
        memory.asleep,
        memory.asleep_bytes_per_connection,
        memory.seconds_until_asleep,
    ) {
        (Some(asleep), Some(each), Some(seconds)) => line.push_str(&format!(
            " asleep_bytes={} asleep_bytes_per_connection={each:.0} \
             seconds_until_asleep={seconds:.1}",
            asleep.resident
        )),
        _ => match memory.shards_asleep {
            Some(shards) => line.push_str(&format!(
                " asleep=not_measured (only {} of {} shards fell asleep in time)",
                shards.asleep, shards.total
            )),
            None => line.push_str(" asleep=not_measured (give --admin-token)"),
        },
    }
    line
}

fn memory_table(memory: &MemoryFigures) -> String {
    let mebibytes = |bytes: u64| format!("{:.2} MiB", bytes as f64 / f64::from(1 << 20));
    let mut table = Table::new(["memory", "resident", "anonymous", "bytes per connection"]);
    let mut row = |name: &str, memory: Option<super::memory::Memory>, each: Option<f64>| {
        let shown = |bytes: Option<u64>| bytes.map_or_else(|| "-".to_owned(), mebibytes);
        table.row([
            name.to_owned(),
            shown(memory.map(|memory| memory.resident)),
            shown(memory.and_then(|memory| memory.anonymous)),
            each.map_or_else(|| "-".to_owned(), |each| format!("{each:.0}")),
        ]);
    };
    row("before", Some(memory.before), None);
    row(
        "awake",
        Some(memory.awake),
        Some(memory.awake_bytes_per_connection),
    );
    row("asleep", memory.asleep, memory.asleep_bytes_per_connection);
    row(
        "kernel, each socket",
        None,
        Some(memory.kernel_slab_bytes_per_socket),
    );
    table.render()
}

fn comparison_table(comparisons: &[Comparison]) -> String {
    let mut table = Table::new([
        "work",
        "server cpu",
        "floor cpu",
        "ratio",
        "user",
        "per second",
        "p50",
        "p95",
        "p99",
        "floor p99",
        "p99 ratio",
    ]);
    let dash = || "-".to_owned();
    for comparison in comparisons {
        let [server, rest @ ..] = comparison.subjects.as_slice() else {
            continue;
        };
        let floor = rest.first();
        let cpu = |figures: &Figures| format!("{:.2}us", figures.cpu_us);
        let ratio = |ratio: Option<f64>| ratio.map_or_else(dash, |ratio| format!("{ratio:.2}"));
        let time = |micros: Option<f64>| micros.map_or_else(dash, format_micros);
        table.row([
            comparison.name.clone(),
            cpu(server),
            floor.map_or_else(dash, cpu),
            ratio(comparison.cpu_ratio()),
            server
                .user_percent
                .map_or_else(dash, |percent| format!("{percent:.0}%")),
            format_number(server.per_second.round()),
            time(server.p50_us),
            time(server.p95_us),
            time(server.p99_us),
            time(floor.and_then(|floor| floor.p99_us)),
            ratio(comparison.p99_ratio()),
        ]);
    }
    table.render()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_goal_can_be_read_and_names_a_figure_of_the_default_plan() {
        assert_eq!(goals().count(), goal_lines().count());
        assert!(goals().count() >= 10);
        let mut names: Vec<String> = ["memory_asleep_bytes", "memory_awake_bytes"]
            .map(str::to_owned)
            .into();
        for work in [
            "fan_out_1000",
            "fan_out_10000",
            "fan_out_1000_in_flight_8",
            "echo_10",
            "echo_1000",
        ] {
            names.push(format!("{work}_cpu_ratio"));
            names.push(format!("{work}_p99_ratio"));
        }
        for name in [
            "idle_cpu_percent",
            "wake_500_p99_us",
            "wake_10000_users_seconds",
            "wake_10000_users_others_p99_us",
            "growth_asleep_bytes",
            "growth_awake_bytes",
            "growth_connect_cpu_ratio",
            "growth_ping_cpu_ratio",
        ] {
            names.push(name.to_owned());
        }
        names.extend(["connect_cpu_us", "connect_per_second"].map(str::to_owned));
        let mut metrics = Snapshot::default();
        for name in names {
            metrics.push(name, Summary::Value { value: Some(1.0) });
        }
        for goal in goals() {
            assert_eq!(goal.check_metric(&metrics), Ok(()), "{goal}");
        }
    }
}
