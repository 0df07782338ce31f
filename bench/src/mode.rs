//! Test modes: load shape, client mix, traffic, thresholds and criteria, read from TOML.
//!
//! The modes that come with the program are the files under `modes/`; `--mode-file` reads others.
//! Owns their format, and how `--connections` and `--duration` change them. Pure but for reading
//! the file.

use std::path::Path;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::criteria::Criterion;
use crate::mix::Mix;
use crate::stages::{LONGEST, Stage, Stages};
use crate::stats::Snapshot;
use crate::threshold::{Threshold, ThresholdError};

/// Name and text of every mode that comes with the program.
const BUILT_IN: [(&str, &str); 7] = [
    ("smoke", include_str!("../modes/smoke.toml")),
    ("scale", include_str!("../modes/scale.toml")),
    ("sustained", include_str!("../modes/sustained.toml")),
    ("stress", include_str!("../modes/stress.toml")),
    ("extreme", include_str!("../modes/extreme.toml")),
    ("spike-extreme", include_str!("../modes/spike-extreme.toml")),
    ("reconnect", include_str!("../modes/reconnect.toml")),
];

/// Other names of modes, as the load-test documents spell them.
const ALIASES: [(&str, &str); 1] = [("spikeExtreme", "spike-extreme")];

/// Most connections that are reckoned with. Fewer may still be too many: for the limit of open
/// files, which says so itself.
const MOST_CONNECTIONS: usize = 1_000_000_000_000;

/// What each connection and the broadcaster do during a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Traffic {
    /// Between two pings of one connection.
    #[serde(with = "humantime_serde")]
    pub ping_interval: Duration,
    /// Between two broadcasts through HTTP.
    #[serde(with = "humantime_serde")]
    pub broadcast_interval: Duration,
    /// Between two readings of the statistics endpoint.
    #[serde(with = "humantime_serde")]
    pub stats_interval: Duration,
    /// Share of the connections that disconnect and come back once, in percent, rounded up.
    pub reconnect_percent: usize,
    /// How long a pong, a delivery, a greeting or an HTTP answer is waited for.
    #[serde(with = "humantime_serde")]
    pub delivery_timeout: Duration,
    /// A delivery that takes longer counts against `ws_broadcast_success`.
    #[serde(with = "humantime_serde")]
    pub broadcast_success_within: Duration,
}

/// A mode as its file says it, with thresholds still in their notation.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct ModeFile {
    name: String,
    title: String,
    thresholds: Vec<String>,
    stages: Vec<Stage>,
    mix: Mix,
    traffic: Traffic,
    #[serde(default)]
    criteria: Vec<CriterionText>,
}

#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
struct CriterionText {
    name: String,
    all: Vec<String>,
}

/// A mode, ready to be run. Written down it loses its judgement and its time scale: the first is the
/// caller's who reads it back, the second goes beside it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Mode {
    /// Its name on the command line.
    pub name: String,
    /// Heading of its acceptance criteria.
    pub title: String,
    /// Load shape.
    pub stages: Stages,
    /// Client mix.
    pub mix: Mix,
    /// What happens on the connections.
    pub traffic: Traffic,
    /// Limits, judged one by one.
    #[serde(skip)]
    pub thresholds: Vec<Threshold>,
    /// Limits under the names people know.
    #[serde(skip)]
    pub criteria: Vec<Criterion>,
    /// Its length as a multiple of its file's, whichever override changed it.
    #[serde(skip)]
    pub time_scale: f64,
}

/// What the command line changes in a mode.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Overrides {
    /// Connections at the peak.
    pub connections: Option<usize>,
    /// Length of the run.
    pub duration: Option<Duration>,
    /// Factor on the length of every stage; 1 if absent.
    pub time_scale: Option<f64>,
}

/// Why a mode cannot be run.
#[derive(Debug, thiserror::Error)]
pub enum ModeError {
    /// Not one of ours.
    #[error("unknown mode \"{name}\"; use {known}, or describe your own with --mode-file")]
    Unknown {
        /// What was asked for.
        name: String,
        /// The names there are.
        known: String,
    },
    /// The file cannot be read.
    #[error("cannot read the mode file {path}: {source}")]
    Unreadable {
        /// The file.
        path: String,
        /// Why.
        source: std::io::Error,
    },
    /// Not TOML, or not this format.
    #[error("mode {name}: {reason}")]
    Format {
        /// Which mode.
        name: String,
        /// The parser's complaint, in one line.
        reason: String,
    },
    /// A threshold that cannot be read or does not fit.
    #[error("mode {name}: threshold \"{threshold}\": {source}")]
    Threshold {
        /// Which mode.
        name: String,
        /// The threshold as written.
        threshold: String,
        /// What is wrong with it.
        source: ThresholdError,
    },
    /// A number that makes no sense.
    #[error("mode {name}: {reason}")]
    Value {
        /// Which mode.
        name: String,
        /// What to change.
        reason: &'static str,
    },
}

