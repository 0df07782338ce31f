//! sled as the store's backend.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::{PoisonError, RwLock};

use super::{Backend, Changes, Entries, StoreError};

/// Changes in one batch. Of 15,000 changes, batches of 128 keep sled at a sixth of the memory that
/// one batch takes (420 against 2,500 bytes per change), and are no slower.
const BATCH: usize = 128;
/// A key that is none of a shard.
const PROBE: &[u8] = b"probe";
/// sled's write buffers are as large as a segment.
const SEGMENT_BYTES: usize = 64 * 1024;

/// A sled database in a folder of its own.
///
/// After an I/O error sled refuses to write until it is opened again, and on a full disk it cannot
/// be opened. So it is closed when that happens, and opened by the next write that succeeds; what
/// it held is in memory meanwhile, so that shards can wake, and is written again where it is missing
/// then. A full disk may leave files that sled calls damaged: they are set aside for new ones. The
/// lock is taken to wake a shard and to store, never to deliver.
#[derive(Debug)]
pub struct SledBackend {
    folder: PathBuf,
    cache_bytes: u64,
    state: RwLock<State>,
}

#[derive(Debug)]
enum State {
    Open(Trees),
    Closed(Kept),
}

/// What was readable at the error.
#[derive(Debug)]
struct Kept {
    attachments: BTreeMap<Vec<u8>, Vec<u8>>,
    tiers: BTreeMap<Vec<u8>, Vec<u8>>,
}

#[derive(Clone, Debug)]
struct Trees {
    db: sled::Db,
    attachments: sled::Tree,
    tiers: sled::Tree,
}

impl SledBackend {
    /// Opens or creates the database.
    ///
    /// # Errors
    /// When the folder is not writable, in use by another process, or damaged.
    pub fn open(folder: &Path, cache_bytes: u64) -> Result<Self, StoreError> {
        let trees = open(folder, cache_bytes).map_err(|err| explain(&err, folder))?;
        Ok(Self {
            folder: folder.to_owned(),
            cache_bytes,
            state: RwLock::new(State::Open(trees)),
        })
    }

    /// The open database; opens it if it is closed.
    fn trees(&self) -> Result<Trees, StoreError> {
        if let State::Open(trees) = &*self.state.read().unwrap_or_else(PoisonError::into_inner) {
            return Ok(trees.clone());
        }
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        let kept = match &*state {
            State::Open(trees) => return Ok(trees.clone()),
            State::Closed(kept) => kept,
        };
        // sled panics on some damaged files.
        let reopened = catch_unwind(AssertUnwindSafe(|| self.reopen(kept)));
        let trees = match reopened {
            Ok(Ok(trees)) => Ok(trees),
            Ok(Err(err)) if !is_damage(&err) => Err(err),
            Ok(Err(_)) | Err(_) => {
                self.set_aside()?;
                self.reopen(kept)
            }
        }
        .map_err(|err| explain(&err, &self.folder))?;
        *state = State::Open(trees.clone());
        Ok(trees)
    }

    /// Opens the database and writes what it should hold and does not.
    fn reopen(&self, kept: &Kept) -> sled::Result<Trees> {
        let trees = open(&self.folder, self.cache_bytes)?;
        for (tree, kept) in [
            (&trees.attachments, &kept.attachments),
            (&trees.tiers, &kept.tiers),
        ] {
            for (key, value) in kept {
                if tree.get(key)?.as_deref() != Some(value) {
                    tree.insert(key, value.as_slice())?;
                }
            }
        }
        trees.db.flush()?;
        Ok(trees)
    }

    /// Makes room for a new database where the old one is damaged.
    fn set_aside(&self) -> Result<(), StoreError> {
        let mut aside = self.folder.clone().into_os_string();
        aside.push(".damaged");
        let aside = PathBuf::from(aside);
        let moved = match std::fs::remove_dir_all(&aside) {
            Err(err) if err.kind() != ErrorKind::NotFound => Err(err),
            _ => std::fs::rename(&self.folder, &aside),
        };
        let (folder, aside) = (self.folder.display(), aside.display());
        moved.map_err(|err| {
            StoreError::new(format!(
                "the store in {folder} is damaged and cannot be moved to {aside}: {err}; check \
                 permissions"
            ))
        })?;
        tracing::error!(
            "the store in {folder} is damaged; what it held is written to a new one. The old one is \
             {aside} and can be deleted"
        );
        Ok(())
    }

    /// Closes the database after an error. It can still read what it has not to write for.
    pub(super) fn failed(&self, err: &sled::Error) -> StoreError {
        let open = match &*self.state.read().unwrap_or_else(PoisonError::into_inner) {
            State::Open(trees) => Some(trees.clone()),
            State::Closed(_) => None,
        };
        if let Some(trees) = open {
            // Read before the lock is taken, and closed after it is given back: workers that wake
            // shards wait for it.
            let kept = Kept {
                attachments: readable(&trees.attachments),
                tiers: readable(&trees.tiers),
            };
            let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
            let before = std::mem::replace(&mut *state, State::Closed(kept));
            if let State::Closed(kept) = before {
                // Another thread was quicker.
                *state = State::Closed(kept);
            }
            drop(state);
        }
        explain(err, &self.folder)
    }
}

