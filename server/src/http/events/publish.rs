//! `POST /api/v1/events`: publishes any event of the known families, one or many, with an optional
//! idempotency key.

use std::borrow::Cow;

use actix_web::http::StatusCode;
use actix_web::{HttpRequest, HttpResponse, web};
use dormouse_protocol::EventErrorBody;
use dormouse_protocol::events::call::is_call_id;
use dormouse_protocol::events::{EventName, Family};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};
use utoipa::ToSchema;

use super::tenant::Tenant;
use crate::app_state::AppState;
use crate::events::embedded::answer_json;
use crate::events::submission::Idempotency;
use crate::events::{CallChange, NewEvent, Outcome, Submission};
use crate::http::errors::ApiError;
use crate::http::json_body::{JsonBody, Object};

/// Most events of one request.
const MOST_EVENTS: usize = 1000;
/// Largest data of an event, bytes of JSON.
const MOST_DATA: u64 = 64 << 10;
/// Longest idempotency key, bytes.
const MOST_KEY: usize = 128;
/// Fields of a call's event that are to be known of the call from then on.
const OF_CALLS: [&str; 6] = [
    "fromNumber",
    "toNumber",
    "direction",
    "campaignId",
    "publisherId",
    "buyerId",
];

/// An event to publish.
#[derive(Clone, Debug, Deserialize, ToSchema)]
pub struct EventInput<'a> {
    /// Its name: `call.…`, `billing.…` or `recording.…`.
    #[serde(borrow)]
    #[schema(example = "call.answered")]
    event: Cow<'a, str>,
    /// What it says. Events of calls need a `callId` in it, of 1 to 128 bytes.
    #[schema(value_type = Option<Object>)]
    data: Option<Map<String, Value>>,
}

/// One event, or a list of them: either `event` and `data`, or `events`.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct PublishRequest<'a> {
    /// The name of the one event.
    #[serde(borrow, default)]
    event: Option<Cow<'a, str>>,
    /// Its data.
    #[schema(value_type = Option<Object>)]
    #[serde(default)]
    data: Option<Map<String, Value>>,
    /// Many events, at most 1000, stored together or not at all.
    #[serde(borrow, default)]
    #[schema(value_type = Option<Vec<EventInput<'_>>>)]
    events: Option<Vec<Object<EventInput<'a>>>>,
    /// Asserts the tenant of the credential.
    #[serde(borrow, default)]
    tenant_id: Option<Cow<'a, str>>,
}

/// What became of the events, in their order.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct PublishAnswer {
    /// Always true.
    #[schema(example = true)]
    success: bool,
    /// One entry for each event.
    events: Vec<PublishedEvent>,
}

/// An event that was published, or not.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct PublishedEvent {
    /// Its name.
    event: String,
    /// Whether it was published: not if its call had been further already.
    applied: bool,
    /// Its id.
    #[schema(nullable = false)]
    id: Option<String>,
    /// Its place in the tenant's log, for `since`.
    #[schema(nullable = false)]
    cursor: Option<String>,
    /// The call that it is of.
    #[schema(nullable = false)]
    call_id: Option<String>,
    /// The call after it.
    #[schema(value_type = Option<Object>, nullable = false)]
    call_state: Option<Value>,
}

/// Publishes events.
///
/// They are stored and on their way to subscribers when this is answered. A request with an
/// `Idempotency-Key` that was answered before within a day is answered the same again, and nothing
/// is published twice.
#[utoipa::path(
    post, path = "/api/v1/events", tag = "events", operation_id = "publish_events",
    security(("apiKey" = []), ("userToken" = [])),
    params(("Idempotency-Key" = Option<String>, Header,
            description = "1 to 128 visible ASCII characters, chosen by the client")),
    request_body = PublishRequest<'_>,
    responses(
        (status = 200, description = "Stored, and on the way to subscribers", body = PublishAnswer,
         headers(("Idempotency-Replayed" = bool, description = "`true` for an answer of before"))),
        (status = 400, description = "Not such a body, not such a name, or no call id",
         body = EventErrorBody),
        (status = 401, description = "No key or token, or a bad one", body = EventErrorBody),
        (status = 403, description = "Another tenant, or one that is not active",
         body = EventErrorBody),
        (status = 409, description = "The idempotency key belongs to another request",
         body = EventErrorBody),
        (status = 413, description = "The body, or the data of an event, is too large",
         body = EventErrorBody),
        (status = 429, description = "The key's limit is reached", body = EventErrorBody),
        (status = 503, description = "Nothing could be stored; try again", body = EventErrorBody),
    )
)]
pub async fn publish(
    tenant: Tenant,
    state: web::Data<AppState>,
    request: HttpRequest,
    body: JsonBody,
) -> Result<HttpResponse, ApiError> {
    let read: PublishRequest<'_> = body.read()?;
    tenant.check(read.tenant_id.as_deref())?;
    let inputs = match (read.event, read.events) {
        (Some(event), None) => vec![EventInput {
            event,
            data: read.data,
        }],
        (None, Some(events)) => events.into_iter().map(|Object(event)| event).collect(),
        _ => {
            let text = "the body must have either event and data, or events";
            return Err(ApiError::validation(text));
        }
    };
    if inputs.is_empty() || inputs.len() > MOST_EVENTS {
        let text = format!("events must be a list of 1 to {MOST_EVENTS} events");
        return Err(ApiError::validation(text));
    }
    let mut events = Vec::with_capacity(inputs.len());
    for (index, input) in inputs.into_iter().enumerate() {
        events.push(new_event(input).map_err(|err| err.field("index", index))?);
    }
    let mut submission = Submission::now(tenant.0, events);
    submission.idempotency = idempotency(&request, &body)?;
    match state.events.ledger.publish(submission).await? {
        Outcome::Stored(published) => Ok(HttpResponse::Ok()
            .content_type("application/json")
            .body(answer_json(&published))),
        Outcome::Repeated(answer) => Ok(HttpResponse::Ok()
            .content_type("application/json")
            .insert_header(("idempotency-replayed", "true"))
            .body(answer)),
        Outcome::Conflict => {
            let text = "this Idempotency-Key was used for another request; choose a new one";
            Err(ApiError::new(StatusCode::CONFLICT, text).code("IDEMPOTENCY_CONFLICT"))
        }
    }
}

