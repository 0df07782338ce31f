//! What a client has missed (contract realtime.md 5.12): every entity whose last change has a
//! number over the one that the client has seen.

use serde::Serialize;
use serde_json::value::RawValue;
use sqlx::{AnyConnection, Row as _};

use super::artifacts::{self, artifact_columns};
use super::bodies::{Update, Versioned, json};
use super::error::SyncError;
use super::machines::{self, machine_columns};
use super::sessions::{self, session_columns};
use super::tombstones::{self, Kind};

/// Most sessions of an answer, and most deleted ones.
const SESSIONS: i64 = 100;
/// Most machines of an answer.
const MACHINES: i64 = 50;
/// Most artifacts of an answer, deleted ones included.
const ARTIFACTS: usize = 100;
/// Size from which on artifacts come without their bodies, bytes.
const WITHOUT_BODIES: usize = 1 << 20;

/// The highest numbers that a client has seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seen {
    /// In updates of sessions.
    pub sessions: i64,
    /// In updates of machines.
    pub machines: i64,
    /// In updates of artifacts.
    pub artifacts: i64,
}

/// One update of an answer.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Item {
    #[serde(rename = "type")]
    kind: &'static str,
    data: Box<RawValue>,
    seq: i64,
    created_at: i64,
}

/// How many updates of each sort an answer has.
#[derive(Clone, Copy, Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct Counts {
    sessions: usize,
    deleted_sessions: usize,
    machines: usize,
    artifacts: usize,
}

/// Why a client has to fetch everything anew.
const REFETCH: &str = "too much has changed; fetch everything";

/// Sessions changed after a number, in order.
pub const CHANGED_SESSIONS: &str = concat!(
    "SELECT ",
    session_columns!(),
    ", change_seq, create_seq, archived_at, archive_reason FROM sessions \
     WHERE account_id = $1 AND change_seq > $2 ORDER BY change_seq LIMIT $3"
);

/// Machines changed after a number, in order.
pub const CHANGED_MACHINES: &str = concat!(
    "SELECT ",
    machine_columns!(),
    ", change_seq, create_seq FROM machines \
     WHERE account_id = $1 AND change_seq > $2 ORDER BY change_seq LIMIT $3"
);

/// Artifacts changed after a number, in order.
pub const CHANGED_ARTIFACTS: &str = concat!(
    "SELECT ",
    artifact_columns!(),
    ", change_seq, create_seq FROM artifacts \
     WHERE account_id = $1 AND change_seq > $2 ORDER BY change_seq LIMIT $3"
);

/// The updates of one answer, and the bytes that they take.
#[derive(Default)]
struct Answer {
    items: Vec<Item>,
    bytes: usize,
}

impl Answer {
    fn push(&mut self, kind: &'static str, body: &Update<'_>, seq: i64, created_at: i64) {
        let text = json(body);
        self.bytes += text.len();
        // The text was made by a serializer.
        if let Ok(data) = RawValue::from_string(text) {
            self.items.push(Item {
                kind,
                data,
                seq,
                created_at,
            });
        }
    }
}

/// The acknowledgement's JSON. All queries must see the same state. An answer of more than `most`
/// bytes, which no connection would take, tells the client to fetch everything.
///
/// # Errors
/// The database's.
pub async fn since(
    reader: &mut AnyConnection,
    account: &str,
    seen: Seen,
    most: usize,
) -> Result<String, SyncError> {
    #[derive(Serialize)]
    struct Done {
        success: bool,
        updates: Vec<Item>,
        counts: Counts,
    }

    if is_too_old(reader, account, seen).await? {
        return Ok(refetch());
    }
    let (mut answer, mut counts) = (Answer::default(), Counts::default());
    counts.sessions = add_sessions(reader, account, seen.sessions, &mut answer).await?;
    if seen.sessions > 0 {
        let gone =
            tombstones::since(reader, account, Kind::Session, seen.sessions, SESSIONS).await?;
        counts.deleted_sessions = gone.len();
        for (id, seq, at) in &gone {
            answer.push(
                "delete-session",
                &Update::DeleteSession { sid: id },
                *seq,
                *at,
            );
        }
    }
    counts.machines = add_machines(reader, account, seen.machines, &mut answer).await?;
    counts.artifacts = add_artifacts(reader, account, seen.artifacts, &mut answer).await?;
    if answer.bytes > most {
        return Ok(refetch());
    }
    answer.items.sort_by_key(|item| item.seq);
    Ok(json(&Done {
        success: true,
        updates: answer.items,
        counts,
    }))
}

fn refetch() -> String {
    super::acks::Shape::Success.error(REFETCH)
}

/// Whether tombstones that the client would need were removed for their age.
async fn is_too_old(
    reader: &mut AnyConnection,
    account: &str,
    seen: Seen,
) -> Result<bool, SyncError> {
    let row = sqlx::query("SELECT purged_seq FROM accounts WHERE id = $1")
        .bind(account)
        .fetch_optional(reader)
        .await?;
    let purged: i64 = row.map_or(Ok(0), |row| row.try_get(0))?;
    Ok([seen.sessions, seen.machines, seen.artifacts]
        .iter()
        .any(|seen| *seen > 0 && *seen < purged))
}

