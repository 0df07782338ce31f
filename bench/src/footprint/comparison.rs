//! Rounds of the server and of the floor in turn, and what remains of them: medians and ratios.
//!
//! A machine that others use too is noisy and drifts, within seconds and by half. Two subjects
//! measured one right after the other drift together, so a ratio is the median of the rounds'
//! ratios and not the ratio of the medians: the same program measured against itself came to 0.84
//! by the latter and to 0.96 by the former.

use serde::Serialize;

use super::meter::Cost;
use crate::stats::{Snapshot, Summary, median};

/// One kind of work, measured on one or two subjects.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Comparison {
    /// Begins the names of its metrics, as in `fan_out_1000`.
    pub name: String,
    /// What is counted: `delivery`, `round trip`, `connection`.
    pub unit: &'static str,
    /// The server first, then the floor if it was measured.
    pub subjects: Vec<Figures>,
}

/// Medians over the rounds of one subject.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Figures {
    /// `server` or `floor`.
    pub subject: &'static str,
    /// Rounds.
    pub rounds: usize,
    /// Units in all rounds together.
    pub units: u64,
    /// Microseconds of the subject's processor for one unit.
    pub cpu_us: f64,
    /// The same, round by round.
    pub cpu_us_rounds: Vec<f64>,
    /// Share of that in user mode, in percent; `None` if too short to tell.
    pub user_percent: Option<f64>,
    /// Units in a second of the clock.
    pub per_second: f64,
    /// Latency in microseconds; `None` where the work has none.
    pub p50_us: Option<f64>,
    /// 95th percentile.
    pub p95_us: Option<f64>,
    /// 99th percentile.
    pub p99_us: Option<f64>,
    /// The 99th percentile, round by round.
    pub p99_us_rounds: Vec<f64>,
    /// Microseconds of the generator's processor for one unit.
    pub generator_us: f64,
}

impl Figures {
    /// The medians of these rounds.
    pub(super) fn of(subject: &'static str, rounds: &[Cost]) -> Self {
        let of = |figure: fn(&Cost) -> f64| median(rounds.iter().map(figure)).unwrap_or(f64::NAN);
        let percentile =
            |share: f64| median(rounds.iter().filter_map(|cost| cost.latency_us(share)));
        let user: u64 = rounds.iter().map(|cost| cost.user_ticks).sum();
        let ticks = user + rounds.iter().map(|cost| cost.system_ticks).sum::<u64>();
        Self {
            subject,
            rounds: rounds.len(),
            units: rounds.iter().map(|cost| cost.units).sum(),
            cpu_us: of(Cost::cpu_us),
            cpu_us_rounds: rounds.iter().map(Cost::cpu_us).collect(),
            // Ticks are 10 ms; below this the split is a guess.
            user_percent: (ticks >= 20).then(|| user as f64 * 100.0 / ticks as f64),
            per_second: of(Cost::per_second),
            p50_us: percentile(0.50),
            p95_us: percentile(0.95),
            p99_us: percentile(0.99),
            p99_us_rounds: rounds
                .iter()
                .filter_map(|cost| cost.latency_us(0.99))
                .collect(),
            generator_us: of(Cost::generator_us),
        }
    }

    /// One line of `key=value`.
    pub(super) fn line(&self, name: &str, unit: &str) -> String {
        let mut line = format!(
            "{name} subject={} unit={} rounds={} units={} cpu_us={:.3} per_second={:.0}",
            self.subject,
            unit.replace(' ', "_"),
            self.rounds,
            self.units,
            self.cpu_us,
            self.per_second
        );
        for (key, value) in [
            ("user_percent", self.user_percent),
            ("p50_us", self.p50_us),
            ("p95_us", self.p95_us),
            ("p99_us", self.p99_us),
        ] {
            if let Some(value) = value {
                line.push_str(&format!(" {key}={value:.0}"));
            }
        }
        line + &format!(" generator_us={:.3}", self.generator_us)
    }
}

impl Comparison {
    /// The ratio of the processor time to the floor's; `None` without a floor.
    pub(super) fn cpu_ratio(&self) -> Option<f64> {
        self.ratio(|figures| &figures.cpu_us_rounds)
    }

