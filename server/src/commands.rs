//! What the binary does, one command a file.

pub mod account;
pub mod apikey;
pub mod config;
pub mod database;
pub mod db;
pub mod doctor;
pub mod health;
pub mod invite;
pub mod serve;
pub mod tenant;
pub mod token;

use dormouse_config::{ConfigError, Loaded, Loader};

use crate::cli::SettingFlags;

/// Exit status of a configuration that cannot be used (`EX_USAGE`).
pub const EXIT_CONFIGURATION: u8 = 64;

/// Why a command failed, with the exit status that tells it.
#[derive(Debug)]
pub struct Failure {
    /// The exit status.
    pub status: u8,
    /// What to print, one fault a line.
    pub text: String,
}

impl Failure {
    /// A failure of something that the configuration allows: status 1.
    pub fn new(text: impl std::fmt::Display) -> Self {
        Self {
            status: 1,
            text: text.to_string(),
        }
    }
}

impl From<ConfigError> for Failure {
    fn from(err: ConfigError) -> Self {
        Self {
            status: EXIT_CONFIGURATION,
            text: err.to_string(),
        }
    }
}

/// Loads the settings from flags, environment, file and defaults.
///
/// # Errors
/// All faults at once.
pub fn load(flags: &SettingFlags) -> Result<Loaded, Failure> {
    let mut loader = Loader::new()
        .environment(std::env::vars_os())
        .file(flags.config.clone());
    if !flags.listen.is_empty() {
        loader = loader.flag("listen", flags.listen.join(","));
    }
    if let Some(folder) = &flags.data_dir {
        loader = loader.flag("data_dir", folder.to_string_lossy().into_owned());
    }
    for pair in &flags.set {
        let (key, value) = pair.split_once('=').ok_or_else(|| Failure {
            status: EXIT_CONFIGURATION,
            text: format!("flag --set {pair}: write it as KEY=VALUE"),
        })?;
        loader = loader.flag(key, value);
    }
    Ok(loader.load()?)
}
