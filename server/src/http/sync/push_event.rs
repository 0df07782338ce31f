//! What an agent wants its user to notice (contract happy-client.md, section 7): told to the
//! session's connections, and to devices that are not connected.

use actix_web::web;
use dormouse_protocol::{ErrorBody, Filter};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use utoipa::ToSchema;

use super::{change, id_of};
use crate::app_state::AppState;
use crate::http::credentials::UserIdentity;
use crate::http::errors::ApiError;
use crate::http::json_body::JsonBody;
use crate::push::{PushMessage, PushOutcome};
use crate::sync::bodies::Ephemeral;
use crate::sync::sessions::{self, SESSION};
use crate::sync::{limits, push_tokens};

/// Most characters of a title or a text.
const TEXT: usize = 4000;
/// Most bytes of what the app gets with it: push services take no more.
const DATA: usize = 4096;

/// What has happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum PushKind {
    /// The agent has finished.
    Done,
    /// The agent may not go on without a permission.
    Permission,
    /// The agent asks.
    Question,
}

impl PushKind {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Permission => "permission",
            Self::Question => "question",
        }
    }
}

/// What the user is to notice.
#[derive(Debug, Deserialize, ToSchema)]
pub struct PushEvent {
    /// What has happened.
    kind: PushKind,
    /// The first line, at most 4000 characters.
    #[schema(max_length = 4000)]
    title: String,
    /// The rest, at most 4000 characters.
    #[schema(max_length = 4000)]
    body: String,
    /// What the app gets with it, at most 4096 bytes of JSON.
    #[serde(default)]
    #[schema(value_type = Option<serde_json::Value>)]
    data: Option<Box<RawValue>>,
}

/// What became of it.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct PushEventAnswer {
    /// Always true: the session's connections are told.
    success: bool,
    /// What became of the push messages.
    #[serde(flatten)]
    outcome: PushOutcome,
}

/// Tells the session's connections, and the user's devices unless an app is in the foreground.
#[utoipa::path(
    post, path = "/v1/sessions/{id}/push-event", operation_id = "session_push_event", tag = "push",
    security(("userToken" = [])),
    params(("id" = String, Path, description = "The session")),
    request_body = PushEvent,
    responses(
        (status = 200, description = "What became of it", body = PushEventAnswer),
        (status = 400, description = "Not such a body", body = ErrorBody),
        (status = 401, description = "No token, or a bad one", body = ErrorBody),
        (status = 404, description = "No such session of the caller", body = ErrorBody),
        (status = 413, description = "The body is too large", body = ErrorBody),
        (status = 503, description = "The database is not available", body = ErrorBody),
    )
)]
pub async fn push_event(
    user: UserIdentity,
    state: web::Data<AppState>,
    id: web::Path<String>,
    body: JsonBody,
) -> Result<web::Json<PushEventAnswer>, ApiError> {
    let id = id_of(SESSION, id.into_inner())?;
    let PushEvent {
        kind,
        title,
        body,
        data,
    } = body.read()?;
    limits::text("title", &title, TEXT)?;
    limits::text("body", &body, TEXT)?;
    if data.as_ref().is_some_and(|data| data.get().len() > DATA) {
        let text = format!("data must have at most {DATA} bytes");
        return Err(ApiError::validation(text));
    }
    let message = PushMessage { title, body, data };
    let (title, body) = (message.title.clone(), message.body.clone());
    let told = change(&state, &user, async move |change| {
        let account = change.account();
        sessions::require(change.connection(), &account, &id).await?;
        let event = Ephemeral::SessionEvent {
            session_id: &id,
            sid: &id,
            kind: kind.as_str(),
            title: &title,
            body: &body,
            timestamp: change.now(),
        };
        change.ephemeral(Filter::AllInterestedInSession(id.as_str().into()), &event);
        push_tokens::list(change.connection(), &account).await
    });
    let tokens = told.await?.into_iter().map(|device| device.token).collect();
    let is_seen = state.workers.has_app_in_foreground(&user.0.user).await;
    Ok(web::Json(PushEventAnswer {
        success: true,
        outcome: state.push.send(message, tokens, is_seen).await,
    }))
}
