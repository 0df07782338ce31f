//! Artifacts (contract data-model.md section 3, rest.md section 6): a header and a body with
//! versions of their own, changed together or not at all.

use dormouse_protocol::Filter;
use serde::Serialize;
use sqlx::any::AnyRow;
use sqlx::{AnyConnection, Row as _};
use utoipa::ToSchema;

use super::binary;
use super::bodies::{Update, Versioned};
use super::change::Change;
use super::error::SyncError;
use super::tombstones::{self, Kind};

pub mod list;

/// What a lookup that fails has not found.
pub const ARTIFACT: &str = "Artifact";

/// An artifact without its body, as lists show it.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ArtifactHeader {
    /// The client's id.
    pub id: String,
    /// Base64.
    pub header: String,
    /// Grows with each change of the header, from 1.
    pub header_version: i64,
    /// Base64.
    pub data_encryption_key: String,
    /// Grows with each change, from 0.
    pub seq: i64,
    /// Unix ms.
    pub created_at: i64,
    /// Unix ms of the last change.
    pub updated_at: i64,
}

/// An artifact.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Artifact {
    /// All but the body.
    #[serde(flatten)]
    pub head: ArtifactHeader,
    /// Base64.
    pub body: String,
    /// Grows with each change of the body, from 1.
    pub body_version: i64,
}

macro_rules! header_columns {
    () => {
        "id, header, header_version, data_encryption_key, seq, created_at, updated_at"
    };
}
macro_rules! artifact_columns {
    () => {
        "id, header, header_version, data_encryption_key, seq, created_at, updated_at, \
         body_version, body"
    };
}
pub(super) use header_columns;

/// Reads a row of [`header_columns`].
pub(super) fn read_header(row: &AnyRow) -> Result<ArtifactHeader, SyncError> {
    Ok(ArtifactHeader {
        id: row.try_get(0)?,
        header: binary::encode(row.try_get(1)?),
        header_version: row.try_get(2)?,
        data_encryption_key: binary::encode(row.try_get(3)?),
        seq: row.try_get(4)?,
        created_at: row.try_get(5)?,
        updated_at: row.try_get(6)?,
    })
}

/// Reads a row of [`artifact_columns`].
fn read(row: &AnyRow) -> Result<Artifact, SyncError> {
    Ok(Artifact {
        head: read_header(row)?,
        body_version: row.try_get(7)?,
        body: binary::encode(row.try_get(8)?),
    })
}

/// An artifact to be made.
#[derive(Clone, Debug)]
pub struct NewArtifact {
    /// The client's id.
    pub id: String,
    /// Its bytes.
    pub header: Vec<u8>,
    /// Its bytes.
    pub body: Vec<u8>,
    /// Its bytes.
    pub data_encryption_key: Vec<u8>,
}

/// Finds an artifact of an account.
///
/// # Errors
/// [`SyncError::NotFound`], or the database's.
pub async fn find(
    reader: &mut AnyConnection,
    account: &str,
    id: &str,
) -> Result<Artifact, SyncError> {
    let row = sqlx::query(concat!(
        "SELECT ",
        artifact_columns!(),
        " FROM artifacts WHERE id = $1 AND account_id = $2"
    ))
    .bind(id)
    .bind(account)
    .fetch_optional(reader)
    .await?;
    read(&row.ok_or(SyncError::NotFound(ARTIFACT))?)
}

/// The body of an artifact that is known to be there, base64.
///
/// # Errors
/// The database's.
pub(super) async fn body(reader: &mut AnyConnection, id: &str) -> Result<String, SyncError> {
    let query = sqlx::query("SELECT body FROM artifacts WHERE id = $1").bind(id);
    let row = query.fetch_one(reader).await?;
    Ok(binary::encode(row.try_get(0)?))
}

/// Makes an artifact, or returns the account's own one of this id exactly as it is stored.
///
/// # Errors
/// [`SyncError::Conflict`] when the id is another account's, or the database's.
pub async fn create(change: &mut Change<'_>, new: NewArtifact) -> Result<Artifact, SyncError> {
    let (account, now) = (change.account().to_string(), change.now());
    let owner = sqlx::query("SELECT account_id FROM artifacts WHERE id = $1")
        .bind(new.id.as_str())
        .fetch_optional(change.connection())
        .await?;
    if let Some(owner) = owner {
        if owner.try_get::<String, _>(0)? != account {
            return Err(SyncError::Conflict("the id is taken; choose another one"));
        }
        return find(change.connection(), &account, &new.id).await;
    }
    let seq = change.next_seq().await?;
    let row = sqlx::query(concat!(
        "INSERT INTO artifacts (id, account_id, header, header_version, body, body_version, \
         data_encryption_key, seq, change_seq, create_seq, created_at, updated_at) \
         VALUES ($1, $2, $3, 1, $4, 1, $5, 0, $6, $6, $7, $7) RETURNING ",
        artifact_columns!()
    ))
    .bind(new.id)
    .bind(account)
    .bind(new.header)
    .bind(new.body)
    .bind(new.data_encryption_key)
    .bind(seq)
    .bind(now)
    .fetch_one(change.connection())
    .await?;
    let artifact = read(&row)?;
    change.update(seq, Filter::UserScopedOnly, &new_artifact(&artifact));
    Ok(artifact)
}

