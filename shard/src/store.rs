//! The store of what belongs to connections: attachments of sleeping shards, tier overrides.
//!
//! sled under one thread that writes: shards that fall asleep at the same time share one flush,
//! and no worker waits for a disk. A shard is only told that its attachments are stored once they
//! are flushed, so a full disk keeps shards awake instead of losing what they know. A write that
//! does not end counts as failed after [`PATIENCE`], so that everybody who waits for it is told.
//! Reads happen on the worker that wakes a shard.

mod disk;
mod sled_backend;
mod writing;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::time::Duration;

pub use sled_backend::SledBackend;
use writing::{Change, Write, Writing};

use crate::name::ShardName;
use crate::record;

/// Changes to keys: a value to write, or `None` to remove.
pub type Changes = Vec<(Vec<u8>, Option<Vec<u8>>)>;
/// Keys and values, as they are stored.
pub type Entries = Vec<(Vec<u8>, Vec<u8>)>;
/// What [`Store::load`] finds of a shard.
pub type Loaded = Vec<Vec<u8>>;
type Done = Box<dyn FnOnce(Result<(), StoreError>) + Send>;

/// Why the store could not be used. Cheap to clone: one failure may concern many shards.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{0}")]
pub struct StoreError(Arc<str>);

impl StoreError {
    /// An error with this text, which names the remedy.
    pub fn new(text: impl Into<Arc<str>>) -> Self {
        Self(text.into())
    }
}

/// What keeps keys and values: sled, or a stand-in that fails on purpose.
pub trait Backend: Send + Sync + 'static {
    /// All entries whose key begins with `prefix`.
    ///
    /// # Errors
    /// When the entries cannot be read.
    fn scan(&self, prefix: &[u8]) -> Result<Entries, StoreError>;

    /// Makes all changes and returns once they are durable.
    ///
    /// # Errors
    /// When that could not be done; some of them may be stored, none is known to be.
    fn apply(&self, changes: Changes) -> Result<(), StoreError>;

    /// All tier overrides.
    ///
    /// # Errors
    /// When they cannot be read.
    fn tiers(&self) -> Result<BTreeMap<String, String>, StoreError>;

    /// Sets or clears the override of one user, durably.
    ///
    /// # Errors
    /// When that could not be done.
    fn set_tier(&self, user: &str, tier: Option<&str>) -> Result<(), StoreError>;

    /// Makes a write of another thread that waits for what has failed long ago notice that. Called
    /// on a thread that may wait as long as the write.
    fn nudge(&self) {}
}

/// What a process that died left behind.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Leftovers {
    /// Connections that were asleep.
    pub connections: usize,
    /// Machines that are offline now: user and machine id.
    pub machines: Vec<(String, String)>,
}

/// Handle to the store; cheap to clone. The last one closes it, after what is queued is written.
#[derive(Clone)]
pub struct Store {
    shared: Arc<Shared>,
}

struct Shared {
    backend: Arc<dyn Backend>,
    writes: Option<mpsc::Sender<Write>>,
    thread: Option<std::thread::JoinHandle<()>>,
    fault: Arc<Mutex<Option<StoreError>>>,
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.writes = None;
        // A `done` may own the last handle; the thread cannot wait for itself.
        if let Some(thread) = self.thread.take()
            && thread.thread().id() != std::thread::current().id()
            && thread.join().is_err()
        {
            tracing::error!("the store's thread panicked");
        }
    }
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Store")
            .field("fault", &self.fault())
            .finish_non_exhaustive()
    }
}

impl Store {
    /// Opens the store in `folder` and removes the attachments of a process that died.
    ///
    /// `cache_bytes` bounds sled's page cache.
    ///
    /// # Errors
    /// When the folder cannot be used; the text says what to do.
    pub fn open(folder: &Path, cache_bytes: u64) -> Result<(Self, Leftovers), StoreError> {
        Self::with_backend(Arc::new(SledBackend::open(folder, cache_bytes)?))
    }

