//! Where a value came from, and what is wrong with it.
//!
//! Every layer and rule of this crate reports [`Fault`]s; [`ConfigError`] carries all of them to
//! `main`, one line each. A fault names its remedy and must never hold the text of a secret.

use std::fmt;
use std::path::PathBuf;

/// The layer, and the place in it, that gave a value.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Source {
    /// The embedded `default.toml`.
    Default,
    /// The configuration file.
    File {
        /// The path as it was given.
        path: PathBuf,
        /// The line, counted from 1; absent where the file as a whole is meant.
        line: Option<usize>,
    },
    /// An environment variable.
    Environment {
        /// Its full name, such as `DORMOUSE_LISTEN`.
        name: String,
    },
    /// A flag of the command line.
    Flag {
        /// Its spelling, such as `--listen`.
        name: String,
    },
}

impl Source {
    /// The height of the layer: the highest that names a key wins.
    pub(crate) fn layer(&self) -> u8 {
        match self {
            Self::Default => 0,
            Self::File { .. } => 1,
            Self::Environment { .. } => 2,
            Self::Flag { .. } => 3,
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => formatter.write_str("default"),
            // Escaped, because a path may hold a line break and each fault is one line.
            Self::File { path, line } => {
                write!(
                    formatter,
                    "file {}",
                    path.display().to_string().escape_debug()
                )?;
                line.map_or(Ok(()), |line| write!(formatter, " (line {line})"))
            }
            Self::Environment { name } => write!(formatter, "environment {}", name.escape_debug()),
            Self::Flag { name } => write!(formatter, "flag {}", name.escape_debug()),
        }
    }
}

/// One thing that is wrong with a configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The layer that holds the fault.
    pub source: Source,
    /// The key, such as `shard.ping_interval`; empty where the fault is not in one key.
    pub key: String,
    /// What is wrong and what to do about it.
    pub message: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.key.is_empty() {
            write!(formatter, "{}: {}", self.source, self.message)
        } else {
            write!(formatter, "{}: {}: {}", self.source, self.key, self.message)
        }
    }
}

/// Everything that is wrong with a configuration, one line a fault.
///
/// A process that meets it should print it and exit with status 64 (`EX_USAGE`).
#[derive(Clone, Debug, thiserror::Error)]
pub struct ConfigError {
    /// The faults; never empty.
    pub faults: Vec<Fault>,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, fault) in self.faults.iter().enumerate() {
            if index > 0 {
                writeln!(formatter)?;
            }
            write!(formatter, "{fault}")?;
        }
        Ok(())
    }
}

/// Quotes outside text for a fault: on one line, and no longer than a line.
pub(crate) fn quote(text: &str) -> String {
    const LONGEST: usize = 80;
    if text.chars().count() <= LONGEST {
        return format!("{text:?}");
    }
    let start: String = text.chars().take(LONGEST).collect();
    format!("{start:?}…")
}
