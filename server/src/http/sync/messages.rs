//! Messages of sessions (REST contract, section 4).

use actix_web::{HttpRequest, web};
use dormouse_protocol::ErrorBody;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use utoipa::ToSchema;

use super::{change, count, cursor, id_of, read};
use crate::app_state::AppState;
use crate::http::credentials::UserIdentity;
use crate::http::errors::ApiError;
use crate::http::json_body::JsonBody;
use crate::http::query::Query;
use crate::sync::limits;
use crate::sync::messages::{self, Message, NewMessage};
use crate::sync::sessions::{self, SESSION};

/// Most messages of the list without pages.
const MOST: i64 = 150;

/// A message.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct MessageAnswer {
    message: Message,
}

/// Messages.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct MessageList {
    messages: Vec<Message>,
}

/// A page of messages.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct MessagePage {
    messages: Vec<Message>,
    /// For `cursor`; null on the last page.
    next_cursor: Option<String>,
}

/// A message to be stored.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct CreateMessage {
    /// Any JSON, null as well; at most 1,000,000 bytes.
    #[schema(value_type = serde_json::Value)]
    content: Box<RawValue>,
    /// The client's own id: one message for each in a session.
    #[serde(default)]
    #[schema(max_length = 128)]
    local_id: Option<String>,
}

/// Stores a message, or returns the one that the session has with this local id.
#[utoipa::path(
    post, path = "/v1/sessions/{id}/messages", operation_id = "messages_create", tag = "sync",
    security(("userToken" = [])),
    params(("id" = String, Path, description = "The session")),
    request_body = CreateMessage,
    responses(
        (status = 200, description = "The message", body = MessageAnswer),
        (status = 400, description = "Not such a body", body = ErrorBody),
        (status = 401, description = "No token, or a bad one", body = ErrorBody),
        (status = 404, description = "No such session of the caller", body = ErrorBody),
        (status = 413, description = "The body is too large", body = ErrorBody),
        (status = 503, description = "The database is not available", body = ErrorBody),
    )
)]
pub async fn create(
    user: UserIdentity,
    state: web::Data<AppState>,
    id: web::Path<String>,
    body: JsonBody,
) -> Result<web::Json<MessageAnswer>, ApiError> {
    let session = id_of(SESSION, id.into_inner())?;
    let body: CreateMessage = body.read()?;
    if body.content.get().len() > limits::MESSAGE {
        let most = limits::MESSAGE;
        let text = format!("content must have at most {most} bytes");
        return Err(ApiError::validation(text));
    }
    let local_id = body.local_id.filter(|id| !id.is_empty());
    if let Some(local_id) = &local_id {
        limits::text("localId", local_id, limits::ID)?;
    }
    let new = NewMessage {
        session,
        content: body.content.get().to_owned(),
        local_id,
        sender: None,
    };
    let stored = change(&state, &user, async |change| {
        messages::create(change, new).await
    });
    let (message, _) = stored.await?;
    Ok(web::Json(MessageAnswer { message }))
}

/// The newest messages, newest first; with `sinceSeq` those after it, in their order.
#[utoipa::path(
    get, path = "/v1/sessions/{id}/messages", operation_id = "messages_list", tag = "sync",
    security(("userToken" = [])),
    params(
        ("id" = String, Path, description = "The session"),
        ("sinceSeq" = Option<u64>, Query, minimum = 0, maximum = 9007199254740991_u64,
         description = "The highest `seq` that the client has"),
    ),
    responses(
        (status = 200, description = "At most 150", body = MessageList),
        (status = 400, description = "A bad number", body = ErrorBody),
        (status = 401, description = "No token, or a bad one", body = ErrorBody),
        (status = 404, description = "No such session of the caller", body = ErrorBody),
        (status = 503, description = "The database is not available", body = ErrorBody),
    )
)]
pub async fn list(
    user: UserIdentity,
    state: web::Data<AppState>,
    id: web::Path<String>,
    request: HttpRequest,
) -> Result<web::Json<MessageList>, ApiError> {
    let id = id_of(SESSION, id.into_inner())?;
    let query = Query::new(request.query_string());
    let since = query.number("sinceSeq", 0..=i64::MAX as u64)?;
    let messages = read(&state, &user, async move |reader, account| {
        sessions::require(reader, account, &id).await?;
        match since {
            None => messages::newest(reader, &id, MOST).await,
            Some(since) => messages::after(reader, &id, count(Some(since), 0), MOST).await,
        }
    });
    let messages = messages.await?;
    Ok(web::Json(MessageList { messages }))
}

/// Messages by pages, the newest first.
#[utoipa::path(
    get, path = "/v2/sessions/{id}/messages", operation_id = "messages_page", tag = "sync",
    security(("userToken" = [])),
    params(
        ("id" = String, Path, description = "The session"),
        ("cursor" = Option<String>, Query, description = "`nextCursor` of the page before"),
        ("limit" = Option<u64>, Query, minimum = 1, maximum = 200, description = "50, if absent"),
    ),
    responses(
        (status = 200, description = "A page", body = MessagePage),
        (status = 400, description = "A bad cursor or limit", body = ErrorBody),
        (status = 401, description = "No token, or a bad one", body = ErrorBody),
        (status = 404, description = "No such session of the caller", body = ErrorBody),
        (status = 503, description = "The database is not available", body = ErrorBody),
    )
)]
pub async fn page(
    user: UserIdentity,
    state: web::Data<AppState>,
    id: web::Path<String>,
    request: HttpRequest,
) -> Result<web::Json<MessagePage>, ApiError> {
    let id = id_of(SESSION, id.into_inner())?;
    let query = Query::new(request.query_string());
    let before = cursor::read(&query)?;
    let most = count(query.number("limit", 1..=200)?, 50);
    let messages = read(&state, &user, async move |reader, account| {
        sessions::require(reader, account, &id).await?;
        messages::by_id(reader, &id, before.as_deref(), most + 1).await
    });
    let (messages, next_cursor) =
        cursor::page(messages.await?, most, |message: &Message| &message.id);
    Ok(web::Json(MessagePage {
        messages,
        next_cursor,
    }))
}