fn new_event(input: EventInput<'_>) -> Result<NewEvent, ApiError> {
    let name = name(&input.event)?;
    let mut data = input.data.unwrap_or_default();
    // The server's own word, which is added when the event is stored.
    data.remove("callState");
    let size = serde_json::to_string(&data).map_or(u64::MAX, |json| json.len() as u64);
    if size > MOST_DATA {
        return Err(ApiError::message_too_large(MOST_DATA));
    }
    let call = if name.family() == Family::Call {
        Some(call_change(&data)?)
    } else {
        None
    };
    Ok(NewEvent { name, data, call })
}

/// The name of an event.
///
/// # Errors
/// 400.
pub(super) fn name(text: &str) -> Result<EventName, ApiError> {
    EventName::parse(text).map_err(|err| ApiError::validation(format!("{text:?}: {err}")))
}

/// Checks the id of a call.
///
/// # Errors
/// 400.
pub(super) fn check_call_id(id: &str) -> Result<(), ApiError> {
    if is_call_id(id) {
        Ok(())
    } else {
        let text = "callId must be 1 to 128 bytes long, without control characters";
        Err(ApiError::validation(text))
    }
}

fn call_change(data: &Map<String, Value>) -> Result<CallChange, ApiError> {
    let Some(id) = data.get("callId").and_then(Value::as_str) else {
        let text = "an event of a call needs the call's id: give data.callId";
        return Err(ApiError::validation(text));
    };
    check_call_id(id)?;
    let mut metadata = Map::new();
    for field in OF_CALLS {
        match data.get(field) {
            None | Some(Value::Null) => {}
            Some(Value::String(text)) => {
                check_field(field, text)?;
                metadata.insert(field.to_owned(), text.as_str().into());
            }
            Some(_) => return Err(ApiError::validation(format!("{field} must be a text"))),
        }
    }
    Ok(CallChange {
        id: id.to_owned(),
        metadata,
        participants: Vec::new(),
    })
}

/// Checks what is to be known of a call.
///
/// # Errors
/// 400.
pub(super) fn check_field(field: &str, text: &str) -> Result<(), ApiError> {
    const MOST_CHARS: usize = 128;
    let is_known = field != "direction" || matches!(text, "INBOUND" | "OUTBOUND");
    if !is_known {
        let fault = "direction must be INBOUND or OUTBOUND";
        return Err(ApiError::validation(fault));
    }
    if text.chars().nth(MOST_CHARS).is_some() || text.chars().any(char::is_control) {
        let fault = format!("{field} is at most {MOST_CHARS} characters, none of them a control");
        return Err(ApiError::validation(fault));
    }
    Ok(())
}

fn idempotency(request: &HttpRequest, body: &JsonBody) -> Result<Option<Idempotency>, ApiError> {
    let Some(key) = request.headers().get("idempotency-key") else {
        return Ok(None);
    };
    let key = key.to_str().unwrap_or_default();
    let is_usable =
        (1..=MOST_KEY).contains(&key.len()) && key.bytes().all(|b| b.is_ascii_graphic());
    if !is_usable {
        let text = format!("Idempotency-Key must be 1 to {MOST_KEY} visible ASCII characters");
        return Err(ApiError::validation(text));
    }
    let hash: [u8; 32] = Sha256::digest(body.bytes()).into();
    Ok(Some(Idempotency {
        key: key.to_owned(),
        fingerprint: crate::events::keys::hex(&hash),
    }))
}
