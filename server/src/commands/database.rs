//! The database of the configuration, opened by a command.

use std::sync::Arc;

use dormouse_config::Settings;

use super::Failure;
use crate::database::Database;
use crate::database::publisher::NoPublisher;
use crate::serve::database_options;

/// Opens the database, works on it, and closes it again. It may be in use by a running server.
///
/// # Errors
/// When it cannot be opened, and those of the work.
pub fn with_database<T>(
    settings: &Settings,
    work: impl AsyncFnOnce(&Database) -> Result<T, Failure>,
) -> Result<T, Failure> {
    std::fs::create_dir_all(&settings.data_dir).map_err(|err| {
        Failure::new(format!("cannot use {}: {err}", settings.data_dir.display()))
    })?;
    let database =
        Database::open(database_options(settings), Arc::new(NoPublisher)).map_err(Failure::new)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .map_err(Failure::new)?;
    runtime.block_on(async {
        let result = work(&database).await;
        database.close().await;
        result
    })
}
