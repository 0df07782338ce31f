//! The keys of an issuer in a JWKS file (RFC 7517 section 5), read again when the file changes.
//!
//! Owns the file's keys and the decision when to look at it again. Called by the issuer code:
//! [`JwksFile::reload_if_due`] before keys are used, on whatever thread. It must never lose working
//! keys to a broken file: only a good new file replaces them.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::SystemTime;

use jsonwebtoken::jwk::Jwk;
use serde::Deserialize;
use serde_json::Value;

use super::key::{KeyError, VerificationKey};

/// How often the file is looked at, at most, in milliseconds. One look is one `stat`, on the
/// thread that asks; the file is read only after a change.
pub(crate) const CHECK_INTERVAL_MS: u64 = 10_000;

/// Longest file that is read, in bytes.
const MAX_FILE_BYTES: u64 = 1024 * 1024;

/// A JWKS file and the keys that were last read from it.
#[derive(Debug)]
pub(crate) struct JwksFile {
    path: PathBuf,
    keys: RwLock<Arc<[VerificationKey]>>,
    /// What the file looked like when it was last read, well or not; `None` when it was missing.
    seen: Mutex<Option<Stamp>>,
    next_check_ms: AtomicU64,
    generation: AtomicU64,
}

/// Enough of a file's metadata to see a change: time and length for a file that is written over,
/// the inode for one that is replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    modified: SystemTime,
    bytes: u64,
    inode: u64,
}

#[derive(Deserialize)]
struct JwkSet {
    keys: Vec<Value>,
}

impl JwksFile {
    /// Reads the file for the first time.
    pub fn open(path: &Path, now_ms: u64) -> Result<Self, KeyError> {
        let (keys, stamp) = read(path)?;
        Ok(Self {
            path: path.to_path_buf(),
            keys: RwLock::new(keys),
            seen: Mutex::new(Some(stamp)),
            next_check_ms: AtomicU64::new(now_ms.saturating_add(CHECK_INTERVAL_MS)),
            generation: AtomicU64::new(0),
        })
    }

    /// The keys.
    pub fn keys(&self) -> Arc<[VerificationKey]> {
        Arc::clone(&self.keys.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Grows each time the keys are replaced, after [`Self::keys`] gives the new ones.
    pub fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    /// Looks at the file if [`CHECK_INTERVAL_MS`] have passed since the last look, and reads it if
    /// it changed. A file that is broken or gone keeps the old keys and is warned about once per
    /// change.
    pub fn reload_if_due(&self, now_ms: u64) {
        let next_ms = self.next_check_ms.load(Ordering::Relaxed);
        // The second half: the clock stepped back, so the time for the next look is far off.
        if now_ms < next_ms && next_ms - now_ms <= CHECK_INTERVAL_MS {
            return;
        }
        let after = now_ms.saturating_add(CHECK_INTERVAL_MS);
        let claimed = self.next_check_ms.compare_exchange(
            next_ms,
            after,
            Ordering::Relaxed,
            Ordering::Relaxed,
        );
        // One thread looks; the others use the keys there are.
        if claimed.is_ok() {
            self.reload_if_changed();
        }
    }

    fn reload_if_changed(&self) {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let now_seen = std::fs::metadata(&self.path)
            .and_then(|metadata| Stamp::of(&metadata))
            .ok();
        if now_seen == *seen {
            return;
        }
        *seen = now_seen;
        match read(&self.path) {
            Ok((keys, stamp)) => {
                *seen = Some(stamp);
                tracing::info!(path = %self.path.display(), keys = keys.len(), "JWKS file read");
                *self.keys.write().unwrap_or_else(PoisonError::into_inner) = keys;
                // Release: who sees the new generation finds the new keys.
                self.generation.fetch_add(1, Ordering::Release);
            }
            Err(err) => {
                tracing::warn!(error = %err, "the JWKS file is broken; its earlier keys stay");
            }
        }
    }
}

impl Stamp {
    fn of(metadata: &std::fs::Metadata) -> io::Result<Self> {
        Ok(Self {
            modified: metadata.modified()?,
            bytes: metadata.len(),
            inode: metadata.ino(),
        })
    }
}

/// Reads a file's keys, with the stamp of the very file that was read.
fn read(path: &Path) -> Result<(Arc<[VerificationKey]>, Stamp), KeyError> {
    let unreadable = |source| KeyError::JwksUnreadable {
        path: path.to_path_buf(),
        source,
    };
    let file = File::open(path).map_err(unreadable)?;
    let stamp = file
        .metadata()
        .and_then(|metadata| Stamp::of(&metadata))
        .map_err(unreadable)?;
    let mut content = Vec::new();
    file.take(MAX_FILE_BYTES + 1)
        .read_to_end(&mut content)
        .map_err(unreadable)?;
    if content.len() as u64 > MAX_FILE_BYTES {
        return Err(KeyError::JwksMalformed {
            path: path.to_path_buf(),
        });
    }
    Ok((parse(&content, path)?, stamp))
}

/// The usable keys of a set; the others are left out (RFC 7517 section 5) and counted in the log.
fn parse(content: &[u8], path: &Path) -> Result<Arc<[VerificationKey]>, KeyError> {
    let set: JwkSet = serde_json::from_slice(content).map_err(|_| KeyError::JwksMalformed {
        path: path.to_path_buf(),
    })?;
    let listed = set.keys.len();
    let keys: Arc<[_]> = set
        .keys
        .into_iter()
        .filter_map(|key| VerificationKey::from_jwk(&serde_json::from_value::<Jwk>(key).ok()?))
        .collect();
    if keys.is_empty() {
        return Err(KeyError::JwksEmpty {
            path: path.to_path_buf(),
        });
    }
    if keys.len() < listed {
        tracing::warn!(
            path = %path.display(),
            unused = listed - keys.len(),
            "the JWKS file has keys that are not for RS256, ES256 or EdDSA signatures"
        );
    }
    Ok(keys)
}

#[cfg(test)]
mod tests;
