//! Events that only read: `artifact-read` (5.7), `access-key-get` (5.8) and
//! `request-updates-since` (5.12), whose answer [`crate::sync::catch_up`] finds.

use std::sync::Arc;

use dormouse_shard::publication::ReplyTo;
use serde::{Deserialize, Serialize};

use super::{Event, artifacts as artifact_events};
use crate::database::{Database, Reader};
use crate::sync::access_keys::{AccessKey, KeyPath};
use crate::sync::bodies::json;
use crate::sync::delta::Seen;
use crate::sync::error::SyncError;
use crate::sync::{access_keys, artifacts, catch_up, limits};

/// Whether an event only reads.
#[must_use]
pub fn is_read(event: &str) -> bool {
    matches!(
        event,
        "artifact-read" | "access-key-get" | "request-updates-since"
    )
}

/// What is to be read.
#[derive(Clone, Debug)]
pub enum Reading {
    /// An artifact.
    Artifact(String),
    /// An access key.
    AccessKey(KeyPath),
    /// What a client has missed.
    Delta(Seen),
}

impl Reading {
    /// Reads an event's data.
    ///
    /// # Errors
    /// [`SyncError::Invalid`].
    pub fn of(event: Event<'_>) -> Result<Self, SyncError> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Artifact {
            artifact_id: String,
        }
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Key {
            session_id: String,
            machine_id: String,
        }
        #[derive(Deserialize)]
        struct Numbers {
            sessions: i64,
            machines: i64,
            artifacts: i64,
        }

        Ok(match event.name {
            "artifact-read" => {
                let data: Artifact = event.read()?;
                limits::artifact_id(&data.artifact_id)?;
                Self::Artifact(data.artifact_id)
            }
            "access-key-get" => {
                let data: Key = event.read()?;
                limits::filled("sessionId", &data.session_id, limits::ID)?;
                limits::filled("machineId", &data.machine_id, limits::ID)?;
                Self::AccessKey(KeyPath {
                    session: data.session_id,
                    machine: data.machine_id,
                })
            }
            "request-updates-since" => {
                let data: Numbers = event.read()?;
                let seen = Seen {
                    sessions: data.sessions,
                    machines: data.machines,
                    artifacts: data.artifacts,
                };
                if [seen.sessions, seen.machines, seen.artifacts]
                    .iter()
                    .any(|number| *number < 0)
                {
                    let text = "sessions, machines and artifacts must be 0 or more";
                    return Err(SyncError::Invalid(text.to_owned()));
                }
                Self::Delta(seen)
            }
            _ => return Err(SyncError::NotFound("Event")),
        })
    }

    /// The acknowledgement's JSON; `None` when it is published instead. `most` bounds it, in bytes.
    ///
    /// # Errors
    /// [`SyncError::NotFound`], or the database's.
    pub async fn answer(
        self,
        database: Database,
        user: Arc<str>,
        most: usize,
        to: ReplyTo,
    ) -> Result<Option<String>, SyncError> {
        let account = user.to_string();
        let ack = match self {
            Self::Delta(seen) => return catch_up::answer(&database, user, seen, most, to).await,
            Self::Artifact(id) => {
                let read =
                    async move |reader: &mut Reader| artifacts::find(reader, &account, &id).await;
                artifact_events::shown(&database.read(read).await?)
            }
            Self::AccessKey(path) => {
                #[derive(Serialize)]
                #[serde(rename_all = "camelCase")]
                struct Done {
                    ok: bool,
                    access_key: Option<AccessKey>,
                }

                let read = async move |reader: &mut Reader| {
                    access_keys::find(reader, &account, &path).await
                };
                let access_key = database.read(read).await?;
                json(&Done {
                    ok: true,
                    access_key,
                })
            }
        };
        Ok(Some(ack))
    }
}
