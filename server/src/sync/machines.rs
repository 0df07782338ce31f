//! Machines (contract data-model.md section 3, rest.md section 5). Their ids are the clients' own,
//! so every query names the account.

use dormouse_protocol::Filter;
use serde::Serialize;
use sqlx::any::AnyRow;
use sqlx::{AnyConnection, Row as _};
use utoipa::ToSchema;

use super::binary;
use super::bodies::{Ephemeral, Update, Versioned};
use super::change::Change;
use super::error::SyncError;
use super::versioned::VersionedWrite;
use crate::database::{Database, DatabaseError};

/// What a lookup that fails has not found.
pub const MACHINE: &str = "Machine";

/// A machine as clients see it.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Machine {
    /// The client's id.
    pub id: String,
    /// Its owner.
    pub account_id: String,
    /// Ciphertext.
    pub metadata: String,
    /// Grows with each change of the metadata.
    pub metadata_version: i64,
    /// Ciphertext, if there is any.
    pub daemon_state: Option<String>,
    /// Grows with each change of the daemon state; 0 without any.
    pub daemon_state_version: i64,
    /// Base64.
    pub data_encryption_key: Option<String>,
    /// Grows with each change.
    pub seq: i64,
    /// Whether it is connected, or has said so.
    pub active: bool,
    /// Unix ms of the last sign of life.
    pub active_at: i64,
    /// Unix ms.
    pub created_at: i64,
    /// Unix ms of the last change.
    pub updated_at: i64,
}

macro_rules! machine_columns {
    () => {
        "id, account_id, metadata, metadata_version, daemon_state, daemon_state_version, \
         data_encryption_key, seq, active, last_active_at, created_at, updated_at"
    };
}
pub(super) use machine_columns;

/// Reads a row of [`machine_columns`].
pub(super) fn read(row: &AnyRow) -> Result<Machine, SyncError> {
    let key: Option<Vec<u8>> = row.try_get(6)?;
    Ok(Machine {
        id: row.try_get(0)?,
        account_id: row.try_get(1)?,
        metadata: row.try_get(2)?,
        metadata_version: row.try_get(3)?,
        daemon_state: row.try_get(4)?,
        daemon_state_version: row.try_get(5)?,
        data_encryption_key: key.as_deref().map(binary::encode),
        seq: row.try_get(7)?,
        active: row.try_get::<i64, _>(8)? != 0,
        active_at: row.try_get(9)?,
        created_at: row.try_get(10)?,
        updated_at: row.try_get(11)?,
    })
}

/// A machine to be registered.
#[derive(Clone, Debug)]
pub struct NewMachine {
    /// The client's id.
    pub id: String,
    /// Ciphertext.
    pub metadata: String,
    /// Ciphertext.
    pub daemon_state: Option<String>,
    /// The key's bytes.
    pub data_encryption_key: Option<Vec<u8>>,
}

async fn lookup(
    reader: &mut AnyConnection,
    account: &str,
    id: &str,
) -> Result<Option<Machine>, SyncError> {
    let row = sqlx::query(concat!(
        "SELECT ",
        machine_columns!(),
        " FROM machines WHERE account_id = $1 AND id = $2"
    ))
    .bind(account)
    .bind(id)
    .fetch_optional(reader)
    .await?;
    row.as_ref().map(read).transpose()
}

/// Finds a machine of an account.
///
/// # Errors
/// [`SyncError::NotFound`], or the database's.
pub async fn find(
    reader: &mut AnyConnection,
    account: &str,
    id: &str,
) -> Result<Machine, SyncError> {
    let found = lookup(reader, account, id).await?;
    found.ok_or(SyncError::NotFound(MACHINE))
}

/// Those with the most recent sign of life.
pub const LIST: &str = concat!(
    "SELECT ",
    machine_columns!(),
    " FROM machines WHERE account_id = $1 ORDER BY last_active_at DESC, id DESC LIMIT $2"
);

/// As [`LIST`], active ones only.
pub const LIST_ACTIVE: &str = concat!(
    "SELECT ",
    machine_columns!(),
    " FROM machines WHERE account_id = $1 AND active = 1 \
     ORDER BY last_active_at DESC, id DESC LIMIT $2"
);

/// The machines of an account, those with the most recent sign of life first.
///
/// # Errors
/// The database's.
pub async fn list(
    reader: &mut AnyConnection,
    account: &str,
    active_only: bool,
    most: i64,
) -> Result<Vec<Machine>, SyncError> {
    let query = sqlx::query(if active_only { LIST_ACTIVE } else { LIST });
    let rows = query.bind(account).bind(most).fetch_all(reader).await?;
    rows.iter().map(read).collect()
}

