//! The audit log: what admins did, when, to whom, and how it ended.
//!
//! Owns the file `audit.jsonl` of the data folder and the newest entries in memory. An action is
//! written before it is done, so that nothing is done that is not on record; how it ended follows
//! on a line of its own. It must never hold a token or the contents of a message.

use std::collections::VecDeque;
use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use crate::clock::unix_ms;

/// Entries that are kept in memory, and so can be shown.
const KEPT: usize = 1000;
/// Size at which the file is set aside as `audit.jsonl.1`, in place of the one before.
const MOST_BYTES: u64 = 8 << 20;

/// What an admin can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum AuditAction {
    /// Sent a message to connections.
    Broadcast,
    /// Closed one connection.
    CloseConnection,
    /// Closed all connections of a user.
    DisconnectUser,
    /// Gave a user a tier.
    SetTier,
    /// Took a user's own tier back.
    ClearTier,
    /// Began to drain the server.
    Drain,
    /// Made a token of a test user.
    TryIt,
    /// Let an account in.
    ApproveAccount,
    /// Refused an account.
    BlockAccount,
    /// Deleted an account.
    DeleteAccount,
    /// Made an invitation.
    CreateInvite,
    /// Made an invitation useless.
    RevokeInvite,
    /// Made a key of a tenant.
    CreateApiKey,
    /// Revoked a key of a tenant.
    RevokeApiKey,
}

/// How an action ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum AuditOutcome {
    /// Begun; where this is old, the server ended before it could tell more.
    Begun,
    /// Done; the result tells what came of it.
    Done,
    /// Refused or failed; the result tells why.
    Failed,
}

/// One action.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct AuditEntry {
    /// Its number, from 1; higher is newer.
    pub id: u64,
    /// When it began, Unix milliseconds.
    pub at: u64,
    /// Who: the name in the admin token.
    pub admin: String,
    /// What.
    pub action: AuditAction,
    /// To whom: a user, a connection, or who a broadcast was for.
    pub target: String,
    /// Its parameters, without contents of messages.
    pub detail: Value,
    /// How it ended.
    pub outcome: AuditOutcome,
    /// What came of it, such as how many connections were closed; null until it ended.
    pub result: Value,
}

/// A line that tells how an entry before it ended.
#[derive(Debug, Serialize, Deserialize)]
struct Ending {
    id: u64,
    outcome: AuditOutcome,
    result: Value,
}

/// A line of the file.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Line {
    Entry(AuditEntry),
    Ending(Ending),
}

/// The log of one data folder.
#[derive(Debug)]
pub struct AuditLog {
    /// Held while a line reaches the disk; never on a thread that serves.
    file: Mutex<LogFile>,
    recent: Mutex<VecDeque<AuditEntry>>,
    changes: AtomicU64,
}

#[derive(Debug)]
struct LogFile {
    path: PathBuf,
    file: File,
    bytes: u64,
    next_id: u64,
}

impl AuditLog {
    /// Opens the log of a data folder, or begins one. Lines that cannot be read are skipped.
    ///
    /// # Errors
    /// When the file cannot be opened or read.
    pub fn open(folder: &Path) -> io::Result<Self> {
        let path = folder.join("audit.jsonl");
        let mut recent = VecDeque::new();
        let mut last_id = 0;
        match std::fs::read_to_string(set_aside(&path)) {
            Ok(older) => read_lines(&older, &mut recent, &mut last_id),
            Err(err) if err.kind() == io::ErrorKind::NotFound => {}
            Err(err) => return Err(err),
        }
        let mut file = append(&path)?;
        let mut bytes = Vec::new();
        file.seek(SeekFrom::Start(0))?;
        file.read_to_end(&mut bytes)?;
        read_lines(&String::from_utf8_lossy(&bytes), &mut recent, &mut last_id);
        // A line that a dying process left half written must not swallow the next.
        if bytes.last().is_some_and(|last| *last != b'\n') {
            file.write_all(b"\n")?;
            bytes.push(b'\n');
        }
        Ok(Self {
            file: Mutex::new(LogFile {
                path,
                file,
                bytes: bytes.len() as u64,
                next_id: last_id + 1,
            }),
            recent: Mutex::new(recent),
            changes: AtomicU64::new(0),
        })
    }

