//! What a client has missed (contract realtime.md 5.12): every entity whose last change has a
//! number over the one that the client has seen.

use serde::Serialize;
use serde_json::value::RawValue;
use sqlx::{AnyConnection, Row as _};

use super::artifacts::{self, Artifact, ArtifactHeader, header_columns};
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

/// What a client has missed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delta {
    /// The acknowledgement's JSON.
    pub ack: String,
    /// The account's sequence when it was read: nothing later is in it.
    pub as_of: i64,
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

/// Artifacts changed after a number, in order; without their bodies, most of which are not sent.
pub const CHANGED_ARTIFACTS: &str = concat!(
    "SELECT ",
    header_columns!(),
    ", body_version, change_seq, create_seq FROM artifacts \
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

/// What has changed since. All queries must see the same state. An answer of more than `most` bytes,
/// which no connection would take, tells the client to fetch everything.
///
/// # Errors
/// The database's.
pub async fn since(
    reader: &mut AnyConnection,
    account: &str,
    seen: Seen,
    most: usize,
) -> Result<Delta, SyncError> {
    let (as_of, purged) = sequence(reader, account).await?;
    let ack = if [seen.sessions, seen.machines, seen.artifacts]
        .iter()
        .any(|seen| *seen > 0 && *seen < purged)
    {
        refetch()
    } else {
        changes(reader, account, seen, most).await?
    };
    Ok(Delta { ack, as_of })
}

/// The account's sequence now, and the highest number among tombstones that were removed for their
/// age: whoever has seen less would need them.
async fn sequence(reader: &mut AnyConnection, account: &str) -> Result<(i64, i64), SyncError> {
    let row = sqlx::query("SELECT seq, purged_seq FROM accounts WHERE id = $1")
        .bind(account)
        .fetch_optional(reader)
        .await?;
    row.map_or(Ok((0, 0)), |row| Ok((row.try_get(0)?, row.try_get(1)?)))
}

/// The account's sequence now.
///
/// # Errors
/// The database's.
pub async fn current_seq(reader: &mut AnyConnection, account: &str) -> Result<i64, SyncError> {
    Ok(sequence(reader, account).await?.0)
}

async fn changes(
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
    let (mut count, most) = (0, SESSIONS as usize);
    for row in &rows {
        let session = sessions::read(row)?;
        let (seq, created): (i64, i64) = (row.try_get(11)?, row.try_get(12)?);
        let archived: Option<i64> = row.try_get(13)?;
        let reason: Option<String> = row.try_get(14)?;
        let (sid, at) = (session.id.as_str(), session.updated_at);
        if created > seen {
            answer.push("new-session", &sessions::new_session(&session), seq, at);
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
        count += 1;
        if count == most {
            break;
        }
        // Beside the above: it may have changed before it was archived, or since.
        if let Some(archived_at) = archived {
            let update = Update::ArchiveSession {
                sid,
                archived_at,
                archive_reason: reason.as_deref().unwrap_or("user_requested"),
            };
            answer.push("archive-session", &update, seq, at);
            count += 1;
            if count == most {
                break;
            }
        }
    }
    Ok(count)
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
        let (seq, created): (i64, i64) = (row.try_get(8)?, row.try_get(9)?);
        found.push((seq, created, artifacts::read_header(row)?, row.try_get(7)?));
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
    for (seq, created, head, body_version) in found {
        if seq > last {
            break;
        }
        let at = head.updated_at;
        if answer.bytes > WITHOUT_BODIES {
            let update = Update::UpdateArtifact {
                artifact_id: &head.id,
                header: Some(header(&head)),
                body: None,
            };
            answer.push("update-artifact", &update, seq, at);
            continue;
        }
        let artifact = Artifact {
            body: artifacts::body(reader, &head.id).await?,
            body_version,
            head,
        };
        if created > seen {
            let update = artifacts::new_artifact(&artifact);
            answer.push("new-artifact", &update, seq, at);
            continue;
        }
        let update = Update::UpdateArtifact {
            artifact_id: &artifact.head.id,
            header: Some(header(&artifact.head)),
            body: Some(Versioned {
                value: artifact.body.as_str(),
                version: artifact.body_version,
            }),
        };
        answer.push("update-artifact", &update, seq, at);
    }
    for (id, seq, at) in gone.iter().filter(|(_, seq, _)| *seq <= last) {
        let update = Update::DeleteArtifact { artifact_id: id };
        answer.push("delete-artifact", &update, *seq, *at);
    }
    Ok(numbers.len().min(ARTIFACTS))
}

fn header(head: &ArtifactHeader) -> Versioned<&str> {
    Versioned {
        value: head.header.as_str(),
        version: head.header_version,
    }
}
