//! Events of demonstration calls (contract events.md sections 4.1 and 4.2): thin over publishing.

use std::borrow::Cow;
use std::time::Duration;

use actix_web::web;
use dormouse_protocol::EventErrorBody;
use dormouse_protocol::events::CallStatus;
use dormouse_protocol::events::call::{Participant, Role};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;

use super::publish::{check_call_id, check_field, name};
use super::tenant::Tenant;
use crate::app_state::AppState;
use crate::clock::unix_ms;
use crate::events::{CallChange, NewEvent, Outcome, Published, Submission};
use crate::http::errors::ApiError;
use crate::http::json_body::JsonBody;

/// Longest time between two events of a sequence, ms.
const MOST_DELAY: u64 = 60_000;
/// Who calls in a sequence.
const CALLER: &str = "+15551234567";

/// An event of a call; everything has a default.
#[derive(Clone, Debug, Default, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct CallEventRequest<'a> {
    /// The call; a new one by default.
    #[serde(borrow)]
    call_id: Option<Cow<'a, str>>,
    /// The event; `call.started` by default.
    #[serde(borrow)]
    event_type: Option<Cow<'a, str>>,
    /// Asserts the tenant of the credential.
    #[serde(borrow)]
    tenant_id: Option<Cow<'a, str>>,
    /// Who calls.
    #[serde(borrow)]
    from_number: Option<Cow<'a, str>>,
    /// Who is called.
    #[serde(borrow)]
    to_number: Option<Cow<'a, str>>,
    /// `INBOUND` or `OUTBOUND`, which is the default.
    #[serde(borrow)]
    direction: Option<Cow<'a, str>>,
}

/// The call after the event.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct CallEventAnswer {
    /// Always true.
    #[schema(example = true)]
    success: bool,
    /// The event's name.
    event: String,
    /// The call.
    call_id: String,
    /// Its state.
    #[schema(value_type = Object)]
    call_state: Value,
    /// False if the event would have taken the call back: then nothing was changed or published.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    applied: Option<bool>,
}

/// Publishes an event of a call, which is made by its first event.
#[utoipa::path(
    post, path = "/api/v1/demo/events/call", tag = "events", operation_id = "demo_call",
    security(("apiKey" = []), ("userToken" = [])),
    request_body = CallEventRequest<'_>,
    responses(
        (status = 200, description = "Stored, and on the way to subscribers", body = CallEventAnswer),
        (status = 400, description = "Not such a body or such a name", body = EventErrorBody),
        (status = 401, description = "No key or token, or a bad one", body = EventErrorBody),
        (status = 403, description = "Another tenant, or one that is not active",
         body = EventErrorBody),
        (status = 413, description = "The body is too large", body = EventErrorBody),
        (status = 429, description = "The key's limit is reached", body = EventErrorBody),
        (status = 503, description = "Nothing could be stored; try again", body = EventErrorBody),
    )
)]
pub async fn call(
    tenant: Tenant,
    state: web::Data<AppState>,
    body: JsonBody,
) -> Result<web::Json<CallEventAnswer>, ApiError> {
    let request: CallEventRequest<'_> = body.read_or_default()?;
    tenant.check(request.tenant_id.as_deref())?;
    let event = request.event_type.as_deref().unwrap_or("call.started");
    let call_id = call_id(request.call_id)?;
    let mut metadata = Map::new();
    for (field, value) in [
        ("fromNumber", request.from_number),
        ("toNumber", request.to_number),
        ("direction", request.direction),
    ] {
        if let Some(value) = value {
            check_field(field, &value)?;
            metadata.insert(field.to_owned(), value.into_owned().into());
        }
    }
    let event = demo_event(event, &call_id, metadata, Vec::new())?;
    let published = publish_one(&state, Submission::now(tenant.0, vec![event])).await?;
    Ok(web::Json(CallEventAnswer {
        success: true,
        event: published.name.to_string(),
        call_id,
        call_state: serde_json::json!(published.state.as_deref()),
        applied: (!published.is_applied()).then_some(false),
    }))
}

