//! Access keys (REST contract, section 7).

use actix_web::web;
use dormouse_protocol::ErrorBody;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{change, id_of, read};
use crate::app_state::AppState;
use crate::http::credentials::UserIdentity;
use crate::http::errors::ApiError;
use crate::http::json_body::JsonBody;
use crate::sync::access_keys::{self, AccessKey, KeyPath};
use crate::sync::machines::MACHINE;
use crate::sync::sessions::SESSION;
use crate::sync::versioned::VersionedWrite;
use crate::sync::{SyncError, limits};

/// The key, if there is one.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct AccessKeyAnswer {
    access_key: Option<AccessKey>,
}

/// A key to be stored.
#[derive(Clone, Debug, Deserialize, ToSchema)]
pub struct CreateAccessKey {
    /// Ciphertext.
    #[schema(min_length = 1)]
    data: String,
}

/// A key that was stored.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct CreatedAccessKey {
    success: bool,
    access_key: AccessKey,
}

/// A key that replaces another.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct UpdateAccessKey {
    /// Ciphertext.
    #[schema(min_length = 1)]
    data: String,
    /// The version that is replaced.
    expected_version: u64,
}

/// How a change ended: with the new version, or with what is stored instead.
#[derive(Clone, Debug, Default, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct UpdateAccessKeyAnswer {
    /// Whether it was written.
    success: bool,
    /// The new version.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    version: Option<i64>,
    /// `version-mismatch`, if it was not written.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    error: Option<&'static str>,
    /// The stored version.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    current_version: Option<i64>,
    /// What is stored.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    current_data: Option<String>,
}

fn path_of(path: web::Path<(String, String)>) -> Result<KeyPath, SyncError> {
    let (session, machine) = path.into_inner();
    Ok(KeyPath {
        session: id_of(SESSION, session)?,
        machine: id_of(MACHINE, machine)?,
    })
}

/// The key of a session and a machine, null without one.
#[utoipa::path(
    get, path = "/v1/access-keys/{sessionId}/{machineId}", operation_id = "access_key_one",
    tag = "sync", security(("userToken" = [])),
    params(
        ("sessionId" = String, Path, description = "The session"),
        ("machineId" = String, Path, description = "The machine"),
    ),
    responses(
        (status = 200, description = "The key", body = AccessKeyAnswer),
        (status = 401, description = "No token, or a bad one", body = ErrorBody),
        (status = 404, description = "No such session or machine of the caller", body = ErrorBody),
        (status = 503, description = "The database is not available", body = ErrorBody),
    )
)]
pub async fn one(
    user: UserIdentity,
    state: web::Data<AppState>,
    path: web::Path<(String, String)>,
) -> Result<web::Json<AccessKeyAnswer>, ApiError> {
    let path = path_of(path)?;
    let found = read(&state, &user, async move |reader, account| {
        access_keys::find(reader, account, &path).await
    });
    let access_key = found.await?;
    Ok(web::Json(AccessKeyAnswer { access_key }))
}

/// Stores a first key.
#[utoipa::path(
    post, path = "/v1/access-keys/{sessionId}/{machineId}", operation_id = "access_key_create",
    tag = "sync", security(("userToken" = [])),
    params(
        ("sessionId" = String, Path, description = "The session"),
        ("machineId" = String, Path, description = "The machine"),
    ),
    request_body = CreateAccessKey,
    responses(
        (status = 200, description = "The key", body = CreatedAccessKey),
        (status = 400, description = "Not such a body", body = ErrorBody),
        (status = 401, description = "No token, or a bad one", body = ErrorBody),
        (status = 404, description = "No such session or machine of the caller", body = ErrorBody),
        (status = 409, description = "There is a key already", body = ErrorBody),
        (status = 413, description = "The body is too large", body = ErrorBody),
        (status = 503, description = "The database is not available", body = ErrorBody),
    )
)]
pub async fn create(
    user: UserIdentity,
    state: web::Data<AppState>,
    path: web::Path<(String, String)>,
    body: JsonBody,
) -> Result<web::Json<CreatedAccessKey>, ApiError> {
    let path = path_of(path)?;
    let CreateAccessKey { data } = body.read()?;
    limits::filled("data", &data, usize::MAX)?;
    let created = change(&state, &user, async move |change| {
        access_keys::create(change, &path, &data).await
    });
    let access_key = created.await?;
    Ok(web::Json(CreatedAccessKey {
        success: true,
        access_key,
    }))
}

/// Replaces a key, if the version is the expected one.
#[utoipa::path(
    put, path = "/v1/access-keys/{sessionId}/{machineId}", operation_id = "access_key_update",
    tag = "sync", security(("userToken" = [])),
    params(
        ("sessionId" = String, Path, description = "The session"),
        ("machineId" = String, Path, description = "The machine"),
    ),
    request_body = UpdateAccessKey,
    responses(
        (status = 200, description = "Written, or the versions differ",
         body = UpdateAccessKeyAnswer),
        (status = 400, description = "Not such a body", body = ErrorBody),
        (status = 401, description = "No token, or a bad one", body = ErrorBody),
        (status = 404, description = "No such key of the caller", body = ErrorBody),
        (status = 413, description = "The body is too large", body = ErrorBody),
        (status = 503, description = "The database is not available", body = ErrorBody),
    )
)]
pub async fn update(
    user: UserIdentity,
    state: web::Data<AppState>,
    path: web::Path<(String, String)>,
    body: JsonBody,
) -> Result<web::Json<UpdateAccessKeyAnswer>, ApiError> {
    let path = path_of(path)?;
    let body: UpdateAccessKey = body.read()?;
    limits::filled("data", &body.data, usize::MAX)?;
    let expected = i64::try_from(body.expected_version).unwrap_or(i64::MAX);
    let written = change(&state, &user, async move |change| {
        access_keys::write(change, &path, &body.data, expected).await
    });
    Ok(web::Json(match written.await? {
        VersionedWrite::Written(version) => UpdateAccessKeyAnswer {
            success: true,
            version: Some(version),
            ..UpdateAccessKeyAnswer::default()
        },
        VersionedWrite::Mismatch { version, value } => UpdateAccessKeyAnswer {
            error: Some("version-mismatch"),
            current_version: Some(version),
            current_data: Some(value),
            ..UpdateAccessKeyAnswer::default()
        },
    }))
}
