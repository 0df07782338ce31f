//! Stages: how many connections a run holds at which moment, as data.
//!
//! Owns the load shape and turns it into the moments at which each connection opens and closes.
//! Pure: the runner owns the clock.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// The longest run: a week.
pub const LONGEST: Duration = Duration::from_secs(7 * 86_400);

/// One step of a load shape: go to `connections` evenly within `ramp`, stay for `hold`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stage {
    /// Open connections, or virtual users, at the end of the ramp.
    #[serde(alias = "users")]
    pub connections: usize,
    /// Time to get there; zero means all at once.
    #[serde(default, with = "humantime_serde")]
    pub ramp: Duration,
    /// Time to stay.
    #[serde(default, with = "humantime_serde")]
    pub hold: Duration,
}

/// A whole load shape; starts at no connections.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Stages(Vec<Stage>);

/// A connection that opens or closes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Change {
    /// When, from the start of the run.
    pub at: Duration,
    /// Which connection; the last opened is the first closed.
    pub connection: usize,
    /// Whether it opens.
    pub opens: bool,
}

impl Stages {
    /// The shape made of these steps.
    pub fn new(stages: Vec<Stage>) -> Self {
        Self(stages)
    }

    /// The most connections at any moment.
    pub fn peak(&self) -> usize {
        self.0
            .iter()
            .map(|stage| stage.connections)
            .max()
            .unwrap_or(0)
    }

    /// From the first ramp's start to the last hold's end.
    pub fn duration(&self) -> Duration {
        self.0.iter().map(|stage| stage.ramp + stage.hold).sum()
    }

    /// The same shape with this many connections at its peak. Every stage that had connections
    /// keeps at least one.
    pub fn with_peak(&self, peak: usize) -> Self {
        let old = self.peak().max(1);
        let scaled = |connections: usize| match connections {
            0 => 0,
            connections => ((connections * peak + old / 2) / old).max(1),
        };
        let stages = self.0.iter();
        Self(
            stages
                .map(|stage| Stage {
                    connections: scaled(stage.connections),
                    ..*stage
                })
                .collect(),
        )
    }

    /// The same shape, stretched or shortened to take this long. A shape without any duration
    /// holds its last stage.
    pub fn with_duration(&self, duration: Duration) -> Self {
        let old = self.duration();
        let mut stages = self.0.clone();
        if old.is_zero() {
            if let Some(last) = stages.last_mut() {
                last.hold = duration;
            }
            return Self(stages);
        }
        let factor = duration.as_secs_f64() / old.as_secs_f64();
        for stage in &mut stages {
            stage.ramp = stage.ramp.mul_f64(factor);
            stage.hold = stage.hold.mul_f64(factor);
        }
        Self(stages)
    }

    /// The same shape with every stage this many times as long; `None` for a factor that makes no
    /// sense.
    pub fn scaled(&self, factor: f64) -> Option<Self> {
        if !(factor.is_finite() && factor > 0.0) {
            return None;
        }
        let longer = |time: Duration| Duration::try_from_secs_f64(time.as_secs_f64() * factor).ok();
        let stages = self.0.iter().map(|stage| {
            Some(Stage {
                ramp: longer(stage.ramp)?,
                hold: longer(stage.hold)?,
                ..*stage
            })
        });
        stages.collect::<Option<Vec<_>>>().map(Self)
    }

    /// This shape's length as a multiple of so many seconds, to three digits; 1 of nothing.
    pub fn relative_to(&self, full_seconds: f64) -> f64 {
        match full_seconds > 0.0 {
            true => (self.duration().as_secs_f64() / full_seconds * 1e3).round() / 1e3,
            false => 1.0,
        }
    }

    /// How many connections there are to be at a moment after the start.
    pub fn level_at(&self, at: Duration) -> usize {
        let (mut began, mut open) = (Duration::ZERO, 0_usize);
        for stage in &self.0 {
            let within = at.saturating_sub(began);
            if within < stage.ramp {
                let share = within.as_secs_f64() / stage.ramp.as_secs_f64();
                let change = stage.connections as f64 - open as f64;
                return (open as f64 + share * change).round() as usize;
            }
            if within < stage.ramp + stage.hold {
                return stage.connections;
            }
            open = stage.connections;
            began += stage.ramp + stage.hold;
        }
        open
    }

