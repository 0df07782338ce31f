//! `dormouse db`: looking after the database, and moving it.

use std::fs::File;
use std::io::{BufReader, BufWriter};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use super::{Failure, load};
use crate::cli::{DbCommand, SettingFlags};
use crate::database::dump::{Dump, DumpError};
use crate::serve::database_options;

/// Does it; returns what to print.
///
/// # Errors
/// When the database or the file cannot be used.
pub fn run(command: &DbCommand, flags: &SettingFlags) -> Result<String, Failure> {
    let settings = load(flags)?.settings;
    std::fs::create_dir_all(&settings.data_dir).map_err(|err| {
        Failure::new(format!("cannot use {}: {err}", settings.data_dir.display()))
    })?;
    let location = database_options(&settings).location;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(Failure::new)?;
    runtime.block_on(async {
        let mut dump = Dump::open(&location).await.map_err(Failure::new)?;
        let done = match command {
            DbCommand::Check => dump
                .check()
                .await
                .map(|rows| format!("{rows}{location} is sound\n")),
            DbCommand::Vacuum => dump.vacuum().await.map(|()| String::new()),
            DbCommand::Export { file } => export(&mut dump, file).await,
            DbCommand::Import { file } => import(&mut dump, file).await,
        };
        done.map_err(Failure::new)
    })
}

/// Into a new file that only its owner may read.
async fn export(dump: &mut Dump, file: &Path) -> Result<String, DumpError> {
    let made = File::options()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(file)?;
    let rows = dump.export(&mut BufWriter::new(&made)).await?;
    made.sync_all()?;
    Ok(format!("{rows} rows are in {}\n", file.display()))
}

async fn import(dump: &mut Dump, file: &Path) -> Result<String, DumpError> {
    let (read, new) = dump.import(BufReader::new(File::open(file)?)).await?;
    Ok(format!("{read} rows read, {new} of them new\n"))
}
