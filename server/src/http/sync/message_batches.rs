//! Messages in batches, as the command-line client sends and fetches them (contract
//! happy-client.md, section 6).

use std::borrow::Cow;

use actix_web::{HttpRequest, web};
use dormouse_protocol::ErrorBody;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use utoipa::ToSchema;

use super::{change, id_of, read};
use crate::app_state::AppState;
use crate::http::credentials::UserIdentity;
use crate::http::errors::ApiError;
use crate::http::json_body::JsonBody;
use crate::http::query::Query;
use crate::sync::limits;
use crate::sync::messages::{self, From, Message, NewMessage};
use crate::sync::sessions::{self, SESSION};

/// Bytes of content at which a page ends.
const PAGE_BYTES: usize = 16 << 20;

/// A stored message.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct NumberedMessage {
    /// The id.
    id: String,
    /// Its number in the session, from 1.
    seq: i64,
    /// As it was sent: `{"t":"encrypted","c"}`.
    #[schema(value_type = serde_json::Value)]
    content: Box<RawValue>,
    /// The client's own id.
    local_id: Option<String>,
    /// Unix ms.
    created_at: i64,
    /// Unix ms; messages do not change.
    updated_at: i64,
}

impl std::convert::From<Message> for NumberedMessage {
    fn from(message: Message) -> Self {
        Self {
            id: message.id,
            seq: message.seq,
            content: message.content,
            local_id: message.local_id,
            created_at: message.created_at,
            updated_at: message.updated_at,
        }
    }
}

/// A page of messages.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct NumberedPage {
    messages: Vec<NumberedMessage>,
    /// Whether there are more in this direction.
    has_more: bool,
}

/// A message to be stored.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct BatchMessage<'a> {
    /// Ciphertext.
    #[serde(borrow)]
    content: Cow<'a, str>,
    /// The client's own id: one message for each in a session.
    #[serde(borrow, default)]
    #[schema(max_length = 128)]
    local_id: Option<Cow<'a, str>>,
}

/// Messages to be stored, all or none.
#[derive(Debug, Deserialize, ToSchema)]
pub struct Batch<'a> {
    /// 1 to 100, in their order.
    #[serde(borrow)]
    #[schema(min_items = 1, max_items = 100)]
    messages: Vec<BatchMessage<'a>>,
}

/// Where a message was stored.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct StoredMessage {
    /// The id.
    id: String,
    /// Its number in the session.
    seq: i64,
    /// The client's own id.
    local_id: Option<String>,
    /// Unix ms.
    created_at: i64,
    /// Unix ms.
    updated_at: i64,
}

/// Where the messages of a batch were stored.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct BatchAnswer {
    /// By `seq`; a message that was there before stands at its old number.
    messages: Vec<StoredMessage>,
}

/// Messages by their numbers: upwards from `after_seq`, or downwards from `before_seq`.
///
/// A page may hold fewer than `limit` where messages are large; `hasMore` says whether there are
/// more.
#[utoipa::path(
    get, path = "/v3/sessions/{id}/messages", operation_id = "messages_by_number", tag = "sync",
    security(("userToken" = [])),
    params(
        ("id" = String, Path, description = "The session"),
        ("after_seq" = Option<u64>, Query, minimum = 0, maximum = 9007199254740991_u64,
         description = "0, if both are absent"),
        ("before_seq" = Option<u64>, Query, minimum = 0, maximum = 9007199254740991_u64,
         description = "Not together with `after_seq`"),
        ("limit" = Option<u64>, Query, minimum = 1, maximum = 500, description = "100, if absent"),
    ),
    responses(
        (status = 200, description = "A page", body = NumberedPage),
        (status = 400, description = "A bad number, or both", body = ErrorBody),
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
) -> Result<web::Json<NumberedPage>, ApiError> {
    let id = id_of(SESSION, id.into_inner())?;
    let query = Query::new(request.query_string());
    let number = |name| {
        let value = query.number(name, 0..=i64::MAX as u64)?;
        Ok::<_, ApiError>(value.map(|seq| i64::try_from(seq).unwrap_or(i64::MAX)))
    };
    let from = match (number("after_seq")?, number("before_seq")?) {
        (Some(_), Some(_)) => {
            let text = "after_seq and before_seq exclude each other; send one of them";
            return Err(ApiError::validation(text));
        }
        (None, Some(before)) => From::Before(before),
        (after, None) => From::After(after.unwrap_or(0)),
    };
    let most = query.number("limit", 1..=500)?.unwrap_or(100) as usize;
    let page = read(&state, &user, async move |reader, account| {
        sessions::require(reader, account, &id).await?;
        messages::page(reader, &id, from, most, PAGE_BYTES).await
    });
    let (messages, has_more) = page.await?;
    Ok(web::Json(NumberedPage {
        messages: messages.into_iter().map(Into::into).collect(),
        has_more,
    }))
}

/// Stores messages, all or none, and tells all who look at the session, the sender included.
///
/// A message whose `localId` the session has already is answered with what is stored, and nobody is
/// told again. Bodies may be as large as `http.messages_body`, and single messages as well.
#[utoipa::path(
    post, path = "/v3/sessions/{id}/messages", operation_id = "messages_create_batch", tag = "sync",
    security(("userToken" = [])),
    params(("id" = String, Path, description = "The session")),
    request_body = Batch<'static>,
    responses(
        (status = 200, description = "Where they are stored", body = BatchAnswer),
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
) -> Result<web::Json<BatchAnswer>, ApiError> {
    let session = id_of(SESSION, id.into_inner())?;
    let batch: Batch<'_> = body.read()?;
    if !(1..=limits::BATCH).contains(&batch.messages.len()) {
        let text = format!("messages must have 1 to {} elements", limits::BATCH);
        return Err(ApiError::validation(text));
    }
    let mut new = Vec::with_capacity(batch.messages.len());
    for message in batch.messages {
        limits::text("content", &message.content, usize::MAX)?;
        let local_id = message.local_id.filter(|id| !id.is_empty());
        if let Some(local_id) = &local_id {
            limits::text("localId", local_id, limits::ID)?;
        }
        new.push(NewMessage {
            session: session.clone(),
            content: messages::encrypted(&message.content),
            local_id: local_id.map(Cow::into_owned),
            sender: None,
        });
    }
    drop(body);
    let stored = change(&state, &user, async move |change| {
        let mut stored = Vec::with_capacity(new.len());
        for message in new {
            let (message, _) = messages::create(change, message).await?;
            stored.push(StoredMessage {
                id: message.id,
                seq: message.seq,
                local_id: message.local_id,
                created_at: message.created_at,
                updated_at: message.updated_at,
            });
        }
        Ok(stored)
    });
    let mut messages = stored.await?;
    messages.sort_by_key(|message| message.seq);
    messages.dedup_by(|one, other| one.seq == other.seq);
    Ok(web::Json(BatchAnswer { messages }))
}
