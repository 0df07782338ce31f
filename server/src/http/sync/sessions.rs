//! Sessions (REST contract, section 4).

use actix_web::{HttpRequest, web};
use dormouse_protocol::{ErrorBody, Filter};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{change, count, cursor, id_of, read};
use crate::app_state::AppState;
use crate::clock::unix_ms;
use crate::http::credentials::UserIdentity;
use crate::http::errors::ApiError;
use crate::http::json_body::JsonBody;
use crate::http::query::Query;
use crate::sync::heartbeats::Source;
use crate::sync::sessions::{self, NewSession, SESSION, Session, lists};
use crate::sync::{binary, limits};

/// Most sessions of the list without pages.
const NEWEST: i64 = 150;

/// A session.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct SessionAnswer {
    session: Session,
}

/// Sessions.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct SessionList {
    sessions: Vec<Session>,
}

/// A page of sessions.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct SessionPage {
    sessions: Vec<Session>,
    /// For `cursor`; null on the last page.
    next_cursor: Option<String>,
}

/// A session to be made.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct CreateSession {
    /// Names it within its account: one session for each tag.
    #[schema(min_length = 1, max_length = 256)]
    tag: String,
    /// Ciphertext.
    #[schema(max_length = 500_000)]
    metadata: String,
    /// Ciphertext.
    #[serde(default)]
    #[schema(max_length = 500_000)]
    agent_state: Option<String>,
    /// Base64.
    #[serde(default)]
    #[schema(max_length = 256)]
    data_encryption_key: Option<String>,
}

/// That something was done.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
pub struct Success {
    success: bool,
}

impl Success {
    /// It was.
    pub const DONE: Self = Self { success: true };
}

/// The newest sessions by their last change, inactive and archived ones included.
#[utoipa::path(
    get, path = "/v1/sessions", operation_id = "sessions_list", tag = "sync",
    security(("userToken" = [])),
    responses(
        (status = 200, description = "At most 150", body = SessionList),
        (status = 401, description = "No token, or a bad one", body = ErrorBody),
        (status = 503, description = "The database is not available", body = ErrorBody),
    )
)]
pub async fn list(
    user: UserIdentity,
    state: web::Data<AppState>,
) -> Result<web::Json<SessionList>, ApiError> {
    let sessions = read(&state, &user, async |reader, account| {
        lists::by_update(reader, account, NEWEST).await
    });
    let sessions = sessions.await?;
    Ok(web::Json(SessionList { sessions }))
}

/// Sessions by pages, the newest first.
#[utoipa::path(
    get, path = "/v2/sessions", operation_id = "sessions_page", tag = "sync",
    security(("userToken" = [])),
    params(
        ("cursor" = Option<String>, Query, description = "`nextCursor` of the page before"),
        ("limit" = Option<u64>, Query, minimum = 1, maximum = 200, description = "50, if absent"),
        ("changedSince" = Option<u64>, Query, minimum = 1, maximum = 9007199254740991_u64,
         description = "Only those changed after this time, Unix ms"),
    ),
    responses(
        (status = 200, description = "A page", body = SessionPage),
        (status = 400, description = "A bad cursor, limit or time", body = ErrorBody),
        (status = 401, description = "No token, or a bad one", body = ErrorBody),
        (status = 503, description = "The database is not available", body = ErrorBody),
    )
)]
pub async fn page(
    user: UserIdentity,
    state: web::Data<AppState>,
    request: HttpRequest,
) -> Result<web::Json<SessionPage>, ApiError> {
    let query = Query::new(request.query_string());
    let before = cursor::read(&query)?;
    let most = count(query.number("limit", 1..=200)?, 50);
    let since = query.number("changedSince", 1..=i64::MAX as u64)?;
    let since = since.map(|since| count(Some(since), 0));
    let sessions = read(&state, &user, async move |reader, account| {
        lists::by_id(reader, account, before.as_deref(), since, most + 1).await
    });
    let (sessions, next_cursor) =
        cursor::page(sessions.await?, most, |session: &Session| &session.id);
    Ok(web::Json(SessionPage {
        sessions,
        next_cursor,
    }))
}

