//! The handlers of socket events, whatever the transport (contract realtime.md sections 5.2 to
//! 5.11): a change and an event's data lead to an acknowledgement, and to what the change sends.
//!
//! Each ends in exactly one acknowledgement: the one that is returned, or an error in the event's
//! form.

use dormouse_protocol::{ConnectionId, Filter};
use dormouse_shard::mount::Wire;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;

use super::acks::{self, Shape};
use super::change::Change;
use super::error::SyncError;
use super::heartbeats::{Heartbeats, Source};
use super::relays;

mod artifacts;
mod machines;
mod reads;
mod sessions;
mod usage;

pub use reads::{Reading, is_read};

/// An event of one connection.
#[derive(Clone, Copy, Debug)]
pub struct Event<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its data, unread.
    pub data: Option<&'a RawValue>,
    /// Who sent it.
    pub sender: ConnectionId,
    /// How the sender speaks.
    pub wire: Wire,
}

impl Event<'_> {
    /// Reads the data as an object.
    fn read<T: DeserializeOwned>(&self) -> Result<T, SyncError> {
        let text = self.data.map_or("", RawValue::get);
        // Derived types would take an array as well, its elements in the order of the fields.
        if !text.trim_start().starts_with('{') {
            return Err(SyncError::Invalid("data must be an object".to_owned()));
        }
        serde_json::from_str(text)
            .map_err(|err| SyncError::Invalid(format!("data cannot be used: {err}")))
    }
}

/// Reads a field that must be there, though it may be null.
fn present<'de, D, T>(deserializer: D) -> Result<Option<T>, D::Error>
where
    D: serde::Deserializer<'de>,
    T: Deserialize<'de>,
{
    Option::deserialize(deserializer)
}

/// Handles an event that changes something, or relays; returns the acknowledgement's JSON.
///
/// # Errors
/// Why it is refused. Nothing is changed or sent then.
pub async fn handle(
    change: &mut Change<'_>,
    heartbeats: &Heartbeats,
    event: Event<'_>,
) -> Result<String, SyncError> {
    match event.name {
        "update-metadata" => sessions::update_metadata(change, event).await,
        "update-state" => sessions::update_state(change, event).await,
        "session-alive" => sessions::alive(change, heartbeats, event).await,
        "session-end" => sessions::end(change, heartbeats, event).await,
        "message" => sessions::message(change, event).await,
        "machine-update-metadata" => machines::update_metadata(change, event).await,
        "machine-update-state" => machines::update_state(change, event).await,
        "machine-alive" => machines::alive(change, heartbeats, event).await,
        "artifact-create" => artifacts::create(change, event).await,
        "artifact-update" => artifacts::update(change, event).await,
        "artifact-delete" => artifacts::delete(change, event).await,
        "usage-report" => usage::report(change, event).await,
        "update-usage-limits" => usage::limits(change, event).await,
        name if relays::is_relay(name) => {
            relays::relay(change, name, event.data, event.sender).await?;
            Ok(acks::OK.to_owned())
        }
        _ => Err(SyncError::NotFound("Event")),
    }
}

/// What an event that may be answered without the database leads to.
#[derive(Debug)]
pub struct Immediate {
    /// The acknowledgement's JSON.
    pub ack: String,
    /// The ephemeral, and for whom.
    pub ephemeral: Option<(Filter, String)>,
}

/// What a sign of life that was read leads to at once: an error if it is unusable, its ephemeral if
/// an earlier one of the same source stands for it; `None` when it has to be written.
fn sign_of_life<D>(
    heartbeats: &Heartbeats,
    now: i64,
    read: Result<(D, i64), SyncError>,
    source: impl FnOnce(&D) -> Source,
    frame: impl FnOnce(&D, i64) -> String,
) -> Option<Immediate> {
    let (data, at) = match read {
        Ok(read) => read,
        Err(err) => {
            return Some(Immediate {
                ack: Shape::Success.error(&err.client_text()),
                ephemeral: None,
            });
        }
    };
    let source = source(&data);
    if heartbeats.are_ignored(&source, now) {
        return Some(Immediate {
            ack: acks::SUCCESS.to_owned(),
            ephemeral: None,
        });
    }
    heartbeats.is_fresh(&source, now).then(|| Immediate {
        ack: acks::SUCCESS.to_owned(),
        ephemeral: Some((Filter::UserScopedOnly, frame(&data, at))),
    })
}

/// Answers a sign of life at once when it is unusable, or when an earlier one stands for it.
#[must_use]
pub fn immediate(
    account: &std::sync::Arc<str>,
    heartbeats: &Heartbeats,
    event: Event<'_>,
    now: i64,
) -> Option<Immediate> {
    match event.name {
        "session-alive" => sessions::alive_at_once(account, heartbeats, event, now),
        "machine-alive" => machines::alive_at_once(account, heartbeats, event, now),
        _ => None,
    }
}
