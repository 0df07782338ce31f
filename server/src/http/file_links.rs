//! The contents of sessions' files, at addresses that carry their own permission: no token is
//! needed, and none is looked at.

use actix_web::http::StatusCode;
use actix_web::http::header;
use actix_web::{HttpRequest, HttpResponse, web};
use dormouse_protocol::ErrorBody;
use futures_util::StreamExt as _;
use futures_util::stream;

use super::auth::Done;
use super::endpoint::Endpoint;
use super::errors::ApiError;
use super::query::Query;
use crate::app_state::AppState;
use crate::clock::unix_ms;
use crate::database::Reader;
use crate::session_files::folder::next_piece;
use crate::session_files::links::Access;
use crate::session_files::{MOST_BYTES, StoreFault};
use crate::sync::SyncError;
use crate::sync::session_files::{self, FILE, SessionFile};

/// The routes.
pub fn endpoints() -> Vec<Endpoint> {
    vec![
        Endpoint::at("/v1/sessions/{id}/attachments/{file}")
            .get(download)
            .put(upload),
    ]
}

/// The file of an address, if it lets in for this.
async fn file_of(
    state: &AppState,
    request: &HttpRequest,
    path: (String, String),
    access: Access,
) -> Result<SessionFile, ApiError> {
    let (session, file) = path;
    let query = Query::new(request.query_string());
    let expires = query.number("expires", 0..=u64::MAX)?.unwrap_or(0);
    let signature = query.text("signature")?.unwrap_or_default();
    state
        .file_links
        .check(access, &session, &file, expires, signature, unix_ms())
        .map_err(|fault| ApiError::new(StatusCode::FORBIDDEN, fault.to_string()))?;
    let found = state
        .database
        .read(async move |reader: &mut Reader| session_files::find(reader, &session, &file).await);
    Ok(found.await?)
}

impl From<StoreFault> for ApiError {
    fn from(fault: StoreFault) -> Self {
        match fault {
            StoreFault::Length { announced, came } if came > announced => {
                Self::file_too_large(announced)
            }
            StoreFault::Length { .. } => Self::validation(fault.to_string()),
            StoreFault::Full(err) => {
                tracing::error!(%err, "no room for a file");
                let text = "the disk of this server is full, and nothing was stored; tell its \
                            operator, or try again later";
                Self::new(StatusCode::INSUFFICIENT_STORAGE, text).code("DISK_FULL")
            }
            other => Self::internal(&other),
        }
    }
}

/// Takes the content of a file that was announced. Sent again, it replaces what was sent before.
#[utoipa::path(
    put, path = "/v1/sessions/{id}/attachments/{file}", operation_id = "attachment_put",
    tag = "sync",
    params(
        ("id" = String, Path, description = "The session"),
        ("file" = String, Path, description = "The file"),
        ("expires" = Option<u64>, Query, description = "Of the address that was given",
         maximum = 9007199254740991_u64),
        ("signature" = Option<String>, Query, description = "Of the address that was given"),
    ),
    request_body(content = String, content_type = "application/octet-stream",
        description = "As many bytes as were announced"),
    responses(
        (status = 200, description = "It is stored", body = Done),
        (status = 400, description = "Fewer bytes than were announced", body = ErrorBody),
        (status = 403, description = "The address is not valid, or has expired", body = ErrorBody),
        (status = 404, description = "The session is deleted", body = ErrorBody),
        (status = 413, description = "More bytes than were announced", body = ErrorBody),
        (status = 503, description = "The database is not available", body = ErrorBody),
        (status = 507, description = "The disk is full", body = ErrorBody),
    )
)]
pub async fn upload(
    state: web::Data<AppState>,
    path: web::Path<(String, String)>,
    request: HttpRequest,
    mut payload: web::Payload,
) -> Result<web::Json<Done>, ApiError> {
    let file = file_of(&state, &request, path.into_inner(), Access::Upload).await?;
    let upload = state.files.store(&file.id, file.size);
    while let Some(piece) = payload.next().await {
        let piece = piece.map_err(|err| {
            tracing::debug!(%err, "an upload broke off");
            ApiError::validation("the body ended before its end; send it again")
        })?;
        if !upload.write(piece).await {
            break;
        }
    }
    upload.finish().await?;
    let id = file.id.clone();
    let noted = state.database.write(async move |tx| {
        let now = tx.now();
        session_files::stored(tx.connection(), &id, now).await
    });
    if noted.await? {
        return Ok(web::Json(Done::YES));
    }
    if let Err(err) = state.files.remove(&file.id).await {
        tracing::warn!(%err, "cannot remove a file of a session that was deleted meanwhile");
    }
    Err(SyncError::NotFound(FILE).into())
}

/// The content of a file.
#[utoipa::path(
    get, path = "/v1/sessions/{id}/attachments/{file}", operation_id = "attachment_get",
    tag = "sync",
    params(
        ("id" = String, Path, description = "The session"),
        ("file" = String, Path, description = "The file"),
        ("expires" = Option<u64>, Query, description = "Of the address that was given",
         maximum = 9007199254740991_u64),
        ("signature" = Option<String>, Query, description = "Of the address that was given"),
    ),
    responses(
        (status = 200, description = "The content", body = String,
         content_type = "application/octet-stream"),
        (status = 400, description = "A bad query", body = ErrorBody),
        (status = 403, description = "The address is not valid, or has expired", body = ErrorBody),
        (status = 404, description = "The session is deleted", body = ErrorBody),
        (status = 503, description = "The database is not available", body = ErrorBody),
    )
)]
pub async fn download(
    state: web::Data<AppState>,
    path: web::Path<(String, String)>,
    request: HttpRequest,
) -> Result<HttpResponse, ApiError> {
    let file = file_of(&state, &request, path.into_inner(), Access::Download).await?;
    if !file.is_stored {
        return Err(SyncError::NotFound(FILE).into());
    }
    let content = state.files.open_file(&file.id).await.map_err(|err| {
        if err.kind() == std::io::ErrorKind::NotFound {
            // A database that was restored without its files.
            tracing::warn!(file = file.id, "a file's content is missing");
            SyncError::NotFound(FILE).into()
        } else {
            ApiError::internal(&err)
        }
    })?;
    let pieces = stream::try_unfold(content, next_piece);
    Ok(HttpResponse::Ok()
        .content_type("application/octet-stream")
        .insert_header((header::CONTENT_DISPOSITION, "attachment"))
        .insert_header((header::CACHE_CONTROL, "no-store"))
        .body(actix_web::body::SizedStream::new(file.size, pieces)))
}

/// How large the body of a request for this path may be, if it is a file's.
#[must_use]
pub fn body_limit(path: &str) -> Option<u64> {
    let rest = path.strip_prefix("/v1/sessions/")?;
    rest.contains("/attachments/").then_some(MOST_BYTES)
}