/// A call that goes through its life by itself.
#[derive(Clone, Debug, Default, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct SequenceRequest<'a> {
    /// The call; a new one by default.
    #[serde(borrow)]
    call_id: Option<Cow<'a, str>>,
    /// Asserts the tenant of the credential.
    #[serde(borrow)]
    tenant_id: Option<Cow<'a, str>>,
    /// Milliseconds between two events; 1000 by default, at most 60000.
    delay: Option<u64>,
}

/// The sequence that was started.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct SequenceAnswer {
    /// Always true.
    #[schema(example = true)]
    success: bool,
    /// The call.
    call_id: String,
    /// What will happen.
    message: String,
}

/// Starts a call that rings now, is answered after a delay, and is over after two.
#[utoipa::path(
    post, path = "/api/v1/demo/events/call/sequence", tag = "events",
    operation_id = "demo_call_sequence",
    security(("apiKey" = []), ("userToken" = [])),
    request_body = SequenceRequest<'_>,
    responses(
        (status = 200, description = "The call rings", body = SequenceAnswer),
        (status = 400, description = "Not such a body", body = EventErrorBody),
        (status = 401, description = "No key or token, or a bad one", body = EventErrorBody),
        (status = 403, description = "Another tenant, or one that is not active",
         body = EventErrorBody),
        (status = 413, description = "The body is too large", body = EventErrorBody),
        (status = 429, description = "The key's limit is reached", body = EventErrorBody),
        (status = 503, description = "Nothing could be stored, or too many sequences are under way",
         body = EventErrorBody),
    )
)]
pub async fn sequence(
    tenant: Tenant,
    state: web::Data<AppState>,
    body: JsonBody,
) -> Result<web::Json<SequenceAnswer>, ApiError> {
    let request: SequenceRequest<'_> = body.read_or_default()?;
    tenant.check(request.tenant_id.as_deref())?;
    let delay = request.delay.unwrap_or(1000).min(MOST_DELAY);
    let call_id = call_id(request.call_id)?;
    let caller = Participant {
        id: "participant_1".to_owned(),
        number: CALLER.to_owned(),
        role: Role::Caller,
        status: CallStatus::Ringing,
        joined_at: None,
        left_at: None,
    };
    let submission = |event, participants| {
        let event = demo_event(event, &call_id, Map::new(), participants)?;
        Ok::<_, ApiError>(Submission::now(tenant.0.clone(), vec![event]))
    };
    let first = submission("call.started", vec![caller])?;
    let later = vec![
        submission("call.answered", Vec::new())?,
        submission("call.completed", Vec::new())?,
    ];
    let every = Duration::from_millis(delay);
    let events = &state.events;
    events
        .sequences
        .start(&events.ledger, first, later, every)
        .await?;
    Ok(web::Json(SequenceAnswer {
        success: true,
        call_id,
        message: format!("Started sequence of 3 events with {delay}ms delay"),
    }))
}

fn call_id(given: Option<Cow<'_, str>>) -> Result<String, ApiError> {
    match given {
        Some(id) => check_call_id(&id).map(|()| id.into_owned()),
        None => Ok(format!("call_{}", unix_ms())),
    }
}

/// An event as demonstrations have them: `call.completed` comes with a length of its own making.
fn demo_event(
    event: &str,
    call_id: &str,
    metadata: Map<String, Value>,
    participants: Vec<Participant>,
) -> Result<NewEvent, ApiError> {
    let name = name(event)?;
    let mut data = Map::new();
    data.insert("callId".to_owned(), call_id.into());
    if event == "call.completed" {
        let duration = rand::random_range(30..330);
        let has_recording = rand::random_bool(0.7);
        data.insert("duration".to_owned(), duration.into());
        data.insert("hasRecording".to_owned(), has_recording.into());
        if has_recording {
            data.insert("recordingDuration".to_owned(), duration.into());
        }
    }
    Ok(NewEvent {
        name,
        data,
        call: Some(CallChange {
            id: call_id.to_owned(),
            metadata,
            participants,
        }),
    })
}

async fn publish_one(state: &AppState, submission: Submission) -> Result<Published, ApiError> {
    let outcome = state.events.ledger.publish(submission).await?;
    let published = match outcome {
        Outcome::Stored(published) => published.into_iter().next(),
        Outcome::Repeated(_) | Outcome::Conflict => None,
    };
    published.ok_or_else(|| ApiError::internal(&"one event was published and none came back"))
}
