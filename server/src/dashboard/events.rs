//! What clients ask of the dashboard: each event to the part that it is for.

use std::sync::Arc;

use dormouse_shard::application::{EventOutcome, EventReply, EventRequest};
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use super::{Dashboard, failure, rooms};
use crate::clock::unix_ms;

/// Longest title, subject and name, bytes.
pub const MOST_TITLE: usize = 256;
/// Longest description and body, bytes.
pub const MOST_TEXT: usize = 4096;
/// Longest camera and view, bytes of JSON.
const MOST_VIEW: usize = 65_536;

/// Events of the dashboard as a whole.
const OF_THE_WHOLE: [&str; 5] = [
    "task:assign",
    "message:send",
    "draft:approve",
    "draft:reject",
    "state:sync",
];

/// Events of an organisation.
const OF_AN_ORGANISATION: [&str; 7] = [
    "join_agent",
    "leave_agent",
    "join_thread",
    "leave_thread",
    "switch_org",
    "chat_message",
    "chat_interrupt",
];

/// Whether the dashboard takes an event.
pub fn is_known(event: &str) -> bool {
    OF_THE_WHOLE.contains(&event) || OF_AN_ORGANISATION.contains(&event)
}

/// The outcome of what is not done.
pub fn refused(error: &str) -> EventOutcome {
    EventOutcome {
        ack: Some(failure(error).to_string()),
        ..EventOutcome::default()
    }
}

/// Reads what came with an event.
///
/// # Errors
/// What is wrong with it.
pub fn read<'a, T: Deserialize<'a>>(payload: Option<&'a RawValue>) -> Result<T, String> {
    let payload = payload.ok_or("the event needs data")?;
    serde_json::from_str(payload.get()).map_err(|err| format!("bad data: {err}"))
}

/// Bounds a text.
///
/// # Errors
/// What is allowed.
pub fn bounded(name: &str, text: String, most: usize) -> Result<String, String> {
    if text.len() > most {
        return Err(format!("{name} has at most {most} bytes"));
    }
    Ok(text)
}

#[derive(Deserialize)]
struct Looks {
    camera: Option<Value>,
    ui: Option<Value>,
}

impl Dashboard {
    /// Handles an event.
    pub(super) fn handle(self: Arc<Self>, request: EventRequest) -> EventReply {
        self.counters.received();
        let event = &*request.event;
        let is_meant = if OF_THE_WHOLE.contains(&event) {
            request.rooms.contains(rooms::WHOLE)
        } else {
            rooms::organisation_of(&request.rooms).is_some()
        };
        if !is_meant {
            self.counters.failed();
            let text = "not for this connection: with orgSlug it looks at one organisation, \
                        without at the dashboard as a whole";
            return EventReply::Now(refused(text));
        }
        let counted = self.clone();
        let handled = match event {
            "task:assign" => self.assign(request),
            "message:send" => self.send_message(request),
            "draft:approve" => self.decide(request, true),
            "draft:reject" => self.decide(request, false),
            "state:sync" => self.look(&request),
            _ => self.of_organisation(&request),
        };
        handled.unwrap_or_else(|error| {
            counted.counters.failed();
            EventReply::Now(refused(&error))
        })
    }

    /// The player looks elsewhere: kept at once, written later.
    fn look(&self, request: &EventRequest) -> Result<EventReply, String> {
        let payload = request.payload.as_deref();
        if payload.is_some_and(|payload| payload.get().len() > MOST_VIEW) {
            return Err(format!("a view has at most {MOST_VIEW} bytes"));
        }
        let Looks { camera, ui } = read(payload)?;
        self.board().look(camera, ui, unix_ms());
        self.is_view_new
            .store(true, std::sync::atomic::Ordering::Relaxed);
        Ok(EventReply::Now(EventOutcome {
            ack: Some(r#"{"success":true}"#.to_owned()),
            ..EventOutcome::default()
        }))
    }
}