/// Registers a machine, or returns it exactly as it is stored. A new one is inactive.
///
/// # Errors
/// The database's.
pub async fn register(change: &mut Change<'_>, new: NewMachine) -> Result<Machine, SyncError> {
    let (account, now) = (change.account().to_string(), change.now());
    if let Some(stored) = lookup(change.connection(), &account, &new.id).await? {
        return Ok(stored);
    }
    let seq = change.next_seq().await?;
    let row = sqlx::query(concat!(
        "INSERT INTO machines (id, account_id, metadata, metadata_version, daemon_state, \
         daemon_state_version, data_encryption_key, seq, change_seq, create_seq, active, \
         last_active_at, created_at, updated_at) \
         VALUES ($1, $2, $3, 1, $4, $5, $6, 0, $7, $7, 0, $8, $8, $8) RETURNING ",
        machine_columns!()
    ))
    .bind(new.id)
    .bind(account)
    .bind(new.metadata)
    .bind(new.daemon_state.as_deref())
    .bind(i64::from(new.daemon_state.is_some()))
    .bind(new.data_encryption_key)
    .bind(seq)
    .bind(now)
    .fetch_one(change.connection())
    .await?;
    let machine = read(&row)?;
    change.update(seq, Filter::UserScopedOnly, &new_machine(&machine));
    // Clients of Socket.IO take the metadata from an update (contract socketio.md section 7).
    let update = Update::UpdateMachine {
        machine_id: &machine.id,
        metadata: Some(Versioned {
            value: &machine.metadata,
            version: machine.metadata_version,
        }),
        daemon_state: None,
        active: None,
        active_at: None,
    };
    announce(change, &machine.id, &update).await?;
    Ok(machine)
}

/// The update that announces a machine.
pub(super) fn new_machine(machine: &Machine) -> Update<'_> {
    Update::NewMachine {
        machine_id: &machine.id,
        seq: machine.seq,
        metadata: &machine.metadata,
        metadata_version: machine.metadata_version,
        daemon_state: machine.daemon_state.as_deref(),
        daemon_state_version: machine.daemon_state_version,
        data_encryption_key: machine.data_encryption_key.as_deref(),
        active: machine.active,
        active_at: machine.active_at,
        created_at: machine.created_at,
        updated_at: machine.updated_at,
    }
}

async fn announce(change: &mut Change<'_>, id: &str, update: &Update<'_>) -> Result<(), SyncError> {
    let (account, seq) = (change.account().to_string(), change.next_seq().await?);
    sqlx::query("UPDATE machines SET change_seq = $1 WHERE account_id = $2 AND id = $3")
        .bind(seq)
        .bind(account)
        .bind(id)
        .execute(change.connection())
        .await?;
    change.update(seq, Filter::MachineScopedOnly(id.into()), update);
    Ok(())
}

/// Replaces the metadata, if the version is the expected one.
///
/// # Errors
/// [`SyncError::NotFound`], or the database's.
pub async fn write_metadata(
    change: &mut Change<'_>,
    id: &str,
    metadata: &str,
    expected: i64,
) -> Result<VersionedWrite<String>, SyncError> {
    let (account, now) = (change.account().to_string(), change.now());
    let written = sqlx::query(
        "UPDATE machines SET metadata = $1, metadata_version = metadata_version + 1, \
         seq = seq + 1, updated_at = $2 \
         WHERE account_id = $3 AND id = $4 AND metadata_version = $5",
    )
    .bind(metadata)
    .bind(now)
    .bind(account.as_str())
    .bind(id)
    .bind(expected)
    .execute(change.connection())
    .await?;
    if written.rows_affected() == 0 {
        let stored = find(change.connection(), &account, id).await?;
        return Ok(VersionedWrite::Mismatch {
            version: stored.metadata_version,
            value: stored.metadata,
        });
    }
    let version = expected + 1;
    let value = metadata;
    let update = Update::UpdateMachine {
        machine_id: id,
        metadata: Some(Versioned { value, version }),
        daemon_state: None,
        active: None,
        active_at: None,
    };
    announce(change, id, &update).await?;
    Ok(VersionedWrite::Written(version))
}

/// Replaces the daemon state, if the version is the expected one; a sign of life as well.
///
/// # Errors
/// As [`write_metadata`].
pub async fn write_daemon_state(
    change: &mut Change<'_>,
    id: &str,
    state: &str,
    expected: i64,
) -> Result<VersionedWrite<Option<String>>, SyncError> {
    let (account, now) = (change.account().to_string(), change.now());
    let written = sqlx::query(
        "UPDATE machines SET daemon_state = $1, daemon_state_version = daemon_state_version + 1, \
         seq = seq + 1, updated_at = $2, active = 1, last_active_at = $2 \
         WHERE account_id = $3 AND id = $4 AND daemon_state_version = $5",
    )
    .bind(state)
    .bind(now)
    .bind(account.as_str())
    .bind(id)
    .bind(expected)
    .execute(change.connection())
    .await?;
    if written.rows_affected() == 0 {
        let stored = find(change.connection(), &account, id).await?;
        return Ok(VersionedWrite::Mismatch {
            version: stored.daemon_state_version,
            value: stored.daemon_state,
        });
    }
    let version = expected + 1;
    let value = state;
    let update = Update::UpdateMachine {
        machine_id: id,
        metadata: None,
        daemon_state: Some(Versioned { value, version }),
        active: None,
        active_at: Some(now),
    };
    announce(change, id, &update).await?;
    Ok(VersionedWrite::Written(version))
}