    /// Puts an action on record before it is done.
    ///
    /// # Errors
    /// When it cannot be written; then it must not be done.
    pub async fn begin(
        self: &Arc<Self>,
        admin: &str,
        action: AuditAction,
        target: impl Into<String>,
        detail: Value,
    ) -> io::Result<OpenEntry> {
        let mut entry = AuditEntry {
            id: 0,
            at: unix_ms(),
            admin: admin.to_owned(),
            action,
            target: target.into(),
            detail,
            outcome: AuditOutcome::Begun,
            result: Value::Null,
        };
        let log = self.clone();
        let id = blocking(move || {
            let mut file = lock(&log.file);
            entry.id = file.next_id;
            file.write(&entry)?;
            file.next_id += 1;
            // Under the file's lock, so that entries are in order here as well.
            let mut recent = lock(&log.recent);
            recent.push_back(entry);
            if recent.len() > KEPT {
                recent.pop_front();
            }
            log.changes.fetch_add(1, Ordering::Relaxed);
            Ok(file.next_id - 1)
        })
        .await?;
        Ok(OpenEntry {
            log: self.clone(),
            id,
        })
    }

    /// The newest entries before the one of this number, newest first.
    pub fn newest(&self, before: Option<u64>, most: usize) -> Vec<AuditEntry> {
        let recent = lock(&self.recent);
        let older = recent.iter().rev();
        older
            .skip_while(|entry| before.is_some_and(|before| entry.id >= before))
            .take(most)
            .cloned()
            .collect()
    }

    /// A number that grows with every entry and every ending.
    pub fn version(&self) -> u64 {
        self.changes.load(Ordering::Relaxed)
    }
}

/// An action on record that has not ended.
#[derive(Debug)]
pub struct OpenEntry {
    log: Arc<AuditLog>,
    id: u64,
}

impl OpenEntry {
    /// Records that it was done, and what came of it.
    pub async fn done(self, result: Value) {
        self.end(AuditOutcome::Done, result).await;
    }

    /// Records that it was refused or failed, and why.
    pub async fn failed(self, why: &dyn std::fmt::Display) {
        self.end(AuditOutcome::Failed, Value::String(why.to_string()))
            .await;
    }

    async fn end(self, outcome: AuditOutcome, result: Value) {
        let Self { log, id } = self;
        let ending = Ending {
            id,
            outcome,
            result,
        };
        let written = blocking(move || {
            let written = lock(&log.file).write(&ending);
            let mut recent = lock(&log.recent);
            if let Some(entry) = recent.iter_mut().rev().find(|entry| entry.id == id) {
                entry.outcome = ending.outcome;
                entry.result = ending.result;
            }
            log.changes.fetch_add(1, Ordering::Relaxed);
            written
        })
        .await;
        if let Err(err) = written {
            tracing::error!(%err, id, "cannot record how an admin's action ended");
        }
    }
}

impl LogFile {
    fn write(&mut self, line: &impl Serialize) -> io::Result<()> {
        let mut text = serde_json::to_vec(line)?;
        text.push(b'\n');
        if self.bytes > 0 && self.bytes + text.len() as u64 > MOST_BYTES {
            std::fs::rename(&self.path, set_aside(&self.path))?;
            self.file = append(&self.path)?;
            self.bytes = 0;
        }
        let written = self
            .file
            .write_all(&text)
            .and_then(|()| self.file.sync_data());
        match written {
            Ok(()) => self.bytes += text.len() as u64,
            // Half a line must not stay: the next would be lost with it.
            Err(_) => self.file.set_len(self.bytes)?,
        }
        written
    }
}

/// Where the file before goes.
fn set_aside(path: &Path) -> PathBuf {
    path.with_extension("jsonl.1")
}

fn append(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .read(true)
        .append(true)
        .create(true)
        .mode(0o600)
        .open(path)
}

fn read_lines(text: &str, recent: &mut VecDeque<AuditEntry>, last_id: &mut u64) {
    for line in text.lines().filter(|line| !line.is_empty()) {
        match serde_json::from_str(line) {
            Ok(Line::Entry(entry)) => {
                *last_id = entry.id.max(*last_id);
                recent.push_back(entry);
                if recent.len() > KEPT {
                    recent.pop_front();
                }
            }
            Ok(Line::Ending(Ending {
                id,
                outcome,
                result,
            })) => {
                if let Some(entry) = recent.iter_mut().rev().find(|entry| entry.id == id) {
                    entry.outcome = outcome;
                    entry.result = result;
                }
            }
            Err(err) => tracing::warn!(%err, "a line of the audit log cannot be read"),
        }
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(io::Error::other)?
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
