//! What updates and ephemerals say (contract realtime.md sections 7 and 8), and the frames that
//! carry them.
//!
//! Where the two kinds of clients have two names for an id, both are there (contract socketio.md
//! section 7): plain ones read `sid` and `machineId`, older ones `id`.

use serde::Serialize;
use serde_json::value::RawValue;

use crate::database::new_id;

/// A value and its version.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Versioned<T> {
    /// The value.
    pub value: T,
    /// Its version.
    pub version: i64,
}

/// A message as clients see it inside an update.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct MessageBody<'a> {
    /// The id.
    pub id: &'a str,
    /// Its number in the session, from 1.
    pub seq: i64,
    /// As it was sent.
    pub content: &'a RawValue,
    /// The client's own id.
    pub local_id: Option<&'a str>,
    /// Unix ms.
    pub created_at: i64,
    /// Unix ms.
    pub updated_at: i64,
}

/// The body of an update; field lists are exact.
#[derive(Debug, Serialize)]
#[serde(tag = "t", rename_all = "kebab-case", rename_all_fields = "camelCase")]
#[expect(missing_docs, reason = "the names are the contract's")]
pub enum Update<'a> {
    NewMessage {
        sid: &'a str,
        message: MessageBody<'a>,
    },
    NewSession {
        sid: &'a str,
        id: &'a str,
        seq: i64,
        metadata: &'a str,
        metadata_version: i64,
        agent_state: Option<&'a str>,
        agent_state_version: i64,
        data_encryption_key: Option<&'a str>,
        active: bool,
        active_at: i64,
        created_at: i64,
        updated_at: i64,
    },
    UpdateSession {
        sid: &'a str,
        id: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        metadata: Option<Versioned<&'a str>>,
        #[serde(skip_serializing_if = "Option::is_none")]
        agent_state: Option<Versioned<Option<&'a str>>>,
    },
    DeleteSession {
        sid: &'a str,
    },
    ArchiveSession {
        sid: &'a str,
        archived_at: i64,
        archive_reason: &'a str,
    },
    NewMachine {
        machine_id: &'a str,
        seq: i64,
        metadata: &'a str,
        metadata_version: i64,
        daemon_state: Option<&'a str>,
        daemon_state_version: i64,
        data_encryption_key: Option<&'a str>,
        active: bool,
        active_at: i64,
        created_at: i64,
        updated_at: i64,
    },
    UpdateMachine {
        machine_id: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        metadata: Option<Versioned<&'a str>>,
        #[serde(skip_serializing_if = "Option::is_none")]
        daemon_state: Option<Versioned<&'a str>>,
        #[serde(skip_serializing_if = "Option::is_none")]
        active: Option<bool>,
        #[serde(skip_serializing_if = "Option::is_none")]
        active_at: Option<i64>,
    },
    NewArtifact {
        artifact_id: &'a str,
        seq: i64,
        header: &'a str,
        header_version: i64,
        body: &'a str,
        body_version: i64,
        data_encryption_key: &'a str,
        created_at: i64,
        updated_at: i64,
    },
    UpdateArtifact {
        artifact_id: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        header: Option<Versioned<&'a str>>,
        #[serde(skip_serializing_if = "Option::is_none")]
        body: Option<Versioned<&'a str>>,
    },
    DeleteArtifact {
        artifact_id: &'a str,
    },
}

/// The body of an ephemeral.
#[derive(Debug, Serialize)]
#[serde(
    tag = "type",
    rename_all = "kebab-case",
    rename_all_fields = "camelCase"
)]
#[expect(missing_docs, reason = "the names are the contract's")]
pub enum Ephemeral<'a> {
    Activity {
        sid: &'a str,
        id: &'a str,
        active: bool,
        active_at: i64,
        thinking: bool,
    },
    MachineActivity {
        machine_id: &'a str,
        id: &'a str,
        active: bool,
        active_at: i64,
    },
    Usage {
        sid: &'a str,
        id: &'a str,
        key: &'a str,
        tokens: &'a RawValue,
        cost: &'a RawValue,
        timestamp: i64,
    },
    SessionEvent {
        session_id: &'a str,
        sid: &'a str,
        kind: &'a str,
        title: &'a str,
        body: &'a str,
        timestamp: i64,
    },
}

/// A frame of the server: `{"event","data"}`.
#[derive(Serialize)]
struct Frame<'a, T> {
    event: &'a str,
    data: T,
}

/// What carries an update.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Container<'a, T> {
    id: String,
    seq: i64,
    body: &'a T,
    created_at: i64,
}

/// The frame of an update with the account's sequence number `seq`, made at `now`, Unix ms.
pub fn update_frame(seq: i64, now: i64, body: &impl Serialize) -> String {
    let data = Container {
        id: new_id(),
        seq,
        body,
        created_at: now,
    };
    json(&Frame {
        event: "update",
        data,
    })
}

/// The frame of an ephemeral.
pub fn ephemeral_frame(body: &impl Serialize) -> String {
    json(&Frame {
        event: "ephemeral",
        data: body,
    })
}

/// JSON of a value that always has one: structs of texts, numbers and JSON.
pub fn json(value: &impl Serialize) -> String {
    serde_json::to_string(value).unwrap_or_default()
}
