//! The end of a session as clients ask for it: archiving, and how a session stands (REST contract,
//! section 4, "later").

use actix_web::web;
use dormouse_protocol::ErrorBody;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{change, id_of, read};
use crate::app_state::AppState;
use crate::clock::iso;
use crate::http::credentials::UserIdentity;
use crate::http::errors::ApiError;
use crate::http::json_body::JsonBody;
use crate::sync::heartbeats::Source;
use crate::sync::limits;
use crate::sync::sessions::{self, Archived, SESSION};

/// Why a session is archived.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ArchiveReason {
    /// It could not be resumed.
    RevivalFailed,
    /// The user wants it so.
    UserRequested,
    /// It was silent for too long.
    Timeout,
}

impl ArchiveReason {
    const fn as_str(self) -> &'static str {
        match self {
            Self::RevivalFailed => "revival_failed",
            Self::UserRequested => "user_requested",
            Self::Timeout => "timeout",
        }
    }
}

/// How to archive. Without a reason the session only becomes inactive.
#[derive(Clone, Debug, Default, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ArchiveRequest {
    /// Why.
    #[serde(default)]
    reason: Option<ArchiveReason>,
    /// What went wrong before.
    #[serde(default)]
    original_error: Option<String>,
}

/// What became of the session.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ArchiveAnswer {
    success: bool,
    /// The session.
    session_id: String,
    /// Since when it is archived, ISO 8601 UTC.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    archived_at: Option<String>,
    /// Set when it had no messages and is deleted instead.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    deleted: Option<bool>,
}

/// Archives a session. Without a reason it only becomes inactive, and can be resumed.
#[utoipa::path(
    post, path = "/v1/sessions/{id}/archive", operation_id = "session_archive", tag = "sync",
    security(("userToken" = [])),
    params(("id" = String, Path, description = "The session")),
    request_body = Option<ArchiveRequest>,
    responses(
        (status = 200, description = "What became of it", body = ArchiveAnswer),
        (status = 400, description = "Not such a body, or archived already", body = ErrorBody),
        (status = 401, description = "No token, or a bad one", body = ErrorBody),
        (status = 404, description = "No such session of the caller", body = ErrorBody),
        (status = 413, description = "The body is too large", body = ErrorBody),
        (status = 503, description = "The database is not available", body = ErrorBody),
    )
)]
pub async fn archive(
    user: UserIdentity,
    state: web::Data<AppState>,
    id: web::Path<String>,
    body: JsonBody,
) -> Result<web::Json<ArchiveAnswer>, ApiError> {
    let id = id_of(SESSION, id.into_inner())?;
    let ArchiveRequest {
        reason,
        original_error,
    } = body.read_or_default()?;
    if let Some(error) = &original_error {
        limits::text("originalError", error, limits::STATE)?;
    }
    let (heartbeats, session) = (state.heartbeats.clone(), id.clone());
    let ended = change(&state, &user, async move |change| {
        let account = change.account();
        let source = Source::session(account.clone(), &session);
        let Some(reason) = reason else {
            sessions::require(change.connection(), &account, &session).await?;
            heartbeats.ended(source, change.now());
            let now = change.now();
            sessions::deactivate(change, &session, now).await?;
            return Ok(None);
        };
        let error = original_error.as_deref();
        let archived = sessions::archive(change, &session, reason.as_str(), error).await?;
        heartbeats.ended(source, change.now());
        Ok(Some(archived))
    });
    let mut answer = ArchiveAnswer {
        success: true,
        session_id: id,
        archived_at: None,
        deleted: None,
    };
    match ended.await? {
        Some(Archived::Kept(at)) => answer.archived_at = Some(iso(at.unsigned_abs())),
        Some(Archived::Deleted) => answer.deleted = Some(true),
        None => {}
    }
    Ok(web::Json(answer))
}

/// How a session stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum SessionStateName {
    /// It runs.
    Active,
    /// It has ended, and may be resumed.
    Stopped,
    /// It has ended for good.
    Archived,
}

/// How a session stands, and since when.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct SessionState {
    /// The session.
    session_id: String,
    /// How it stands.
    state: SessionStateName,
    /// ISO 8601 UTC.
    stopped_at: Option<String>,
    /// Why it stopped.
    stopped_reason: Option<String>,
    /// The last sign of life, ISO 8601 UTC.
    last_activity: Option<String>,
}

/// How a session stands.
#[utoipa::path(
    get, path = "/v1/sessions/{id}/state", operation_id = "session_state", tag = "sync",
    security(("userToken" = [])),
    params(("id" = String, Path, description = "The session")),
    responses(
        (status = 200, description = "How it stands", body = SessionState),
        (status = 401, description = "No token, or a bad one", body = ErrorBody),
        (status = 404, description = "No such session of the caller", body = ErrorBody),
        (status = 503, description = "The database is not available", body = ErrorBody),
    )
)]
pub async fn state(
    user: UserIdentity,
    state: web::Data<AppState>,
    id: web::Path<String>,
) -> Result<web::Json<SessionState>, ApiError> {
    let id = id_of(SESSION, id.into_inner())?;
    let session = id.clone();
    let standing = read(&state, &user, async move |reader, account| {
        sessions::standing(reader, account, &session).await
    });
    let standing = standing.await?;
    let name = if standing.archived_at.is_some() {
        SessionStateName::Archived
    } else if !standing.is_active || standing.stopped_at.is_some() {
        SessionStateName::Stopped
    } else {
        SessionStateName::Active
    };
    let text = |at: i64| iso(at.unsigned_abs());
    Ok(web::Json(SessionState {
        session_id: id,
        state: name,
        stopped_at: standing.stopped_at.map(text),
        stopped_reason: standing.stopped_reason,
        last_activity: Some(text(standing.last_active_at)),
    }))
}
