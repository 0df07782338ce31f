//! Events of sessions and their messages.

use std::sync::Arc;

use dormouse_protocol::Filter;
use serde::{Deserialize, Serialize};

use super::{Event, Immediate, present, sign_of_life};
use crate::sync::acks::{self, versioned};
use crate::sync::bodies::{Ephemeral, ephemeral_frame, json};
use crate::sync::change::Change;
use crate::sync::error::SyncError;
use crate::sync::heartbeats::{self, Heartbeats, Source};
use crate::sync::messages::NewMessage;
use crate::sync::sessions::SessionEnd;
use crate::sync::versioned::VersionedWrite;
use crate::sync::{limits, messages, sessions};

/// `update-metadata` (5.2).
pub async fn update_metadata(
    change: &mut Change<'_>,
    event: Event<'_>,
) -> Result<String, SyncError> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Data {
        sid: String,
        metadata: String,
        expected_version: i64,
    }

    let data: Data = event.read()?;
    limits::filled("sid", &data.sid, limits::ID)?;
    limits::text("metadata", &data.metadata, limits::STATE)?;
    let expected = data.expected_version;
    let written = sessions::write_metadata(change, &data.sid, &data.metadata, expected).await?;
    Ok(match written {
        VersionedWrite::Written(version) => {
            versioned("success", version, "metadata", &data.metadata)
        }
        VersionedWrite::Mismatch { version, value } => {
            versioned("version-mismatch", version, "metadata", &value)
        }
    })
}

/// `update-state` (5.2).
pub async fn update_state(change: &mut Change<'_>, event: Event<'_>) -> Result<String, SyncError> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Data {
        sid: String,
        #[serde(deserialize_with = "present")]
        agent_state: Option<String>,
        expected_version: i64,
    }

    let data: Data = event.read()?;
    limits::filled("sid", &data.sid, limits::ID)?;
    let state = data.agent_state.as_deref();
    if let Some(state) = state {
        limits::text("agentState", state, limits::STATE)?;
    }
    let expected = data.expected_version;
    let written = sessions::write_agent_state(change, &data.sid, state, expected).await?;
    Ok(match written {
        VersionedWrite::Written(version) => versioned("success", version, "agentState", &state),
        VersionedWrite::Mismatch { version, value } => {
            versioned("version-mismatch", version, "agentState", &value)
        }
    })
}

#[derive(Deserialize)]
struct Alive {
    sid: String,
    time: f64,
    #[serde(default)]
    thinking: Option<bool>,
}

impl Alive {
    fn read(event: Event<'_>, now: i64) -> Result<(Self, i64), SyncError> {
        let data: Self = event.read()?;
        limits::filled("sid", &data.sid, limits::ID)?;
        let at = heartbeats::time(data.time, now)?;
        Ok((data, at))
    }

    fn activity(&self, at: i64) -> Ephemeral<'_> {
        Ephemeral::Activity {
            sid: &self.sid,
            id: &self.sid,
            active: true,
            active_at: at,
            thinking: self.thinking.unwrap_or(false),
        }
    }
}

/// `session-alive` (5.3), when it need not be written.
pub fn alive_at_once(
    account: &Arc<str>,
    heartbeats: &Heartbeats,
    event: Event<'_>,
    now: i64,
) -> Option<Immediate> {
    sign_of_life(
        heartbeats,
        now,
        Alive::read(event, now),
        |data| Source::session(account.clone(), &data.sid),
        |data, at| ephemeral_frame(&data.activity(at)),
    )
}

/// `session-alive` (5.3).
pub async fn alive(
    change: &mut Change<'_>,
    heartbeats: &Heartbeats,
    event: Event<'_>,
) -> Result<String, SyncError> {
    let (data, at) = Alive::read(event, change.now())?;
    let source = Source::session(change.account(), &data.sid);
    // It may have ended while this one waited for its turn.
    if heartbeats.are_ignored(&source, change.now()) {
        return Ok(acks::SUCCESS.to_owned());
    }
    sessions::keep_alive(change, &data.sid, at).await?;
    heartbeats.written(source, change.now());
    change.ephemeral(Filter::UserScopedOnly, &data.activity(at));
    Ok(acks::SUCCESS.to_owned())
}

/// `session-end` (5.4). For Socket.IO clients it never deletes a session (Socket.IO contract,
/// section 6).
pub async fn end(
    change: &mut Change<'_>,
    heartbeats: &Heartbeats,
    event: Event<'_>,
) -> Result<String, SyncError> {
    let deletes_empty = !event.wire.is_socket_io();
    let (data, at) = Alive::read(event, change.now())?;
    let ended = sessions::end(change, &data.sid, at, deletes_empty).await?;
    heartbeats.ended(Source::session(change.account(), &data.sid), change.now());
    Ok(match ended {
        SessionEnd::Kept => json(&serde_json::json!({ "success": true, "activeAt": at })),
        SessionEnd::Deleted => json(&serde_json::json!({ "success": true, "deleted": true })),
    })
}

/// `message` (5.5).
pub async fn message(change: &mut Change<'_>, event: Event<'_>) -> Result<String, SyncError> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Data {
        sid: String,
        message: String,
        #[serde(default)]
        local_id: Option<String>,
    }
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Done<'a> {
        ok: bool,
        id: &'a str,
        seq: i64,
        local_id: Option<&'a str>,
        created_at: i64,
        duplicate: bool,
    }

    let data: Data = event.read()?;
    limits::filled("sid", &data.sid, limits::ID)?;
    let most = if event.wire.is_socket_io() {
        limits::SOCKET_IO_MESSAGE
    } else {
        limits::MESSAGE
    };
    limits::text("message", &data.message, most)?;
    let local_id = data.local_id.filter(|id| !id.is_empty());
    if let Some(local_id) = &local_id {
        limits::text("localId", local_id, limits::ID)?;
    }
    let new = NewMessage {
        session: data.sid,
        content: messages::encrypted(&data.message),
        local_id,
        sender: Some(event.sender),
    };
    let (stored, duplicate) = messages::create(change, new).await?;
    Ok(json(&Done {
        ok: true,
        id: &stored.id,
        seq: stored.seq,
        local_id: stored.local_id.as_deref(),
        created_at: stored.created_at,
        duplicate,
    }))
}
