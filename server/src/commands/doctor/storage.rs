//! The data folder, the disk below it, and the database.

use std::path::{Path, PathBuf};
use std::time::Duration;

use dormouse_config::Settings;
use sqlx::{ConnectOptions as _, Connection as _};

use super::Finding;
use crate::database::Location;
use crate::serve::database_options;

/// Free space below which it is time to act.
const LITTLE: u64 = 1 << 30;
/// Free space below which the server will soon fail.
const TOO_LITTLE: u64 = 64 << 20;
/// How long the database may take to answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// Whether the data folder can be written to, and how much room there is.
pub(super) fn folder(settings: &Settings) -> Vec<Finding> {
    const CHECK: &str = "data folder";
    let folder = &settings.data_dir;
    let shown = folder.display();
    if !folder.exists() {
        let parent = nearest(folder);
        let needed = rustix::fs::Access::WRITE_OK | rustix::fs::Access::EXEC_OK;
        let making = match rustix::fs::access(&parent, needed) {
            Ok(()) if parent.is_dir() => {
                Finding::good(CHECK, format!("{shown} will be made at the first start"))
            }
            refused => {
                let above = parent.display();
                let why = refused.map_or_else(|err| err.to_string(), |()| "no folder".to_owned());
                Finding::bad(
                    CHECK,
                    format!("{shown} cannot be made in {above}: {why}"),
                    "make it and let the server's user own it, or set data_dir to another folder",
                )
            }
        };
        return vec![making, space(&parent)];
    }
    let probe = folder.join(format!(".doctor-{}", std::process::id()));
    let written = std::fs::write(&probe, b"dormouse").and_then(|()| std::fs::remove_file(&probe));
    let writing = match written {
        Ok(()) => Finding::good(CHECK, format!("{shown} can be written to")),
        Err(err) => Finding::bad(
            CHECK,
            format!("{shown} cannot be written to: {err}"),
            "let the server's user own it, or set data_dir to another folder",
        ),
    };
    vec![writing, space(folder)]
}

/// The folder, or the first above it that exists.
fn nearest(folder: &Path) -> PathBuf {
    let mut ancestors = folder.ancestors();
    let found = ancestors.find(|path| !path.as_os_str().is_empty() && path.exists());
    found.map_or_else(|| PathBuf::from("."), Path::to_path_buf)
}

fn space(folder: &Path) -> Finding {
    match rustix::fs::statvfs(folder) {
        Ok(disk) => judge_space(
            disk.f_bavail.saturating_mul(disk.f_frsize),
            disk.f_blocks.saturating_mul(disk.f_frsize),
            disk.f_favail,
            disk.f_files,
        ),
        Err(err) => Finding::warning("disk", format!("cannot be asked: {err}"), "check data_dir"),
    }
}

fn judge_space(free: u64, size: u64, free_files: u64, files: u64) -> Finding {
    const CHECK: &str = "disk";
    let mib = |bytes: u64| bytes >> 20;
    let found = format!("{} MiB free of {}", mib(free), mib(size));
    let remedy = "make room: on a full disk shards cannot sleep and writes are refused";
    if free < TOO_LITTLE {
        Finding::bad(CHECK, found, remedy)
    } else if free < LITTLE || free < size / 20 {
        Finding::warning(CHECK, found, remedy)
    } else if files > 0 && free_files < 1000 {
        Finding::warning(
            CHECK,
            format!("{free_files} more files can be made"),
            remedy,
        )
    } else {
        Finding::good(CHECK, found)
    }
}

