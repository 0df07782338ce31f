//! Databases for tests, of both kinds, and a look at what they publish.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use dormouse_shard::publication::Publication;
use tempfile::TempDir;

use super::{Database, Location, Options, Publisher};

#[path = "testing/older.rs"]
pub mod older;
#[path = "testing/postgres.rs"]
pub mod postgres;

/// Makes two tests of each function: one on SQLite, one on PostgreSQL. The latter is listed as
/// ignored where PostgreSQL is not installed.
macro_rules! on_both_databases {
    ($($(#[$meta:meta])* async fn $name:ident($($database:tt)+) $body:block)*) => {$(
        $(#[$meta])*
        mod $name {
            #[allow(unused_imports)]
            use super::*;

            async fn run($($database)+: $crate::database::testing::TestDatabase) $body

            #[tokio::test]
            async fn on_sqlite() {
                run($crate::database::testing::TestDatabase::sqlite()).await;
            }

            #[tokio::test]
            #[cfg_attr(not(postgres_is_installed), ignore = "PostgreSQL is not installed")]
            async fn on_postgres() {
                run($crate::database::testing::TestDatabase::postgres()).await;
            }
        }
    )*};
}
pub(crate) use on_both_databases;

/// Keeps what was published, in order.
#[derive(Debug, Default)]
pub struct Recorder(Mutex<Vec<(Arc<str>, Publication)>>);

impl Recorder {
    /// What was published since the last call.
    pub fn take(&self) -> Vec<(Arc<str>, Publication)> {
        std::mem::take(&mut self.0.lock().unwrap())
    }
}

impl Publisher for Recorder {
    fn publish(&self, user: &Arc<str>, publication: Publication) {
        self.0.lock().unwrap().push((user.clone(), publication));
    }
}

/// A database of one test.
pub struct TestDatabase {
    /// The database.
    pub database: Database,
    /// What it has published.
    pub published: Arc<Recorder>,
    /// How it was opened.
    pub options: Options,
    _folder: TempDir,
}

impl TestDatabase {
    /// In a file.
    pub fn sqlite() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let location = Location::Sqlite(folder.path().join("test.db"));
        Self::open(location, folder)
    }

    /// In a schema of its own.
    pub fn postgres() -> Self {
        let location = Location::Postgres(postgres::fresh_url());
        Self::open(location, tempfile::tempdir().unwrap())
    }

    fn open(location: Location, folder: TempDir) -> Self {
        let options = Options {
            location,
            read_connections: 2,
            write_queue: 4096,
            lock_timeout: Duration::from_millis(50),
            // What shares a transaction must not depend on how fast the machine is.
            batch_time: Duration::MAX,
        };
        let published = Arc::new(Recorder::default());
        let database = Database::open(options.clone(), published.clone()).unwrap();
        Self {
            database,
            published,
            options,
            _folder: folder,
        }
    }

    /// Closes the database and opens it again.
    pub async fn reopen(mut self) -> Self {
        self.database.close().await;
        self.database = Database::open(self.options.clone(), self.published.clone()).unwrap();
        self
    }
}
