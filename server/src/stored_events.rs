//! Events that need stored entities (realtime contract, 5.2–5.12).
//!
//! Without the entities each of them answers as the contract does for an entity that does not
//! exist, in the shape of that event; nothing is stored or sent to others.

use dormouse_shard::application::{Application, EventOutcome, EventReply, EventRequest};

/// The shape of an event's error ack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ErrorShape {
    /// `{"result":"error","message"}`
    Result,
    /// `{"success":false,"error"}`
    Success,
    /// `{"ok":false,"error"}`
    Ok,
}

fn shape(event: &str) -> Option<ErrorShape> {
    Some(match event {
        "update-metadata"
        | "update-state"
        | "machine-update-metadata"
        | "machine-update-state"
        | "artifact-read"
        | "artifact-create"
        | "artifact-update"
        | "artifact-delete" => ErrorShape::Result,
        "session-alive"
        | "session-end"
        | "machine-alive"
        | "usage-report"
        | "update-usage-limits"
        | "request-updates-since" => ErrorShape::Success,
        "message"
        | "access-key-get"
        | "acp-session-update"
        | "acp-permission-request"
        | "acp-permission-response"
        | "acp-session-command"
        | "acp-session-list-response"
        | "acp-session-command-response" => ErrorShape::Ok,
        _ => return None,
    })
}

/// The events of a server that stores no entities.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoStoredEntities;

impl Application for NoStoredEntities {
    fn handles(&self, event: &str) -> bool {
        shape(event).is_some()
    }

    fn handle(&self, request: EventRequest) -> EventReply {
        let reason = "not found: this server stores no sessions, machines or artifacts";
        let ack = shape(&request.event).map(|shape| {
            match shape {
                ErrorShape::Result => serde_json::json!({ "result": "error", "message": reason }),
                ErrorShape::Success => serde_json::json!({ "success": false, "error": reason }),
                ErrorShape::Ok => serde_json::json!({ "ok": false, "error": reason }),
            }
            .to_string()
        });
        EventReply::Now(EventOutcome {
            ack,
            deliveries: Vec::new(),
        })
    }

    fn machine_presence(&self, user: &str, machine: &str, is_online: bool) {
        tracing::debug!(user, machine, is_online, "machine presence");
    }
}
