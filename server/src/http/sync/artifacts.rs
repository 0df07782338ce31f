//! Artifacts (REST contract, section 6); their list is [`super::artifact_list`].

use actix_web::web;
use dormouse_protocol::ErrorBody;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::sessions::Success;
use super::{change, read};
use crate::app_state::AppState;
use crate::http::credentials::UserIdentity;
use crate::http::errors::ApiError;
use crate::http::json_body::JsonBody;
use crate::sync::artifacts::{self, ARTIFACT, Artifact, ArtifactWrite, NewArtifact, PartWrite};
use crate::sync::{SyncError, binary, limits};

/// An artifact.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct ArtifactAnswer {
    artifact: Artifact,
}

/// An artifact to be made.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct CreateArtifact {
    /// The client's own id: letters, digits and `_ . : -`.
    #[schema(min_length = 1, max_length = 128)]
    id: String,
    /// Base64.
    #[schema(min_length = 1)]
    header: String,
    /// Base64.
    #[schema(min_length = 1)]
    body: String,
    /// Base64.
    #[schema(min_length = 1)]
    data_encryption_key: String,
}

/// A change of a header, a body, or both, each with the version that it replaces.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct UpdateArtifact {
    /// Base64.
    #[serde(default)]
    header: Option<String>,
    /// The version of the header that is replaced.
    #[serde(default)]
    expected_header_version: Option<u64>,
    /// Base64.
    #[serde(default)]
    body: Option<String>,
    /// The version of the body that is replaced.
    #[serde(default)]
    expected_body_version: Option<u64>,
}

/// How a change ended: with the new versions, or with what is stored instead.
#[derive(Clone, Debug, Default, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct UpdateArtifactAnswer {
    /// Whether it was written.
    success: bool,
    /// `version-mismatch`, if not.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    error: Option<&'static str>,
    /// Of a header that was written.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    header_version: Option<i64>,
    /// Of a body that was written.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    body_version: Option<i64>,
    /// Of a header that differs.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    current_header_version: Option<i64>,
    /// A header that differs, base64.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    current_header: Option<String>,
    /// Of a body that differs.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    current_body_version: Option<i64>,
    /// A body that differs, base64.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    current_body: Option<String>,
}

/// An id that no artifact can have is not found.
fn id_of(id: web::Path<String>) -> Result<String, SyncError> {
    let id = id.into_inner();
    match limits::artifact_id(&id) {
        Ok(_) => Ok(id),
        Err(_) => Err(SyncError::NotFound(ARTIFACT)),
    }
}

/// Bytes of a field that must hold some.
fn filled(name: &str, text: &str) -> Result<Vec<u8>, ApiError> {
    let bytes = binary::decode(name, text)?;
    if bytes.is_empty() {
        return Err(ApiError::validation(format!("{name} must not be empty")));
    }
    Ok(bytes)
}

/// One artifact.
#[utoipa::path(
    get, path = "/v1/artifacts/{id}", operation_id = "artifact_one", tag = "sync",
    security(("userToken" = [])),
    params(("id" = String, Path, description = "The artifact")),
    responses(
        (status = 200, description = "The artifact", body = ArtifactAnswer),
        (status = 401, description = "No token, or a bad one", body = ErrorBody),
        (status = 404, description = "No such artifact of the caller", body = ErrorBody),
        (status = 503, description = "The database is not available", body = ErrorBody),
    )
)]
pub async fn one(
    user: UserIdentity,
    state: web::Data<AppState>,
    id: web::Path<String>,
) -> Result<web::Json<ArtifactAnswer>, ApiError> {
    let id = id_of(id)?;
    let artifact = read(&state, &user, async move |reader, account| {
        artifacts::find(reader, account, &id).await
    });
    let artifact = artifact.await?;
    Ok(web::Json(ArtifactAnswer { artifact }))
}