impl Mode {
    /// The mode of that name, for a scenario with these metrics.
    ///
    /// # Errors
    /// Unknown name, or an override that makes no sense.
    pub fn named(name: &str, over: Overrides, metrics: &Snapshot) -> Result<Self, ModeError> {
        Self::parse(name, text(name)?, over, metrics)
    }

    /// The mode described by a file.
    ///
    /// # Errors
    /// The file cannot be read, or [`Mode::parse`] refuses it.
    pub fn from_file(path: &Path, over: Overrides, metrics: &Snapshot) -> Result<Self, ModeError> {
        Self::parse(&path.display().to_string(), &read(path)?, over, metrics)
    }

    /// Reads a mode, applies the overrides and replaces `{connections}` in its thresholds and
    /// criteria by its peak.
    ///
    /// # Errors
    /// [`ModeError`], naming the mode and the line or threshold at fault.
    pub fn parse(
        name: &str,
        text: &str,
        over: Overrides,
        metrics: &Snapshot,
    ) -> Result<Self, ModeError> {
        let file: ModeFile = toml::from_str(text).map_err(|err| ModeError::Format {
            name: name.to_owned(),
            reason: err
                .to_string()
                .split_whitespace()
                .collect::<Vec<_>>()
                .join(" "),
        })?;
        let mut stages = Stages::new(file.stages);
        let full = stages.duration().as_secs_f64();
        let refuse = |reason| ModeError::Value {
            name: name.to_owned(),
            reason,
        };
        match over.connections {
            Some(0) => return Err(refuse("at least one connection is needed")),
            Some(count) if count > MOST_CONNECTIONS => {
                return Err(refuse("that many connections cannot be reckoned with"));
            }
            _ => {}
        }
        if let Some(connections) = over.connections {
            stages = stages.with_peak(connections);
        }
        if let Some(duration) = over.duration {
            stages = stages.with_duration(duration);
        }
        stages = stages
            .scaled(over.time_scale.unwrap_or(1.0))
            .ok_or_else(|| refuse("--time-scale must be a number above 0, such as 0.1"))?;
        let Traffic {
            ping_interval,
            broadcast_interval,
            stats_interval,
            ..
        } = file.traffic;
        if stages.peak() == 0 {
            return Err(refuse("at least one connection is needed"));
        }
        if stages.duration().is_zero() {
            return Err(refuse("the duration must be longer than zero"));
        }
        if stages.duration() > LONGEST {
            return Err(refuse("the duration must be a week at most"));
        }
        if [ping_interval, broadcast_interval, stats_interval]
            .iter()
            .any(Duration::is_zero)
        {
            return Err(refuse("intervals must be longer than zero"));
        }
        if file.traffic.reconnect_percent > 100 {
            return Err(refuse("reconnect-percent must be between 0 and 100"));
        }

        let peak = stages.peak().to_string();
        let threshold = |text: &String| {
            let text = text.replace("{connections}", &peak);
            let parsed = Threshold::parse(&text).and_then(|threshold| {
                threshold.check_metric(metrics)?;
                Ok(threshold)
            });
            parsed.map_err(|source| ModeError::Threshold {
                name: name.to_owned(),
                threshold: text.clone(),
                source,
            })
        };
        let read = |all: &[String]| all.iter().map(threshold).collect::<Result<Vec<_>, _>>();
        let criteria = file.criteria.iter().map(|criterion| {
            let name = criterion.name.replace("{connections}", &peak);
            Ok(Criterion {
                name,
                all: read(&criterion.all)?,
            })
        });
        Ok(Self {
            thresholds: read(&file.thresholds)?,
            criteria: criteria.collect::<Result<_, ModeError>>()?,
            name: file.name,
            title: file.title,
            mix: file.mix,
            traffic: file.traffic,
            time_scale: stages.relative_to(full),
            stages,
        })
    }
}

/// The text of a mode that comes with the program.
///
/// # Errors
/// [`ModeError::Unknown`].
pub fn text(name: &str) -> Result<&'static str, ModeError> {
    let known = ALIASES
        .iter()
        .find(|alias| alias.0 == name)
        .map_or(name, |alias| alias.1);
    let mode = BUILT_IN.iter().find(|mode| mode.0 == known);
    mode.map(|mode| mode.1).ok_or_else(|| ModeError::Unknown {
        name: name.to_owned(),
        known: BUILT_IN.map(|mode| mode.0).join(", "),
    })
}

/// The text of a mode file.
///
/// # Errors
/// [`ModeError::Unreadable`].
pub fn read(path: &Path) -> Result<String, ModeError> {
    std::fs::read_to_string(path).map_err(|source| ModeError::Unreadable {
        path: path.display().to_string(),
        source,
    })
}

/// The names of the modes that come with the program.
pub fn names() -> impl Iterator<Item = &'static str> {
    BUILT_IN.iter().map(|mode| mode.0)
}

#[cfg(test)]
mod tests;