/// What a machine says of itself over HTTP; what is absent stays.
#[derive(Clone, Debug, Default)]
pub struct Status {
    /// Whether it is active.
    pub active: Option<bool>,
    /// Ciphertext.
    pub metadata: Option<String>,
    /// Ciphertext.
    pub daemon_state: Option<String>,
}

/// Takes a machine's status; a sign of life in any case.
///
/// # Errors
/// As [`write_metadata`].
pub async fn write_status(
    change: &mut Change<'_>,
    id: &str,
    status: Status,
) -> Result<Machine, SyncError> {
    let (account, now) = (change.account().to_string(), change.now());
    let before = find(change.connection(), &account, id).await?;
    let seq = change.next_seq().await?;
    let row = sqlx::query(concat!(
        "UPDATE machines SET active = COALESCE($1, active), last_active_at = $2, \
         updated_at = $2, seq = seq + 1, change_seq = $3, metadata = COALESCE($4, metadata), \
         metadata_version = metadata_version + $5, \
         daemon_state = COALESCE($6, daemon_state), \
         daemon_state_version = daemon_state_version + $7 \
         WHERE account_id = $8 AND id = $9 RETURNING ",
        machine_columns!()
    ))
    .bind(status.active.map(i64::from))
    .bind(now)
    .bind(seq)
    .bind(status.metadata.as_deref())
    .bind(i64::from(status.metadata.is_some()))
    .bind(status.daemon_state.as_deref())
    .bind(i64::from(status.daemon_state.is_some()))
    .bind(account)
    .bind(id)
    .fetch_one(change.connection())
    .await?;
    let machine = read(&row)?;
    let version = machine.metadata_version;
    let metadata = status.metadata.as_deref();
    let state = status.daemon_state.as_deref();
    let update = Update::UpdateMachine {
        machine_id: id,
        metadata: metadata.map(|value| Versioned { value, version }),
        daemon_state: state.map(|value| Versioned {
            value,
            version: machine.daemon_state_version,
        }),
        active: Some(machine.active),
        active_at: Some(machine.active_at),
    };
    change.update(seq, Filter::MachineScopedOnly(id.into()), &update);
    if machine.active != before.active {
        let activity = Ephemeral::MachineActivity {
            machine_id: id,
            id,
            active: machine.active,
            active_at: machine.active_at,
        };
        change.ephemeral(Filter::UserScopedOnly, &activity);
    }
    Ok(machine)
}

/// Notes that a machine is there, or no longer there. A row is not needed.
///
/// # Errors
/// The database's.
pub async fn set_presence(
    change: &mut Change<'_>,
    id: &str,
    is_online: bool,
    at: i64,
) -> Result<bool, SyncError> {
    let (account, now) = (change.account().to_string(), change.now());
    let written = sqlx::query(
        "UPDATE machines SET \
         last_active_at = CASE WHEN $1 = 1 THEN $2 ELSE last_active_at END, \
         updated_at = CASE WHEN active = $1 THEN updated_at ELSE $3 END, active = $1 \
         WHERE account_id = $4 AND id = $5",
    )
    .bind(i64::from(is_online))
    .bind(at)
    .bind(now)
    .bind(account)
    .bind(id)
    .execute(change.connection())
    .await?;
    Ok(written.rows_affected() > 0)
}

/// Makes a machine inactive if it is active and its last sign of life came before a time, and tells
/// so; whether it was.
///
/// # Errors
/// The database's.
pub async fn end_silent(change: &mut Change<'_>, id: &str, before: i64) -> Result<bool, SyncError> {
    let (account, now) = (change.account().to_string(), change.now());
    let row = sqlx::query(
        "UPDATE machines SET active = 0, updated_at = $1 WHERE account_id = $2 AND id = $3 \
         AND active = 1 AND last_active_at < $4 RETURNING last_active_at",
    )
    .bind(now)
    .bind(account)
    .bind(id)
    .bind(before)
    .fetch_optional(change.connection())
    .await?;
    let Some(row) = row else { return Ok(false) };
    let activity = Ephemeral::MachineActivity {
        machine_id: id,
        id,
        active: false,
        active_at: row.try_get(0)?,
    };
    change.ephemeral(Filter::UserScopedOnly, &activity);
    Ok(true)
}

/// Makes every machine inactive: none is connected before the server serves. What a process that
/// was killed kept online must not be seen as such, so this is waited for.
///
/// # Errors
/// The database's.
pub async fn end_all(database: &Database) -> Result<(), DatabaseError> {
    let ending = database.write(async |tx| {
        let query = sqlx::query("UPDATE machines SET active = 0 WHERE active = 1");
        query.execute(tx.connection()).await?;
        Ok::<_, DatabaseError>(())
    });
    ending.await
}
