//! Events of machines.

use std::sync::Arc;

use dormouse_protocol::Filter;
use serde::Deserialize;

use super::{Event, Immediate, sign_of_life};
use crate::sync::acks::{self, versioned};
use crate::sync::bodies::{Ephemeral, ephemeral_frame};
use crate::sync::change::Change;
use crate::sync::error::SyncError;
use crate::sync::heartbeats::{self, Heartbeats, Source};
use crate::sync::versioned::VersionedWrite;
use crate::sync::{limits, machines};

/// `machine-update-metadata` (5.2).
pub async fn update_metadata(
    change: &mut Change<'_>,
    event: Event<'_>,
) -> Result<String, SyncError> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Data {
        machine_id: String,
        metadata: String,
        expected_version: i64,
    }

    let data: Data = event.read()?;
    limits::filled("machineId", &data.machine_id, limits::ID)?;
    limits::text("metadata", &data.metadata, limits::STATE)?;
    let expected = data.expected_version;
    let id = &data.machine_id;
    Ok(
        match machines::write_metadata(change, id, &data.metadata, expected).await? {
            VersionedWrite::Written(version) => {
                versioned("success", version, "metadata", &data.metadata)
            }
            VersionedWrite::Mismatch { version, value } => {
                versioned("version-mismatch", version, "metadata", &value)
            }
        },
    )
}

/// `machine-update-state` (5.2).
pub async fn update_state(change: &mut Change<'_>, event: Event<'_>) -> Result<String, SyncError> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Data {
        machine_id: String,
        daemon_state: String,
        expected_version: i64,
    }

    let data: Data = event.read()?;
    limits::filled("machineId", &data.machine_id, limits::ID)?;
    limits::text("daemonState", &data.daemon_state, limits::STATE)?;
    let expected = data.expected_version;
    let id = &data.machine_id;
    Ok(
        match machines::write_daemon_state(change, id, &data.daemon_state, expected).await? {
            VersionedWrite::Written(version) => {
                versioned("success", version, "daemonState", &data.daemon_state)
            }
            VersionedWrite::Mismatch { version, value } => {
                versioned("version-mismatch", version, "daemonState", &value)
            }
        },
    )
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Alive {
    machine_id: String,
    time: f64,
}

impl Alive {
    fn read(event: Event<'_>, now: i64) -> Result<(Self, i64), SyncError> {
        let data: Self = event.read()?;
        limits::filled("machineId", &data.machine_id, limits::ID)?;
        let at = heartbeats::time(data.time, now)?;
        Ok((data, at))
    }

    fn activity(&self, at: i64) -> Ephemeral<'_> {
        Ephemeral::MachineActivity {
            machine_id: &self.machine_id,
            id: &self.machine_id,
            active: true,
            active_at: at,
        }
    }
}

/// `machine-alive` (5.6), when it need not be written.
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
        |data| Source::machine(account.clone(), &data.machine_id),
        |data, at| ephemeral_frame(&data.activity(at)),
    )
}

/// `machine-alive` (5.6).
pub async fn alive(
    change: &mut Change<'_>,
    heartbeats: &Heartbeats,
    event: Event<'_>,
) -> Result<String, SyncError> {
    let (data, at) = Alive::read(event, change.now())?;
    if !machines::set_presence(change, &data.machine_id, true, at).await? {
        return Err(SyncError::NotFound(machines::MACHINE));
    }
    heartbeats.written(
        Source::machine(change.account(), &data.machine_id),
        change.now(),
    );
    change.ephemeral(Filter::UserScopedOnly, &data.activity(at));
    Ok(acks::SUCCESS.to_owned())
}
