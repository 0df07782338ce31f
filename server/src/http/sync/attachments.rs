//! Files of sessions (contract happy-client.md, section 7): where to send one, and where to fetch
//! it. The addresses carry their own permission; what they serve is in [`crate::http::file_links`].

use actix_web::http::StatusCode;
use actix_web::{HttpRequest, web};
use dormouse_protocol::ErrorBody;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{change, id_of, read};
use crate::app_state::AppState;
use crate::clock::unix_ms;
use crate::http::credentials::UserIdentity;
use crate::http::errors::ApiError;
use crate::http::json_body::JsonBody;
use crate::http::origin;
use crate::session_files::MOST_BYTES;
use crate::session_files::links::Access;
use crate::sync::session_files::{self, FILE, NewFile};
use crate::sync::sessions::{self, SESSION};
use crate::sync::{SyncError, limits};

/// Most characters of a file's name.
const NAME: usize = 255;

/// A file to be uploaded.
#[derive(Clone, Debug, Deserialize, ToSchema)]
pub struct UploadRequest {
    /// The client's name for it.
    #[schema(min_length = 1, max_length = 255)]
    filename: String,
    /// Bytes, exactly.
    #[schema(minimum = 1, maximum = 10_485_760)]
    size: u64,
}

/// Where to send a file.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct UploadAnswer {
    /// Names the file from now on.
    #[serde(rename = "ref")]
    reference: String,
    /// Takes the content for some minutes, without a token.
    upload_url: String,
    /// `PUT`.
    method: &'static str,
}

/// A file to be fetched.
#[derive(Clone, Debug, Deserialize, ToSchema)]
pub struct DownloadRequest {
    /// What the answer to the upload named it.
    #[serde(rename = "ref")]
    #[schema(min_length = 1, max_length = 128)]
    reference: String,
}

/// Where to fetch a file.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct DownloadAnswer {
    /// Has the content for some minutes, without a token.
    download_url: String,
}

fn link(
    state: &AppState,
    request: &HttpRequest,
    access: Access,
    session: &str,
    file: &str,
) -> Result<String, ApiError> {
    let lifetime = u64::try_from(state.settings.files.link_ttl.as_millis()).unwrap_or(u64::MAX);
    let expires = unix_ms().saturating_add(lifetime);
    let path = state.file_links.path(access, session, file, expires);
    Ok(origin::of(&state.settings.http, request)? + &path)
}

/// Announces a file of a session; says where to send it.
#[utoipa::path(
    post, path = "/v1/sessions/{id}/attachments/request-upload", operation_id = "attachment_upload",
    tag = "sync", security(("userToken" = [])),
    params(("id" = String, Path, description = "The session")),
    request_body = UploadRequest,
    responses(
        (status = 200, description = "Where to send it", body = UploadAnswer),
        (status = 400, description = "Not such a body", body = ErrorBody),
        (status = 401, description = "No token, or a bad one", body = ErrorBody),
        (status = 404, description = "No such session of the caller", body = ErrorBody),
        (status = 413, description = "The file, or the body, is too large", body = ErrorBody),
        (status = 503, description = "The database is not available", body = ErrorBody),
        (status = 507, description = "The caller's files would take more than `files.per_account`",
         body = ErrorBody),
    )
)]
pub async fn request_upload(
    user: UserIdentity,
    state: web::Data<AppState>,
    id: web::Path<String>,
    request: HttpRequest,
    body: JsonBody,
) -> Result<web::Json<UploadAnswer>, ApiError> {
    let session = id_of(SESSION, id.into_inner())?;
    let asked: UploadRequest = body.read()?;
    limits::filled("filename", &asked.filename, NAME)?;
    if asked.size == 0 {
        return Err(ApiError::validation("size must be 1 or more"));
    }
    if asked.size > MOST_BYTES {
        return Err(ApiError::file_too_large(MOST_BYTES));
    }
    let most = state.settings.files.per_account.as_u64();
    let new = NewFile {
        session: session.clone(),
        name: asked.filename,
        size: asked.size,
    };
    let announced = change(&state, &user, async move |change| {
        session_files::announce(change, new, most).await
    });
    let Some(reference) = announced.await? else {
        let text = format!(
            "the account's files would take more than {most} bytes; delete sessions that have \
             some, or ask the operator of this server to raise files.per_account"
        );
        return Err(ApiError::new(StatusCode::INSUFFICIENT_STORAGE, text).code("QUOTA_EXCEEDED"));
    };
    Ok(web::Json(UploadAnswer {
        upload_url: link(&state, &request, Access::Upload, &session, &reference)?,
        reference,
        method: "PUT",
    }))
}

/// Says where to fetch a file of a session.
#[utoipa::path(
    post, path = "/v1/sessions/{id}/attachments/request-download",
    operation_id = "attachment_download", tag = "sync", security(("userToken" = [])),
    params(("id" = String, Path, description = "The session")),
    request_body = DownloadRequest,
    responses(
        (status = 200, description = "Where to fetch it", body = DownloadAnswer),
        (status = 400, description = "Not such a body", body = ErrorBody),
        (status = 401, description = "No token, or a bad one", body = ErrorBody),
        (status = 404, description = "No such session of the caller, or no such file that is \
         uploaded", body = ErrorBody),
        (status = 413, description = "The body is too large", body = ErrorBody),
        (status = 503, description = "The database is not available", body = ErrorBody),
    )
)]
pub async fn request_download(
    user: UserIdentity,
    state: web::Data<AppState>,
    id: web::Path<String>,
    request: HttpRequest,
    body: JsonBody,
) -> Result<web::Json<DownloadAnswer>, ApiError> {
    let session = id_of(SESSION, id.into_inner())?;
    let asked: DownloadRequest = body.read()?;
    let reference = limits::filled("ref", &asked.reference, limits::ID)?.to_owned();
    let (owned, wanted) = (session.clone(), reference.clone());
    let found = read(&state, &user, async move |reader, account| {
        sessions::require(reader, account, &owned).await?;
        session_files::find(reader, &owned, &wanted).await
    });
    if !found.await?.is_stored {
        return Err(SyncError::NotFound(FILE).into());
    }
    Ok(web::Json(DownloadAnswer {
        download_url: link(&state, &request, Access::Download, &session, &reference)?,
    }))
}