/// The entries that can be read, from both ends. sled's iterators stay where they fail and fail
/// again for ever, so each is left at its first failure: what lies between two pages that cannot be
/// read is given up.
fn readable(tree: &sled::Tree) -> BTreeMap<Vec<u8>, Vec<u8>> {
    let owned = |entry: sled::Result<(sled::IVec, sled::IVec)>| {
        let (key, value) = entry.ok()?;
        Some((key.to_vec(), value.to_vec()))
    };
    let mut kept: BTreeMap<_, _> = tree.iter().map_while(owned).collect();
    let last = kept.last_key_value().map(|(key, _)| key.clone());
    // As far as the first pass came, if it came to the end.
    let rest = tree.iter().rev().map_while(owned);
    kept.extend(rest.take_while(|(key, _)| Some(key) > last.as_ref()));
    kept
}

impl Backend for SledBackend {
    fn scan(&self, prefix: &[u8]) -> Result<Entries, StoreError> {
        let trees = match &*self.state.read().unwrap_or_else(PoisonError::into_inner) {
            State::Open(trees) => trees.clone(),
            State::Closed(kept) => {
                let from_prefix = kept.attachments.range(prefix.to_vec()..);
                let found = from_prefix.take_while(|(key, _)| key.starts_with(prefix));
                return Ok(found
                    .map(|(key, value)| (key.clone(), value.clone()))
                    .collect());
            }
        };
        let entries = trees.attachments.scan_prefix(prefix);
        entries
            .map(|entry| entry.map(|(key, value)| (key.to_vec(), value.to_vec())))
            .collect::<Result<_, _>>()
            .map_err(|err| self.failed(&err))
    }

    fn apply(&self, changes: Changes) -> Result<(), StoreError> {
        let result = {
            let trees = self.trees()?;
            let mut changes = changes.into_iter().peekable();
            let mut result = Ok(());
            while result.is_ok() && changes.peek().is_some() {
                let mut batch = sled::Batch::default();
                for (key, value) in changes.by_ref().take(BATCH) {
                    match value {
                        Some(value) => batch.insert(key, value),
                        None => batch.remove(key),
                    }
                }
                result = trees.attachments.apply_batch(batch);
            }
            result.and_then(|()| trees.db.flush())
        };
        result.map(drop).map_err(|err| self.failed(&err))
    }

    fn tiers(&self) -> Result<BTreeMap<String, String>, StoreError> {
        let text = |bytes: sled::IVec| String::from_utf8_lossy(&bytes).into_owned();
        let entries = self.trees()?.tiers.iter();
        entries
            .map(|entry| entry.map(|(user, tier)| (text(user), text(tier))))
            .collect::<Result<_, _>>()
            .map_err(|err| self.failed(&err))
    }

    fn set_tier(&self, user: &str, tier: Option<&str>) -> Result<(), StoreError> {
        let result = {
            let trees = self.trees()?;
            match tier {
                Some(tier) => trees.tiers.insert(user, tier),
                None => trees.tiers.remove(user),
            }
            .and_then(|_| trees.db.flush())
        };
        result.map(drop).map_err(|err| self.failed(&err))
    }

    fn nudge(&self) {
        let trees = match &*self.state.read().unwrap_or_else(PoisonError::into_inner) {
            State::Open(trees) => trees.clone(),
            State::Closed(_) => return,
        };
        // Wakes every flush after a failure; without one it waits with them. The write that is
        // woken tells how it ended.
        let _ = trees.db.flush();
    }
}

fn open(folder: &Path, cache_bytes: u64) -> sled::Result<Trees> {
    let db = sled::Config::new()
        .path(folder)
        .cache_capacity(cache_bytes)
        .mode(sled::Mode::LowSpace)
        .segment_size(SEGMENT_BYTES)
        // Durability comes from the flush after each group, not from a timer.
        .flush_every_ms(None)
        .open()?;
    let attachments = db.open_tree("attachments")?;
    let tiers = db.open_tree("tiers")?;
    // The first write sets up 2 MB of buffers and page table, and shows a disk that cannot be
    // written to: both belong to the start.
    attachments.insert(PROBE, &[0])?;
    attachments.remove(PROBE)?;
    db.flush()?;
    Ok(Trees {
        db,
        attachments,
        tiers,
    })
}

/// Whether a database cannot be opened because of what is in its files.
fn is_damage(err: &sled::Error) -> bool {
    match err {
        sled::Error::Io(err) => matches!(
            err.kind(),
            ErrorKind::UnexpectedEof | ErrorKind::InvalidData
        ),
        _ => true,
    }
}

fn explain(err: &sled::Error, folder: &Path) -> StoreError {
    let folder = folder.display();
    StoreError::new(match err {
        sled::Error::Io(err) if err.to_string().contains("lock") => format!(
            "the store in {folder} is in use by another process; stop it or set another data_dir"
        ),
        sled::Error::Io(err) => {
            format!("the store in {folder} fails: {err}; check free space and permissions")
        }
        sled::Error::Corruption { .. } => format!(
            "the store in {folder} is damaged; move the folder away and start again (it holds \
             sleeping connections, which are gone anyway, and tier overrides)"
        ),
        err => format!("the store in {folder} fails: {err}"),
    })
}