    /// A store on any backend.
    ///
    /// # Errors
    /// When the leftovers cannot be read or removed.
    pub fn with_backend(backend: Arc<dyn Backend>) -> Result<(Self, Leftovers), StoreError> {
        Self::with_patience(backend, PATIENCE)
    }

    /// A store on any backend whose writes may take this long.
    ///
    /// # Errors
    /// When the leftovers cannot be read or removed.
    pub fn with_patience(
        backend: Arc<dyn Backend>,
        patience: Duration,
    ) -> Result<(Self, Leftovers), StoreError> {
        let mut leftovers = Leftovers::default();
        let mut removals = Changes::new();
        for (key, value) in backend.scan(&[])? {
            if let (Some((name, _)), Some(entries)) =
                (record::parse_key(&key), record::decode(&value))
            {
                leftovers.connections += entries.len();
                let machines = entries.iter().filter_map(record::Entry::machine);
                let named = machines.map(|machine| (name.user.to_string(), machine.to_owned()));
                leftovers.machines.extend(named);
            }
            removals.push((key, None));
        }
        if !removals.is_empty() {
            backend.apply(removals)?;
        }
        let (writes, queue) = mpsc::channel();
        let fault = Arc::new(Mutex::new(None));
        let thread = {
            let writing = Writing::new(backend.clone(), patience, fault.clone())?;
            std::thread::Builder::new()
                .name("store".into())
                .spawn(move || writing.run(&queue))
                .map_err(|err| StoreError::new(format!("cannot start the store's thread: {err}")))?
        };
        let shared = Shared {
            backend,
            writes: Some(writes),
            thread: Some(thread),
            fault,
        };
        Ok((
            Self {
                shared: Arc::new(shared),
            },
            leftovers,
        ))
    }

    /// The stored attachments of a shard, in one scan.
    ///
    /// # Errors
    /// When they cannot be read.
    pub fn load(&self, shard: &ShardName) -> Result<Loaded, StoreError> {
        let records = self.shared.backend.scan(&record::shard_prefix(shard))?;
        Ok(records.into_iter().map(|(_, value)| value).collect())
    }

    /// Writes changes in the background, together with those of other shards. `done` is called on
    /// the store's thread, once they are durable or known not to be, or have taken too long.
    pub fn save(
        &self,
        changes: Changes,
        done: impl FnOnce(Result<(), StoreError>) + Send + 'static,
    ) {
        self.write(Change::Attachments(changes), Box::new(done));
    }

    fn write(&self, change: Change, done: Done) {
        let write = Write { change, done };
        let unsent = match &self.shared.writes {
            Some(writes) => writes.send(write).err().map(|mpsc::SendError(write)| write),
            None => Some(write),
        };
        if let Some(write) = unsent {
            (write.done)(Err(StoreError::new("the store's thread has ended")));
        }
    }

    /// Why the last write failed; `None` while the store works.
    pub fn fault(&self) -> Option<StoreError> {
        self.shared
            .fault
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// All tier overrides: user to tier name.
    ///
    /// # Errors
    /// When they cannot be read.
    pub fn tiers(&self) -> Result<BTreeMap<String, String>, StoreError> {
        self.shared.backend.tiers()
    }

    /// Sets or clears one override, durably. Waits for the disk: for admins, off the workers.
    ///
    /// # Errors
    /// When it could not be stored, or not in time.
    pub fn set_tier(&self, user: &str, tier: Option<&str>) -> Result<(), StoreError> {
        let (sender, receiver) = mpsc::channel();
        let change = Change::Tier(user.to_owned(), tier.map(str::to_owned));
        let done = Box::new(move |result| {
            // Whoever asked waits below.
            let _ = sender.send(result);
        });
        self.write(change, done);
        receiver
            .recv()
            .unwrap_or_else(|_| Err(StoreError::new("the store's thread has ended")))
    }
}

/// How long a write may take. Longer, and it counts as failed: shards stay awake, the server is not
/// ready, and stopping does not wait for it. A disk that is only slow has ended by then.
pub const PATIENCE: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests;
