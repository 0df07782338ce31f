//! What a stretch of work costs: processor time of the server and of the generator, wall time.
//!
//! Used by every measurement around its timed part.

use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};

use super::generator::Generator;
use super::trouble::Trouble;
use crate::procfs::{self, CpuTime};
use crate::stats::Trend;

/// How long to wait for the server to come to rest before its processor time is read.
const REST_WITHIN: Duration = Duration::from_millis(200);
/// Between two readings that must agree.
const REST_STEP: Duration = Duration::from_millis(3);
/// A server that uses less than this within a step is at rest (timers may keep ticking).
const AT_REST: Duration = Duration::from_micros(30);

/// A stretch of work that has begun.
#[derive(Debug)]
pub(super) struct Meter {
    server: CpuTime,
    generator: Duration,
    began: Instant,
}

/// What a stretch of work cost.
#[derive(Clone, Debug)]
pub(super) struct Cost {
    /// How much work it was: deliveries, round trips, connections.
    pub(super) units: u64,
    /// Processor time of the server.
    pub(super) cpu: Duration,
    /// Its part in user mode, in clock ticks.
    pub(super) user_ticks: u64,
    /// Its part in the kernel, in clock ticks.
    pub(super) system_ticks: u64,
    /// Processor time of this program.
    pub(super) generator_cpu: Duration,
    /// Time on the clock.
    pub(super) wall: Duration,
    /// Latencies, where the work has any.
    pub(super) latency: Option<Trend>,
}

impl Meter {
    /// Begins, once the server is at rest.
    pub(super) fn start(generator: &mut Generator) -> Result<Self, Trouble> {
        let server = at_rest(generator)?;
        Ok(Self {
            server,
            generator: own_cpu(),
            began: Instant::now(),
        })
    }

    /// Ends: the clock at once, the processor time once the server is at rest.
    pub(super) fn stop(
        self,
        generator: &mut Generator,
        units: u64,
        latency: Option<Trend>,
    ) -> Result<Cost, Trouble> {
        let (wall, own) = (self.began.elapsed(), own_cpu());
        let server = at_rest(generator)?;
        Ok(Cost {
            units,
            cpu: server.total.saturating_sub(self.server.total),
            user_ticks: server.user_ticks.saturating_sub(self.server.user_ticks),
            system_ticks: server.system_ticks.saturating_sub(self.server.system_ticks),
            generator_cpu: own.saturating_sub(self.generator),
            wall,
            latency,
        })
    }
}

impl Cost {
    /// Microseconds of the server's processor for one unit.
    pub(super) fn cpu_us(&self) -> f64 {
        per_unit(self.cpu, self.units)
    }

    /// Microseconds of the generator's processor for one unit.
    pub(super) fn generator_us(&self) -> f64 {
        per_unit(self.generator_cpu, self.units)
    }

    /// Units in a second of the clock.
    pub(super) fn per_second(&self) -> f64 {
        self.units as f64 / self.wall.as_secs_f64()
    }

    /// A percentile of the latencies in microseconds.
    pub(super) fn latency_us(&self, share: f64) -> Option<f64> {
        self.latency
            .as_ref()?
            .quantile(share)
            .map(|micros| micros as f64)
    }
}

fn per_unit(time: Duration, units: u64) -> f64 {
    time.as_secs_f64() * 1e6 / units.max(1) as f64
}

/// Processor time of the server, read while it sleeps: the scheduler counts a running thread only
/// up to its last tick.
fn at_rest(generator: &mut Generator) -> Result<CpuTime, Trouble> {
    let pid = generator.subject().pid;
    let began = Instant::now();
    let mut before = procfs::cpu_time(pid)?;
    loop {
        generator.rest(REST_STEP)?;
        let now = procfs::cpu_time(pid)?;
        if now.total.saturating_sub(before.total) < AT_REST || began.elapsed() > REST_WITHIN {
            return Ok(now);
        }
        before = now;
    }
}

fn own_cpu() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(
        time.tv_sec.unsigned_abs(),
        time.tv_nsec.unsigned_abs() as u32,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn costs_are_per_unit() {
        let mut latency = Trend::new();
        latency.record(Duration::from_micros(7));
        let cost = Cost {
            units: 2000,
            cpu: Duration::from_millis(5),
            user_ticks: 1,
            system_ticks: 2,
            generator_cpu: Duration::from_millis(8),
            wall: Duration::from_millis(500),
            latency: Some(latency),
        };
        assert_eq!(cost.cpu_us(), 2.5);
        assert_eq!(cost.generator_us(), 4.0);
        assert_eq!(cost.per_second(), 4000.0);
        assert_eq!(cost.latency_us(0.99), Some(7.0));
        assert_eq!(
            Cost {
                latency: None,
                ..cost
            }
            .latency_us(0.99),
            None
        );
    }
}
