//! `dormouse config default|check|show`.

use super::{Failure, load};
use crate::cli::{ConfigCommand, SettingFlags};

/// Runs the command; returns what to print.
///
/// # Errors
/// All faults of the configuration, for `check` and `show`.
pub fn run(command: ConfigCommand, flags: &SettingFlags) -> Result<String, Failure> {
    match command {
        ConfigCommand::Default => Ok(dormouse_config::default_toml().to_owned()),
        ConfigCommand::Check => load(flags).map(|_| "the configuration is good\n".to_owned()),
        ConfigCommand::Show => load(flags).map(|loaded| loaded.show()),
    }
}
