//! Loads the settings from their layers: flags over environment over file over defaults.
//!
//! The binaries build a [`Loader`] from their command line and environment, and get either
//! [`Loaded`] settings or every fault at once. The environment is passed in, never read here, and
//! nothing but the configuration file is opened.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use crate::faults::{ConfigError, Fault, Source, quote};
use crate::keys::Keys;
use crate::layers::Layers;
use crate::reader::Reader;
use crate::reference::default_toml;
use crate::rules;
use crate::schema::Table;
use crate::settings::Settings;

/// The variable that names the configuration file.
const FILE_VARIABLE: &str = "DORMOUSE_CONFIG";

/// The longest file that is read; the longest sensible one has a few KiB.
const MAX_FILE_BYTES: u64 = 1 << 20;

/// Gathers the layers of a configuration. Has no `Debug`: its layers hold secrets in plain text.
///
/// ```
/// use dormouse_config::Loader;
///
/// let loaded = Loader::new()
///     .environment([("DORMOUSE_SHARD__PING_INTERVAL", "20s")])
///     .flag("listen", "127.0.0.1:0")
///     .load()?;
/// assert_eq!(loaded.settings.shard.ping_interval.as_secs(), 20);
/// # Ok::<(), dormouse_config::ConfigError>(())
/// ```
#[derive(Default)]
pub struct Loader {
    environment: Vec<(OsString, OsString)>,
    file: Option<PathBuf>,
    flags: Vec<(String, String)>,
}

impl Loader {
    /// A loader of the defaults alone.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds environment variables, such as `std::env::vars_os()`; only `DORMOUSE_*` are read.
    #[must_use]
    pub fn environment<K, V>(mut self, variables: impl IntoIterator<Item = (K, V)>) -> Self
    where
        K: Into<OsString>,
        V: Into<OsString>,
    {
        let variables = variables
            .into_iter()
            .map(|(name, value)| (name.into(), value.into()));
        self.environment.extend(variables);
        self
    }

    /// Names the configuration file (`--config`); it wins over `DORMOUSE_CONFIG`.
    #[must_use]
    pub fn file(mut self, path: impl Into<Option<PathBuf>>) -> Self {
        self.file = path.into().or(self.file);
        self
    }

    /// Sets a key from the command line; lists are separated by commas.
    #[must_use]
    pub fn flag(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.flags.push((key.into(), value.into()));
        self
    }

    /// Reads all layers and checks every rule.
    ///
    /// # Errors
    /// Every fault of every layer at once: an unreadable file, bad syntax, unknown keys and
    /// variables, wrong types, values out of range, and keys that contradict each other.
    pub fn load(self) -> Result<Loaded, ConfigError> {
        self.load_with(read)
    }

    /// Loads with a given way to read the file.
    pub(crate) fn load_with(
        self,
        read: impl FnOnce(&Path) -> io::Result<Vec<u8>>,
    ) -> Result<Loaded, ConfigError> {
        let mut layers = with_defaults();
        if let Some((path, source)) = self.file_path() {
            match read(&path) {
                Ok(bytes) => layers.add_file(&path, &bytes),
                Err(err) => {
                    let path = quote(&path.to_string_lossy());
                    let message =
                        format!("cannot read {path}: {err}: name a file that can be read");
                    layers.incomplete = true;
                    layers.faults.push(Fault {
                        source,
                        key: String::new(),
                        message,
                    });
                }
            }
        }
        layers.add_environment(&self.environment);
        layers.add_flags(&self.flags);
        resolve(layers)
    }

    /// The file to read, and the layer that named it.
    fn file_path(&self) -> Option<(PathBuf, Source)> {
        if let Some(path) = &self.file {
            return Some((
                path.clone(),
                Source::Flag {
                    name: "--config".to_owned(),
                },
            ));
        }
        let (_, path) = self
            .environment
            .iter()
            .find(|(name, _)| name == FILE_VARIABLE)?;
        Some((
            path.into(),
            Source::Environment {
                name: FILE_VARIABLE.to_owned(),
            },
        ))
    }
}

fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?
        .take(MAX_FILE_BYTES + 1)
        .read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MAX_FILE_BYTES {
        let message = format!("it is longer than {MAX_FILE_BYTES} bytes");
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, message));
    }
    Ok(bytes)
}

/// The lowest layer.
fn with_defaults() -> Layers {
    let mut layers = Layers::new(Keys::of_settings());
    layers.add_defaults(default_toml());
    layers
}

/// Reads the settings out of the layers and checks them.
fn resolve(mut layers: Layers) -> Result<Loaded, ConfigError> {
    let faults = std::mem::take(&mut layers.faults);
    let mut reader = Reader::new(&layers, faults);
    let settings = Settings::read(&mut reader, "");
    // What seems to be missing may stand in the part of a file that could not be parsed.
    if !layers.incomplete {
        rules::check(&settings, &mut reader);
    }
    let Reader {
        mut faults,
        values,
        origins,
        ..
    } = reader;
    if faults.is_empty() {
        return Ok(Loaded {
            settings,
            origins,
            values,
        });
    }
    faults.sort_by(|one, other| one.source.cmp(&other.source));
    Err(ConfigError { faults })
}

/// Settings, and where each came from.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// The settings.
    pub settings: Settings,
    /// The layer that gave each key, such as `shard.ping_interval`.
    pub origins: BTreeMap<String, Source>,
    /// The keys in order with their values as TOML, secrets hidden.
    values: Vec<(String, Option<String>)>,
}

impl Loaded {
    /// Every key with its value and its layer, as TOML; secrets appear as `"(hidden)"`.
    #[must_use]
    pub fn show(&self) -> String {
        let line = |key: &str, name: &str, value: &Option<String>| {
            let source = self.origins.get(key).unwrap_or(&Source::Default);
            match value {
                Some(value) => format!("{name} = {value} # {source}\n"),
                None => format!("#{name} is not set # {source}\n"),
            }
        };
        let (listed, plain): (Vec<_>, Vec<_>) =
            self.values.iter().partition(|(key, _)| key.contains('['));
        let mut shown: String = plain
            .iter()
            .map(|(key, value)| line(key, key, value))
            .collect();
        // TOML wants the items of lists behind everything else.
        let mut current = "";
        for (key, value) in listed {
            let (table, name) = key.rsplit_once('.').unwrap_or(("", key));
            if table != current {
                let list = table.split('[').next().unwrap_or_default();
                shown.push_str(&format!("\n[[{list}]]\n"));
                current = table;
            }
            shown.push_str(&line(key, name, value));
        }
        shown
    }
}

impl Default for Settings {
    /// The settings of `default.toml`, as a server without any configuration has them.
    fn default() -> Self {
        Self::read(&mut Reader::new(&with_defaults(), Vec::new()), "")
    }
}

#[cfg(test)]
mod tests;