async fn add_sessions(
    reader: &mut AnyConnection,
    account: &str,
    seen: i64,
    answer: &mut Answer,
) -> Result<usize, SyncError> {
    let rows = sqlx::query(CHANGED_SESSIONS)
        .bind(account)
        .bind(seen)
        .bind(SESSIONS)
        .fetch_all(&mut *reader)
        .await?;
    for row in &rows {
        let session = sessions::read(row)?;
        let (seq, created): (i64, i64) = (row.try_get(11)?, row.try_get(12)?);
        let archived: Option<i64> = row.try_get(13)?;
        let reason: Option<String> = row.try_get(14)?;
        let (sid, at) = (session.id.as_str(), session.updated_at);
        if created > seen {
            answer.push("new-session", &sessions::new_session(&session), seq, at);
        } else if let Some(archived_at) = archived {
            let update = Update::ArchiveSession {
                sid,
                archived_at,
                archive_reason: reason.as_deref().unwrap_or("user_requested"),
            };
            answer.push("archive-session", &update, seq, at);
        } else {
            // A state that was taken back is told of as well: its version is not 0.
            let state = session.agent_state.as_deref();
            let has_state = session.agent_state_version > 0;
            let update = Update::UpdateSession {
                sid,
                id: sid,
                metadata: Some(Versioned {
                    value: session.metadata.as_str(),
                    version: session.metadata_version,
                }),
                agent_state: has_state.then_some(Versioned {
                    value: state,
                    version: session.agent_state_version,
                }),
            };
            answer.push("update-session", &update, seq, at);
        }
    }
    Ok(rows.len())
}

async fn add_machines(
    reader: &mut AnyConnection,
    account: &str,
    seen: i64,
    answer: &mut Answer,
) -> Result<usize, SyncError> {
    let rows = sqlx::query(CHANGED_MACHINES)
        .bind(account)
        .bind(seen)
        .bind(MACHINES)
        .fetch_all(&mut *reader)
        .await?;
    for row in &rows {
        let machine = machines::read(row)?;
        let (seq, created): (i64, i64) = (row.try_get(12)?, row.try_get(13)?);
        let at = machine.updated_at;
        if created > seen {
            answer.push("new-machine", &machines::new_machine(&machine), seq, at);
            continue;
        }
        let state = machine.daemon_state.as_deref();
        let update = Update::UpdateMachine {
            machine_id: &machine.id,
            metadata: Some(Versioned {
                value: machine.metadata.as_str(),
                version: machine.metadata_version,
            }),
            daemon_state: state.map(|value| Versioned {
                value,
                version: machine.daemon_state_version,
            }),
            active: Some(machine.active),
            active_at: Some(machine.active_at),
        };
        answer.push("update-machine", &update, seq, at);
    }
    Ok(rows.len())
}

/// Changed and deleted artifacts, the oldest changes first, together not more than the limit.
async fn add_artifacts(
    reader: &mut AnyConnection,
    account: &str,
    seen: i64,
    answer: &mut Answer,
) -> Result<usize, SyncError> {
    let most = ARTIFACTS as i64;
    let rows = sqlx::query(CHANGED_ARTIFACTS)
        .bind(account)
        .bind(seen)
        .bind(most)
        .fetch_all(&mut *reader)
        .await?;
    let mut found = Vec::with_capacity(rows.len());
    for row in &rows {
        let (seq, created): (i64, i64) = (row.try_get(9)?, row.try_get(10)?);
        found.push((seq, created, artifacts::read(row)?));
    }
    let gone = if seen > 0 {
        tombstones::since(reader, account, Kind::Artifact, seen, most).await?
    } else {
        Vec::new()
    };
    let mut numbers: Vec<i64> = found.iter().map(|(seq, ..)| *seq).collect();
    numbers.extend(gone.iter().map(|(_, seq, _)| *seq));
    numbers.sort_unstable();
    let last = numbers.get(ARTIFACTS - 1).copied().unwrap_or(i64::MAX);
    for (seq, created, artifact) in found.iter().filter(|(seq, ..)| *seq <= last) {
        let head = &artifact.head;
        if *created > seen && answer.bytes <= WITHOUT_BODIES {
            let update = artifacts::new_artifact(artifact);
            answer.push("new-artifact", &update, *seq, head.updated_at);
            continue;
        }
        let body = (answer.bytes <= WITHOUT_BODIES).then_some(Versioned {
            value: artifact.body.as_str(),
            version: artifact.body_version,
        });
        let update = Update::UpdateArtifact {
            artifact_id: &head.id,
            header: Some(Versioned {
                value: head.header.as_str(),
                version: head.header_version,
            }),
            body,
        };
        answer.push("update-artifact", &update, *seq, head.updated_at);
    }
    for (id, seq, at) in gone.iter().filter(|(_, seq, _)| *seq <= last) {
        let update = Update::DeleteArtifact { artifact_id: id };
        answer.push("delete-artifact", &update, *seq, *at);
    }
    Ok(numbers.len().min(ARTIFACTS))
}