/// Whether the database answers, and whether an SQLite file is whole.
pub(super) fn database(settings: &Settings) -> Finding {
    const CHECK: &str = "database";
    let location = database_options(settings).location;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let asked = match (&location, runtime) {
        (_, Err(err)) => Err(err.to_string()),
        (Location::Sqlite(path), _) if !path.exists() => {
            let found = format!("{} will be made at the first start", path.display());
            return Finding::good(CHECK, found);
        }
        (location, Ok(runtime)) => runtime.block_on(async {
            match tokio::time::timeout(PATIENCE, ask(location)).await {
                Ok(answer) => answer.map_err(|err| err.to_string()),
                Err(_) => Err(format!("no answer within {} s", PATIENCE.as_secs())),
            }
        }),
    };
    match (asked, location) {
        (Ok(found), _) => Finding::good(CHECK, found),
        (Err(err), Location::Sqlite(path)) => Finding::bad(
            CHECK,
            format!("{}: {err}", path.display()),
            "put a backup in its place (docs/operations.md); do not delete it",
        ),
        // The URL may hold a password.
        (Err(err), Location::Postgres(_)) => Finding::bad(
            CHECK,
            format!("PostgreSQL: {err}"),
            "check database.url, that the server runs and lets this host in, and the password",
        ),
    }
}

async fn ask(location: &Location) -> Result<String, sqlx::Error> {
    match location {
        Location::Sqlite(path) => {
            let options = sqlx::sqlite::SqliteConnectOptions::new()
                .filename(path)
                .create_if_missing(false);
            let mut connection = options.connect().await?;
            let answer: String = sqlx::query_scalar("PRAGMA quick_check(1)")
                .fetch_one(&mut connection)
                .await?;
            connection.close().await?;
            if answer == "ok" {
                Ok(format!("{} is whole", path.display()))
            } else {
                Err(sqlx::Error::Protocol(answer))
            }
        }
        Location::Postgres(url) => {
            let options: sqlx::postgres::PgConnectOptions = url.parse()?;
            let mut connection = options.connect().await?;
            let version: String = sqlx::query_scalar("SHOW server_version")
                .fetch_one(&mut connection)
                .await?;
            connection.close().await?;
            Ok(format!("PostgreSQL {version} answers"))
        }
    }
}

#[cfg(test)]
mod tests {
    use dormouse_config::Loader;

    use super::super::Verdict;
    use super::*;

    fn settings(folder: &Path) -> Settings {
        let loader = Loader::new().flag("data_dir", folder.to_string_lossy());
        loader.load().unwrap().settings
    }

    #[test]
    fn room_is_judged_by_what_is_free() {
        let gib = 1 << 30;
        for (free, size, files, expected) in [
            (50 * gib, 100 * gib, 1_000_000, Verdict::Good),
            (2 * gib, 100 * gib, 1_000_000, Verdict::Warning),
            (gib / 2, gib, 1_000_000, Verdict::Warning),
            (50 * gib, 100 * gib, 10, Verdict::Warning),
            (1 << 20, 100 * gib, 1_000_000, Verdict::Bad),
        ] {
            let finding = judge_space(free, size, files, 1_000_000);
            assert_eq!(finding.verdict, expected, "{finding:?}");
        }
        assert_eq!(
            judge_space(50 * gib, 100 * gib, 0, 0).verdict,
            Verdict::Good
        );
    }

    #[test]
    fn a_folder_that_is_not_there_yet_is_no_fault() {
        let folder = tempfile::tempdir().unwrap();
        let settings = settings(&folder.path().join("a/b"));
        let found = super::folder(&settings);
        assert!(found[0].found.contains("will be made"), "{found:?}");
        assert_eq!(database(&settings).verdict, Verdict::Good);
        assert!(!folder.path().join("a").exists(), "nothing was made");
    }

    #[test]
    fn a_folder_that_cannot_be_made_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        std::fs::write(&file, b"").unwrap();
        let found = super::folder(&settings(&file.join("data")));
        assert_eq!(found[0].verdict, Verdict::Bad, "{found:?}");
        assert!(found[0].found.contains("cannot be made"), "{found:?}");
    }

    #[test]
    fn a_damaged_database_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let settings = settings(folder.path());
        std::fs::write(folder.path().join("dormouse.db"), vec![7_u8; 8192]).unwrap();
        let found = database(&settings);
        assert_eq!(found.verdict, Verdict::Bad, "{found:?}");
        assert!(found.remedy.contains("backup"), "{found:?}");
        assert_eq!(super::folder(&settings)[0].verdict, Verdict::Good);
    }
}