    /// Every opening and closing in order of time.
    ///
    /// Within a ramp they are evenly spaced and the last one falls on its end, so a run reaches a
    /// stage's number exactly when its hold begins.
    pub fn changes(&self) -> Vec<Change> {
        let (mut changes, mut now, mut open) = (Vec::new(), Duration::ZERO, 0_usize);
        for stage in &self.0 {
            let count = stage.connections.abs_diff(open);
            for step in 1..=count {
                let at = now + stage.ramp.mul_f64(step as f64 / count as f64);
                changes.push(if stage.connections > open {
                    Change {
                        at,
                        connection: open + step - 1,
                        opens: true,
                    }
                } else {
                    Change {
                        at,
                        connection: open - step,
                        opens: false,
                    }
                });
            }
            open = stage.connections;
            now += stage.ramp + stage.hold;
        }
        changes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn stage(connections: usize, ramp: u64, hold: u64) -> Stage {
        let (ramp, hold) = (Duration::from_secs(ramp), Duration::from_secs(hold));
        Stage {
            connections,
            ramp,
            hold,
        }
    }

    fn change(at: u64, connection: usize, opens: bool) -> Change {
        Change {
            at: Duration::from_secs(at),
            connection,
            opens,
        }
    }

    #[test]
    fn ramps_are_even_and_the_last_opened_closes_first() {
        let stages = Stages::new(vec![stage(2, 0, 5), stage(4, 10, 5), stage(1, 3, 1)]);
        assert_eq!(
            stages.changes(),
            [
                change(0, 0, true),
                change(0, 1, true),
                change(10, 2, true),
                change(15, 3, true),
                change(21, 3, false),
                change(22, 2, false),
                change(23, 1, false),
            ]
        );
        assert_eq!(stages.peak(), 4);
        assert_eq!(stages.duration(), Duration::from_secs(24));
    }

    #[test]
    fn a_shape_can_be_given_another_size_and_length() {
        let stages = Stages::new(vec![stage(100, 10, 20), stage(200, 10, 20), stage(0, 0, 0)]);
        assert_eq!(
            stages.with_peak(20).with_duration(Duration::from_secs(30)),
            Stages::new(vec![stage(10, 5, 10), stage(20, 5, 10), stage(0, 0, 0)])
        );
        assert_eq!(stages.with_peak(1).peak(), 1);
        let instant = Stages::new(vec![stage(10, 0, 0)]);
        assert_eq!(
            instant.with_duration(Duration::from_secs(7)),
            Stages::new(vec![stage(10, 0, 7)])
        );
        assert_eq!(
            Stages::new(vec![])
                .with_peak(5)
                .with_duration(Duration::MAX)
                .peak(),
            0
        );
    }

    #[test]
    fn stages_are_shortened_by_a_factor_that_makes_sense() {
        let stages = Stages::new(vec![stage(100, 10, 20)]);
        let half = Stages::new(vec![stage(100, 5, 10)]);
        assert_eq!(stages.scaled(0.5), Some(half));
        assert_eq!(stages.scaled(0.5).unwrap().relative_to(30.0), 0.5);
        assert_eq!(stages.relative_to(0.0), 1.0);
        for factor in [0.0, -1.0, f64::NAN, f64::INFINITY, 1e300] {
            assert_eq!(stages.scaled(factor), None, "{factor}");
        }
    }

    #[test]
    fn the_level_at_a_moment_lies_on_the_shape() {
        let stages = Stages::new(vec![stage(100, 10, 20), stage(0, 10, 0)]);
        let cases = [
            (0, 0),
            (5, 50),
            (10, 100),
            (29, 100),
            (35, 50),
            (40, 0),
            (99, 0),
        ];
        for (second, level) in cases {
            assert_eq!(
                stages.level_at(Duration::from_secs(second)),
                level,
                "{second}"
            );
        }
    }

    proptest! {
        #[test]
        fn changes_lead_from_stage_to_stage(
            shape in proptest::collection::vec((0_usize..40, 0_u64..9, 0_u64..9), 0..6)
        ) {
            let stages: Vec<Stage> =
                shape.into_iter().map(|(to, ramp, hold)| stage(to, ramp, hold)).collect();
            let last = stages.last().map_or(0, |stage| stage.connections);
            let shape = Stages::new(stages);
            let mut open = 0;
            let mut before = Duration::ZERO;
            for change in shape.changes() {
                prop_assert!(change.at >= before);
                before = change.at;
                if change.opens {
                    prop_assert_eq!(change.connection, open);
                    open += 1;
                } else {
                    open -= 1;
                    prop_assert_eq!(change.connection, open);
                }
                prop_assert!(open <= shape.peak());
            }
            prop_assert_eq!(open, last);
            prop_assert!(before <= shape.duration());
        }
    }
}