/// The update that announces an artifact.
pub(super) fn new_artifact(artifact: &Artifact) -> Update<'_> {
    let head = &artifact.head;
    Update::NewArtifact {
        artifact_id: &head.id,
        seq: head.seq,
        header: &head.header,
        header_version: head.header_version,
        body: &artifact.body,
        body_version: artifact.body_version,
        data_encryption_key: &head.data_encryption_key,
        created_at: head.created_at,
        updated_at: head.updated_at,
    }
}

/// A new value for a part, and the version that it replaces.
#[derive(Clone, Debug)]
pub struct PartWrite {
    /// The bytes.
    pub bytes: Vec<u8>,
    /// The version.
    pub expected: i64,
}

/// How a change of an artifact ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ArtifactWrite {
    /// Written: the new versions of the parts that were given.
    Written {
        /// Of the header.
        header: Option<i64>,
        /// Of the body.
        body: Option<i64>,
    },
    /// Nothing was written: version and base64 of each part that differs.
    Mismatch {
        /// Of the header.
        header: Option<(i64, String)>,
        /// Of the body.
        body: Option<(i64, String)>,
    },
}

/// Changes the parts that are given, if the versions of all of them are the expected ones.
///
/// # Errors
/// [`SyncError::NotFound`], or the database's.
pub async fn write(
    change: &mut Change<'_>,
    id: &str,
    header: Option<PartWrite>,
    body: Option<PartWrite>,
) -> Result<ArtifactWrite, SyncError> {
    let (account, now) = (change.account().to_string(), change.now());
    // A part that is not given compares its version with itself, and keeps its bytes.
    let written = sqlx::query(
        "UPDATE artifacts SET header = COALESCE($1, header), header_version = header_version + $2, \
         body = COALESCE($3, body), body_version = body_version + $4, seq = seq + 1, \
         updated_at = $5 WHERE id = $6 AND account_id = $7 \
         AND header_version = COALESCE($8, header_version) \
         AND body_version = COALESCE($9, body_version)",
    )
    .bind(header.as_ref().map(|part| part.bytes.as_slice()))
    .bind(i64::from(header.is_some()))
    .bind(body.as_ref().map(|part| part.bytes.as_slice()))
    .bind(i64::from(body.is_some()))
    .bind(now)
    .bind(id)
    .bind(account.as_str())
    .bind(header.as_ref().map(|part| part.expected))
    .bind(body.as_ref().map(|part| part.expected))
    .execute(change.connection())
    .await?;
    if written.rows_affected() == 0 {
        let stored = find(change.connection(), &account, id).await?;
        let differs = |part: &Option<PartWrite>, version, text: String| {
            let is_other = part.as_ref().is_some_and(|part| part.expected != version);
            is_other.then_some((version, text))
        };
        return Ok(ArtifactWrite::Mismatch {
            header: differs(&header, stored.head.header_version, stored.head.header),
            body: differs(&body, stored.body_version, stored.body),
        });
    }
    let seq = change.next_seq().await?;
    sqlx::query("UPDATE artifacts SET change_seq = $1 WHERE id = $2")
        .bind(seq)
        .bind(id)
        .execute(change.connection())
        .await?;
    let text = |part: &Option<PartWrite>| part.as_ref().map(|part| binary::encode(&part.bytes));
    let version = |part: &Option<PartWrite>| part.as_ref().map(|part| part.expected + 1);
    let (header_text, body_text) = (text(&header), text(&body));
    let (header, body) = (version(&header), version(&body));
    let versioned = |text: &Option<String>, version: Option<i64>| version.zip(text.clone());
    let (header_part, body_part) = (versioned(&header_text, header), versioned(&body_text, body));
    let update = Update::UpdateArtifact {
        artifact_id: id,
        header: header_part.as_ref().map(part),
        body: body_part.as_ref().map(part),
    };
    change.update(seq, Filter::UserScopedOnly, &update);
    Ok(ArtifactWrite::Written { header, body })
}

fn part((version, value): &(i64, String)) -> Versioned<&str> {
    Versioned {
        value,
        version: *version,
    }
}

/// Deletes an artifact for good.
///
/// # Errors
/// [`SyncError::NotFound`], or the database's.
pub async fn delete(change: &mut Change<'_>, id: &str) -> Result<(), SyncError> {
    let account = change.account().to_string();
    let deleted = sqlx::query("DELETE FROM artifacts WHERE id = $1 AND account_id = $2")
        .bind(id)
        .bind(account)
        .execute(change.connection())
        .await?;
    if deleted.rows_affected() == 0 {
        return Err(SyncError::NotFound(ARTIFACT));
    }
    let seq = change.next_seq().await?;
    tombstones::leave(change, Kind::Artifact, id, seq).await?;
    let update = Update::DeleteArtifact { artifact_id: id };
    change.update(seq, Filter::UserScopedOnly, &update);
    Ok(())
}
