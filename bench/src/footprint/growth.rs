//! Growth: whether a connection costs the same among many as among few.
//!
//! The connections of each step come on top of those of the step before, all against one reading of
//! the memory at the beginning: memory that a server keeps after connections have gone would
//! otherwise hide what the next ones need.

use std::rc::Rc;
use std::time::Duration;

use serde::Serialize;

use super::connecting::IN_FLIGHT;
use super::generator::Generator;
use super::memory::{WARM_UP, growth};
use super::meter::Meter;
use super::plan::SleepPlan;
use super::sleep::all_asleep;
use super::subject::Subject;
use super::trouble::Trouble;
use super::{echo, fan_out};
use crate::procfs;
use crate::stats::{Snapshot, Summary};

/// What a connection costs at one size.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct GrowthStep {
    /// Connections open.
    pub connections: usize,
    /// Accounts that they belong to.
    pub accounts: usize,
    /// Resident bytes for each, awake.
    pub awake_bytes: f64,
    /// Resident bytes for each, asleep.
    pub asleep_bytes: f64,
    /// Microseconds of the server's processor for each that was opened in this step.
    pub connect_cpu_us: f64,
    /// Microseconds of the server's processor for a ping of one of them.
    pub ping_cpu_us: f64,
}

impl GrowthStep {
    /// One line of `key=value`.
    pub(super) fn line(&self) -> String {
        format!(
            "growth connections={} accounts={} awake_bytes_per_connection={:.0} \
             asleep_bytes_per_connection={:.0} connect_cpu_us={:.2} ping_cpu_us={:.2}",
            self.connections,
            self.accounts,
            self.awake_bytes,
            self.asleep_bytes,
            self.connect_cpu_us,
            self.ping_cpu_us
        )
    }
}

/// Measures step by step. `progress` is given each as it comes to be known.
///
/// # Errors
/// [`Trouble`].
pub(super) fn measure(
    subject: &Rc<Subject>,
    patience: Duration,
    plan: &SleepPlan,
    sizes: &[usize],
    pings: u64,
    progress: &mut dyn FnMut(&str),
) -> Result<Vec<GrowthStep>, Trouble> {
    let mut generator = Generator::new(subject, patience)?;
    echo::open_and_ping(&mut generator, WARM_UP)?;
    fan_out::once_to_each_account(&mut generator)?;
    generator.close(IN_FLIGHT)?;
    generator.rest(plan.settle)?;
    let before = procfs::memory(subject.pid)?;
    let resident = || -> Result<u64, Trouble> { Ok(procfs::memory(subject.pid)?.resident) };
    let mut steps = Vec::with_capacity(sizes.len());
    for &connections in sizes {
        let more = connections - generator.opened();
        let meter = Meter::start(&mut generator)?;
        generator.open(more, IN_FLIGHT)?;
        let opened = meter.stop(&mut generator, more as u64, None)?;
        fan_out::once_to_each_account(&mut generator)?;
        let pinged = echo::measure(&mut generator, pings)?;
        generator.rest(plan.settle)?;
        let awake = resident()?;
        all_asleep(&mut generator, &plan.admin, plan.timeout)?;
        generator.rest(plan.settle)?;
        let asleep = resident()?;
        let step = GrowthStep {
            connections,
            accounts: generator.accounts().min(connections),
            awake_bytes: growth(before.resident, awake, connections),
            asleep_bytes: growth(before.resident, asleep, connections),
            connect_cpu_us: opened.cpu_us(),
            ping_cpu_us: pinged.cpu_us(),
        };
        progress(&step.line());
        steps.push(step);
    }
    generator.close(IN_FLIGHT)?;
    Ok(steps)
}

/// Adds the metrics of each size, and those that goals are made of: the most bytes at any size, and the processor time at
/// the last size as a multiple of that at the first.
pub(super) fn add_to(steps: &[GrowthStep], metrics: &mut Snapshot) {
    for step in steps {
        for (figure, value) in [
            ("users", step.accounts as f64),
            ("awake_bytes", step.awake_bytes),
            ("asleep_bytes", step.asleep_bytes),
            ("connect_cpu_us", step.connect_cpu_us),
            ("ping_cpu_us", step.ping_cpu_us),
        ] {
            let name = format!("growth_{}_{figure}", step.connections);
            metrics.push(name, Summary::Value { value: Some(value) });
        }
    }
    let [first, .., last] = steps else {
        return;
    };
    let most = |of: fn(&GrowthStep) -> f64| steps.iter().map(of).reduce(f64::max);
    let ratio = |of: fn(&GrowthStep) -> f64| Some(of(last) / of(first)).filter(|r| r.is_finite());
    for (name, value) in [
        ("growth_awake_bytes", most(|step| step.awake_bytes)),
        ("growth_asleep_bytes", most(|step| step.asleep_bytes)),
        (
            "growth_connect_cpu_ratio",
            ratio(|step| step.connect_cpu_us),
        ),
        ("growth_ping_cpu_ratio", ratio(|step| step.ping_cpu_us)),
    ] {
        metrics.push(name, Summary::Value { value });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(connections: usize, bytes: f64, micros: f64) -> GrowthStep {
        GrowthStep {
            connections,
            accounts: 1,
            awake_bytes: bytes * 2.0,
            asleep_bytes: bytes,
            connect_cpu_us: micros,
            ping_cpu_us: micros * 2.0,
        }
    }

    #[test]
    fn the_worst_size_and_the_whole_climb_are_judged() {
        let value = |steps: &[GrowthStep], name: &str| {
            let mut metrics = Snapshot::default();
            add_to(steps, &mut metrics);
            metrics.get(name).cloned()
        };
        let steps = [
            step(10, 300.0, 4.0),
            step(20, 100.0, 9.0),
            step(40, 200.0, 5.0),
        ];
        let of = |number: f64| {
            Some(Summary::Value {
                value: Some(number),
            })
        };
        assert_eq!(value(&steps, "growth_asleep_bytes"), of(300.0));
        assert_eq!(value(&steps, "growth_awake_bytes"), of(600.0));
        assert_eq!(value(&steps, "growth_connect_cpu_ratio"), of(1.25));
        assert_eq!(
            value(&steps[..1], "growth_ping_cpu_ratio"),
            None,
            "one size tells no growth"
        );
    }
}
