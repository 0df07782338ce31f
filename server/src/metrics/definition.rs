//! What is known of a metric before it has a value: its name, type, labels, unit and meaning.

/// The type of a metric in the text format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Only grows while the process lives.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Counts observations by size.
    Histogram,
}

impl Kind {
    /// The word after `# TYPE`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        }
    }
}

/// What the numbers of a metric measure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Things, which the meaning names.
    Count,
    /// 1 for yes, 0 for no.
    Flag,
    /// A share of a whole, 0 to 1.
    Ratio,
    /// Bytes.
    Bytes,
    /// Milliseconds: where alert rules that exist compare with them.
    Milliseconds,
    /// Seconds, Prometheus' base unit of time.
    Seconds,
    /// Seconds since 1970.
    UnixSeconds,
}

impl Unit {
    /// The word in the documentation.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Count => "count",
            Self::Flag => "1 or 0",
            Self::Ratio => "0 to 1",
            Self::Bytes => "bytes",
            Self::Milliseconds => "ms",
            Self::Seconds => "s",
            Self::UnixSeconds => "Unix s",
        }
    }

    /// How many microseconds make one, for units of durations.
    pub(super) const fn micros(self) -> f64 {
        match self {
            Self::Milliseconds => 1e3,
            _ => 1e6,
        }
    }
}

/// Where a metric's name comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The document *WebSocket performance baselines*.
    Baselines,
    /// The document *WebSocket capacity planning guide*.
    Capacity,
    /// Section 11 of the events contract.
    Events,
    /// Section 13 of the Socket.IO contract.
    Dashboard,
    /// This server.
    Dormouse,
    /// The Prometheus project's list of names that every process should have.
    Process,
}

impl Origin {
    /// All, in the order of the documentation.
    pub const ALL: [Self; 6] = [
        Self::Baselines,
        Self::Capacity,
        Self::Events,
        Self::Dashboard,
        Self::Dormouse,
        Self::Process,
    ];
}

/// One metric as it is exported and documented.
#[derive(Debug, PartialEq, Eq)]
pub struct Metric {
    /// The name, without the suffixes of a histogram's series.
    pub name: &'static str,
    /// Its type.
    pub kind: Kind,
    /// What its numbers measure.
    pub unit: Unit,
    /// The names of its labels, in the order in which their values are given.
    pub labels: &'static [&'static str],
    /// Where the name comes from.
    pub origin: Origin,
    /// What it means: the text after `# HELP`.
    pub help: &'static str,
}
