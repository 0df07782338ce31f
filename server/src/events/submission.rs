//! What is published, and what became of it.

use std::sync::Arc;

use dormouse_protocol::events::call::Participant;
use dormouse_protocol::events::{CallState, EventName};
use serde_json::{Map, Value};
use tokio::time::Instant;

use crate::clock::unix_ms;

/// Events of one request: they are stored together, or none of them is.
#[derive(Clone, Debug)]
pub struct Submission {
    /// Whose events they are.
    pub tenant: Arc<str>,
    /// The events, in order.
    pub events: Vec<NewEvent>,
    /// How a repetition of the request is known.
    pub idempotency: Option<Idempotency>,
    /// When they were accepted, Unix ms: their `timestamp`.
    pub accepted_ms: u64,
    /// The same on the clock of timers.
    pub accepted_at: Instant,
}

impl Submission {
    /// Events that are accepted now.
    pub fn now(tenant: Arc<str>, events: Vec<NewEvent>) -> Self {
        Self {
            tenant,
            events,
            idempotency: None,
            accepted_ms: unix_ms(),
            accepted_at: Instant::now(),
        }
    }
}

/// An idempotency key and what it was sent with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Idempotency {
    /// The key, chosen by the client; it is the tenant's own.
    pub key: String,
    /// A hash of the request.
    pub fingerprint: String,
}

/// An event that is to be published.
#[derive(Clone, Debug)]
pub struct NewEvent {
    /// Its name.
    pub name: EventName,
    /// Its data; the state of its call is added when it is stored.
    pub data: Map<String, Value>,
    /// The call that it changes.
    pub call: Option<CallChange>,
}

/// What an event says of a call.
#[derive(Clone, Debug, Default)]
pub struct CallChange {
    /// The call's id.
    pub id: String,
    /// What is to be known of it from now on: numbers, direction, campaign.
    pub metadata: Map<String, Value>,
    /// Who takes part, if the event makes the call.
    pub participants: Vec<Participant>,
}

/// An event that is stored.
#[derive(Clone, Debug)]
pub struct Published {
    /// Its name.
    pub name: EventName,
    /// Its id (contract events.md section 5); none if it was not applied.
    pub id: Option<String>,
    /// Its place in the tenant's log; none if it was not applied.
    pub cursor: Option<u64>,
    /// The call after the event.
    pub state: Option<Arc<CallState>>,
}

impl Published {
    /// Whether it was published; not if it would have taken its call back.
    pub fn is_applied(&self) -> bool {
        self.cursor.is_some()
    }

    /// As it is shown to whoever published it.
    pub fn to_json(&self) -> Value {
        let mut json = Map::new();
        json.insert("event".into(), self.name.as_str().into());
        json.insert("applied".into(), self.is_applied().into());
        if let Some(id) = &self.id {
            json.insert("id".into(), id.as_str().into());
        }
        if let Some(cursor) = self.cursor {
            json.insert("cursor".into(), cursor.to_string().into());
        }
        if let Some(state) = &self.state {
            json.insert("callId".into(), state.id.as_str().into());
            json.insert("callState".into(), serde_json::json!(**state));
        }
        Value::Object(json)
    }
}

/// What became of a submission.
#[derive(Clone, Debug)]
pub enum Outcome {
    /// It is stored, event by event.
    Stored(Vec<Published>),
    /// It had been stored before under its idempotency key; what was answered then, as JSON.
    Repeated(String),
    /// Its idempotency key was used for another request.
    Conflict,
}
