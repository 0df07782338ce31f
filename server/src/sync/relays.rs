//! Agent-protocol relays (contract realtime.md 5.11): frames of one session's devices for each
//! other, whose content the server never looks into.

use dormouse_protocol::{ConnectionId, Filter};
use serde::Serialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::change::Change;
use super::error::SyncError;
use super::{limits, sessions};

/// Who gets a relayed frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Audience {
    /// All who look at the session, without the sender.
    Session,
    /// Apps.
    Apps,
    /// All but the sender.
    Others,
}

/// A relayed event: its name, its mandatory texts beside `sid`, and who gets it.
struct Relay {
    event: &'static str,
    mandatory: &'static [&'static str],
    audience: Audience,
}

const RELAYS: [Relay; 6] = [
    Relay {
        event: "acp-session-update",
        mandatory: &["update"],
        audience: Audience::Session,
    },
    Relay {
        event: "acp-permission-request",
        mandatory: &["requestId", "payload"],
        audience: Audience::Apps,
    },
    Relay {
        event: "acp-permission-response",
        mandatory: &["requestId", "payload"],
        audience: Audience::Others,
    },
    Relay {
        event: "acp-session-command",
        mandatory: &["command", "payload"],
        audience: Audience::Others,
    },
    Relay {
        event: "acp-session-list-response",
        mandatory: &["payload"],
        audience: Audience::Apps,
    },
    Relay {
        event: "acp-session-command-response",
        mandatory: &["command", "payload", "requestId"],
        audience: Audience::Apps,
    },
];

/// Whether an event is a relay.
#[must_use]
pub fn is_relay(event: &str) -> bool {
    RELAYS.iter().any(|relay| relay.event == event)
}

/// The ephemeral: the event's name as its type, and all fields of its data.
#[derive(Serialize)]
struct Body<'a> {
    #[serde(rename = "type")]
    kind: &'a str,
    #[serde(flatten)]
    fields: Map<String, Value>,
}

/// Relays a frame to those that it is for.
///
/// It takes the way of writes, although it writes nothing: frames of a stream must not overtake
/// each other.
///
/// # Errors
/// [`SyncError::Invalid`] for a field, [`SyncError::NotFound`] for the session, or the database's.
pub async fn relay(
    change: &mut Change<'_>,
    event: &str,
    data: Option<&RawValue>,
    sender: ConnectionId,
) -> Result<(), SyncError> {
    let relay = RELAYS.iter().find(|relay| relay.event == event);
    let relay = relay.ok_or(SyncError::NotFound("Event"))?;
    let data = data.map_or("null", RawValue::get);
    let mut fields: Map<String, Value> = serde_json::from_str(data)
        .map_err(|_| SyncError::Invalid("data must be an object".to_owned()))?;
    // The server's own name of the event stands in this place.
    fields.remove("type");
    let text = |name: &str, most| {
        let text = fields.get(name).and_then(Value::as_str).unwrap_or_default();
        limits::filled(name, text, most).map(str::to_owned)
    };
    let sid = text("sid", limits::ID)?;
    for name in relay.mandatory {
        let most = if *name == "requestId" {
            limits::ID
        } else {
            limits::MESSAGE
        };
        text(name, most)?;
    }
    let account = change.account().to_string();
    sessions::require(change.connection(), &account, &sid).await?;
    let body = Body {
        kind: event,
        fields,
    };
    match relay.audience {
        Audience::Session => {
            let filter = Filter::AllInterestedInSession(sid.into());
            change.ephemeral_except(filter, Some(sender), &body);
        }
        Audience::Apps => change.ephemeral(Filter::UserScopedOnly, &body),
        Audience::Others => change.ephemeral(Filter::Exclude(sender), &body),
    }
    Ok(())
}
