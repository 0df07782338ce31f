//! Structured logs: text in a terminal, JSON for machines.

use std::io::IsTerminal;

use dormouse_config::{LogFormat, LogSettings};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::util::{SubscriberInitExt, TryInitError};

/// Starts logging to standard error; standard output is for what the user asked for.
///
/// # Errors
/// When logging was started before.
pub fn start(settings: &LogSettings) -> Result<(), TryInitError> {
    // The configuration has judged the directives.
    let filter = EnvFilter::try_new(&settings.level).unwrap_or_else(|_| EnvFilter::new("info"));
    let is_json = match settings.format {
        LogFormat::Json => true,
        LogFormat::Text => false,
        LogFormat::Auto => !std::io::stderr().is_terminal(),
    };
    let logs = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        // Where nothing can be written, such as a file on a full disk, a complaint about that
        // could not be written either, and would end the thread that logged.
        .log_internal_errors(false);
    if is_json {
        logs.json().flatten_event(true).finish().try_init()
    } else {
        logs.with_target(false).finish().try_init()
    }
}