/// Makes an artifact, or returns the caller's own one of this id exactly as it is stored.
#[utoipa::path(
    post, path = "/v1/artifacts", operation_id = "artifacts_create", tag = "sync",
    security(("userToken" = [])), request_body = CreateArtifact,
    responses(
        (status = 200, description = "The artifact", body = ArtifactAnswer),
        (status = 400, description = "Not such a body", body = ErrorBody),
        (status = 401, description = "No token, or a bad one", body = ErrorBody),
        (status = 409, description = "The id is taken", body = ErrorBody),
        (status = 413, description = "The body is too large", body = ErrorBody),
        (status = 503, description = "The database is not available", body = ErrorBody),
    )
)]
pub async fn create(
    user: UserIdentity,
    state: web::Data<AppState>,
    body: JsonBody,
) -> Result<web::Json<ArtifactAnswer>, ApiError> {
    let body: CreateArtifact = body.read()?;
    limits::artifact_id(&body.id)?;
    let new = NewArtifact {
        header: filled("header", &body.header)?,
        body: filled("body", &body.body)?,
        data_encryption_key: filled("dataEncryptionKey", &body.data_encryption_key)?,
        id: body.id,
    };
    let created = change(&state, &user, async |change| {
        artifacts::create(change, new).await
    });
    let artifact = created.await?;
    Ok(web::Json(ArtifactAnswer { artifact }))
}

/// A part with the version that it replaces; one without the other is refused.
fn part(
    name: &str,
    text: Option<&str>,
    expected: Option<u64>,
) -> Result<Option<PartWrite>, ApiError> {
    match (text, expected) {
        (None, None) => Ok(None),
        (Some(text), Some(expected)) => Ok(Some(PartWrite {
            bytes: filled(name, text)?,
            expected: i64::try_from(expected).unwrap_or(i64::MAX),
        })),
        _ => Err(ApiError::validation(format!(
            "{name} and its expected version belong together: give both, or none"
        ))),
    }
}

/// Changes the parts that are given, if the versions of all of them are the expected ones.
#[utoipa::path(
    post, path = "/v1/artifacts/{id}", operation_id = "artifact_update", tag = "sync",
    security(("userToken" = [])),
    params(("id" = String, Path, description = "The artifact")),
    request_body = UpdateArtifact,
    responses(
        (status = 200, description = "Written, or the versions differ",
         body = UpdateArtifactAnswer),
        (status = 400, description = "Not such a body", body = ErrorBody),
        (status = 401, description = "No token, or a bad one", body = ErrorBody),
        (status = 404, description = "No such artifact of the caller", body = ErrorBody),
        (status = 413, description = "The body is too large", body = ErrorBody),
        (status = 503, description = "The database is not available", body = ErrorBody),
    )
)]
pub async fn update(
    user: UserIdentity,
    state: web::Data<AppState>,
    id: web::Path<String>,
    body: JsonBody,
) -> Result<web::Json<UpdateArtifactAnswer>, ApiError> {
    let id = id_of(id)?;
    let request: UpdateArtifact = body.read()?;
    let header = part(
        "header",
        request.header.as_deref(),
        request.expected_header_version,
    )?;
    let body = part(
        "body",
        request.body.as_deref(),
        request.expected_body_version,
    )?;
    if header.is_none() && body.is_none() {
        let text = "nothing to change: give header and expectedHeaderVersion, body and \
                    expectedBodyVersion, or all of them";
        return Err(ApiError::validation(text));
    }
    let written = change(&state, &user, async move |change| {
        artifacts::write(change, &id, header, body).await
    });
    Ok(web::Json(match written.await? {
        ArtifactWrite::Written { header, body } => UpdateArtifactAnswer {
            success: true,
            header_version: header,
            body_version: body,
            ..UpdateArtifactAnswer::default()
        },
        ArtifactWrite::Mismatch { header, body } => {
            let (header_version, header) = header.unzip();
            let (body_version, body) = body.unzip();
            UpdateArtifactAnswer {
                error: Some("version-mismatch"),
                current_header_version: header_version,
                current_header: header,
                current_body_version: body_version,
                current_body: body,
                ..UpdateArtifactAnswer::default()
            }
        }
    }))
}

/// Deletes an artifact for good.
#[utoipa::path(
    delete, path = "/v1/artifacts/{id}", operation_id = "artifact_delete", tag = "sync",
    security(("userToken" = [])),
    params(("id" = String, Path, description = "The artifact")),
    responses(
        (status = 200, description = "It is deleted", body = Success),
        (status = 401, description = "No token, or a bad one", body = ErrorBody),
        (status = 404, description = "No such artifact of the caller", body = ErrorBody),
        (status = 503, description = "The database is not available", body = ErrorBody),
    )
)]
pub async fn delete(
    user: UserIdentity,
    state: web::Data<AppState>,
    id: web::Path<String>,
) -> Result<web::Json<Success>, ApiError> {
    let id = id_of(id)?;
    let deleted = change(&state, &user, async move |change| {
        artifacts::delete(change, &id).await
    });
    deleted.await?;
    Ok(web::Json(Success::DONE))
}