    /// The ratio of the 99th percentile to the floor's; `None` without a floor or latencies.
    pub(super) fn p99_ratio(&self) -> Option<f64> {
        self.ratio(|figures| &figures.p99_us_rounds)
    }

    /// The median of the rounds' ratios.
    fn ratio(&self, of: impl Fn(&Figures) -> &Vec<f64>) -> Option<f64> {
        let [server, floor] = self.subjects.as_slice() else {
            return None;
        };
        let pairs = of(server)
            .iter()
            .zip(of(floor))
            .filter(|(_, floor)| **floor > 0.0);
        median(pairs.map(|(server, floor)| server / floor))
    }

    /// Adds the metrics that goals are made of.
    pub(super) fn add_to(&self, metrics: &mut Snapshot) {
        let server = self.subjects.first();
        let figures = [
            ("cpu_us", server.map(|figures| figures.cpu_us)),
            ("cpu_ratio", self.cpu_ratio()),
            ("per_second", server.map(|figures| figures.per_second)),
            ("p50_us", server.and_then(|figures| figures.p50_us)),
            ("p99_us", server.and_then(|figures| figures.p99_us)),
            ("p99_ratio", self.p99_ratio()),
        ];
        for (figure, value) in figures {
            if value.is_some() {
                metrics.push(format!("{}_{figure}", self.name), Summary::Value { value });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::Trend;
    use std::time::Duration;

    fn cost(cpu_us: u64, p99_us: u64) -> Cost {
        let mut latency = Trend::new();
        latency.record(Duration::from_micros(p99_us));
        Cost {
            units: 100,
            cpu: Duration::from_micros(cpu_us * 100),
            user_ticks: 5,
            system_ticks: 15,
            generator_cpu: Duration::from_micros(50),
            wall: Duration::from_millis(10),
            latency: Some(latency),
        }
    }

    #[test]
    fn medians_and_ratios_of_known_rounds() {
        // Everything is slower in the second round; the third is an outlier of the server's.
        let server = [cost(33, 440), cost(66, 880), cost(90, 1600)];
        let floor = [cost(30, 400), cost(60, 800), cost(30, 400)];
        let comparison = Comparison {
            name: "fan_out_10".into(),
            unit: "delivery",
            subjects: vec![Figures::of("server", &server), Figures::of("floor", &floor)],
        };
        assert_eq!(comparison.cpu_ratio(), Some(1.1));
        assert_eq!(comparison.p99_ratio(), Some(1.1));
        let figures = &comparison.subjects[0];
        assert_eq!(
            (figures.cpu_us, figures.units, figures.per_second),
            (66.0, 300, 10_000.0)
        );
        assert_eq!(figures.user_percent, Some(25.0));
        assert_eq!(
            figures.line("fan_out_10", "round trip"),
            "fan_out_10 subject=server unit=round_trip rounds=3 units=300 cpu_us=66.000 \
             per_second=10000 user_percent=25 p50_us=880 p95_us=880 p99_us=880 generator_us=0.500"
        );
        let mut metrics = Snapshot::default();
        comparison.add_to(&mut metrics);
        assert_eq!(
            metrics.get("fan_out_10_cpu_ratio"),
            Some(&Summary::Value { value: Some(1.1) })
        );
    }

    #[test]
    fn without_a_floor_there_is_no_ratio() {
        let short = Cost {
            user_ticks: 0,
            system_ticks: 3,
            latency: None,
            ..cost(1, 1)
        };
        let figures = Figures::of("server", &[short]);
        assert_eq!((figures.user_percent, figures.p99_us), (None, None));
        let comparison = Comparison {
            name: "x".into(),
            unit: "u",
            subjects: vec![figures],
        };
        assert_eq!(comparison.cpu_ratio(), None);
        let mut metrics = Snapshot::default();
        comparison.add_to(&mut metrics);
        let names: Vec<&str> = metrics.iter().map(|metric| metric.0).collect();
        assert_eq!(names, ["x_cpu_us", "x_per_second"]);
    }
}