/// Active sessions with a sign of life in the last 15 minutes, the most recent first.
#[utoipa::path(
    get, path = "/v2/sessions/active", operation_id = "sessions_active", tag = "sync",
    security(("userToken" = [])),
    params(
        ("limit" = Option<u64>, Query, minimum = 1, maximum = 500, description = "150, if absent"),
    ),
    responses(
        (status = 200, description = "Active sessions", body = SessionList),
        (status = 400, description = "A bad limit", body = ErrorBody),
        (status = 401, description = "No token, or a bad one", body = ErrorBody),
        (status = 503, description = "The database is not available", body = ErrorBody),
    )
)]
pub async fn active(
    user: UserIdentity,
    state: web::Data<AppState>,
    request: HttpRequest,
) -> Result<web::Json<SessionList>, ApiError> {
    let query = Query::new(request.query_string());
    let most = count(query.number("limit", 1..=500)?, 150);
    let now = i64::try_from(unix_ms()).unwrap_or(i64::MAX);
    let sessions = read(&state, &user, async move |reader, account| {
        lists::active(reader, account, now, most).await
    });
    let sessions = sessions.await?;
    Ok(web::Json(SessionList { sessions }))
}

/// Makes a session, or returns the one with this tag exactly as it is stored.
#[utoipa::path(
    post, path = "/v1/sessions", operation_id = "sessions_create", tag = "sync",
    security(("userToken" = [])), request_body = CreateSession,
    responses(
        (status = 200, description = "The session", body = SessionAnswer),
        (status = 400, description = "Not such a body", body = ErrorBody),
        (status = 401, description = "No token, or a bad one", body = ErrorBody),
        (status = 413, description = "The body is too large", body = ErrorBody),
        (status = 503, description = "The database is not available", body = ErrorBody),
    )
)]
pub async fn create(
    user: UserIdentity,
    state: web::Data<AppState>,
    body: JsonBody,
) -> Result<web::Json<SessionAnswer>, ApiError> {
    let body: CreateSession = body.read()?;
    limits::filled("tag", &body.tag, limits::TAG)?;
    limits::text("metadata", &body.metadata, limits::STATE)?;
    if let Some(agent_state) = &body.agent_state {
        limits::text("agentState", agent_state, limits::STATE)?;
    }
    let new = NewSession {
        tag: body.tag,
        metadata: body.metadata,
        agent_state: body.agent_state,
        data_encryption_key: data_key(body.data_encryption_key.as_deref())?,
    };
    let heartbeats = state.heartbeats.clone();
    let created = change(&state, &user, async move |change| {
        let session = sessions::create(change, new).await?;
        heartbeats.resumed(&Source::session(change.account(), &session.id));
        Ok(session)
    });
    let session = created.await?;
    Ok(web::Json(SessionAnswer { session }))
}

/// The bytes of a data encryption key.
pub(super) fn data_key(text: Option<&str>) -> Result<Option<Vec<u8>>, ApiError> {
    let Some(text) = text else { return Ok(None) };
    limits::text("dataEncryptionKey", text, limits::DATA_KEY)?;
    Ok(Some(binary::decode("dataEncryptionKey", text)?))
}

/// One session.
#[utoipa::path(
    get, path = "/v1/sessions/{id}", operation_id = "session_one", tag = "sync",
    security(("userToken" = [])),
    params(("id" = String, Path, description = "The session")),
    responses(
        (status = 200, description = "The session", body = SessionAnswer),
        (status = 401, description = "No token, or a bad one", body = ErrorBody),
        (status = 404, description = "No such session of the caller", body = ErrorBody),
        (status = 503, description = "The database is not available", body = ErrorBody),
    )
)]
pub async fn one(
    user: UserIdentity,
    state: web::Data<AppState>,
    id: web::Path<String>,
) -> Result<web::Json<SessionAnswer>, ApiError> {
    let id = id_of(SESSION, id.into_inner())?;
    let session = read(&state, &user, async move |reader, account| {
        sessions::find(reader, account, &id).await
    });
    let session = session.await?;
    Ok(web::Json(SessionAnswer { session }))
}

/// Deletes a session with its messages, usage reports and access keys, for good.
#[utoipa::path(
    delete, path = "/v1/sessions/{id}", operation_id = "session_delete", tag = "sync",
    security(("userToken" = [])),
    params(("id" = String, Path, description = "The session")),
    responses(
        (status = 200, description = "It is deleted", body = Success),
        (status = 401, description = "No token, or a bad one", body = ErrorBody),
        (status = 404, description = "No such session of the caller", body = ErrorBody),
        (status = 503, description = "The database is not available", body = ErrorBody),
    )
)]
pub async fn delete(
    user: UserIdentity,
    state: web::Data<AppState>,
    id: web::Path<String>,
) -> Result<web::Json<Success>, ApiError> {
    let id = id_of(SESSION, id.into_inner())?;
    let heartbeats = state.heartbeats.clone();
    let deleted = change(&state, &user, async move |change| {
        sessions::delete(change, &id, Filter::All).await?;
        heartbeats.ended(Source::session(change.account(), &id), change.now());
        Ok(())
    });
    deleted.await?;
    Ok(web::Json(Success::DONE))
}
