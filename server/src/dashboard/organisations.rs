//! Looking at one organisation (Socket.IO contract, section 12): rooms of agents and threads, and
//! turns in a thread.

use std::sync::Arc;

use dormouse_protocol::Rooms;
use dormouse_shard::application::{EventOutcome, EventReply, EventRequest, RoomChange};
use serde::Deserialize;
use serde_json::json;

use super::events::{MOST_TEXT, bounded, read};
use super::{Dashboard, rooms};

/// Longest id of an agent or thread, bytes.
const MOST_ID: usize = 128;

/// A message into a thread.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ChatMessage {
    body: String,
    thread_id: String,
}

/// A thread whose turn is to end.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ChatInterrupt {
    thread_id: String,
}

fn id(text: String) -> Result<String, String> {
    if text.is_empty() {
        return Err("the id is empty".to_owned());
    }
    bounded("the id", text, MOST_ID)
}

fn success(rooms: Vec<RoomChange>) -> EventReply {
    EventReply::Now(EventOutcome {
        ack: Some(r#"{"success":true}"#.to_owned()),
        rooms,
        ..EventOutcome::default()
    })
}

/// Into one more room.
fn join(rooms: &Rooms, room: String) -> Result<EventReply, String> {
    rooms.clone().join(&room).map_err(|err| err.to_string())?;
    Ok(success(vec![RoomChange::Join(room.into())]))
}

impl Dashboard {
    /// Handles an event of a connection that looks at an organisation.
    pub(super) fn of_organisation(
        self: &Arc<Self>,
        request: &EventRequest,
    ) -> Result<EventReply, String> {
        let slug = rooms::organisation_of(&request.rooms).unwrap_or_default();
        let payload = request.payload.as_deref();
        match &*request.event {
            "join_agent" => join(&request.rooms, rooms::agent(slug, &id(read(payload)?)?)),
            "join_thread" => join(&request.rooms, rooms::thread(slug, &id(read(payload)?)?)),
            "leave_agent" => {
                let room = rooms::agent(slug, &id(read(payload)?)?);
                Ok(success(vec![RoomChange::Leave(room.into())]))
            }
            "leave_thread" => {
                let room = rooms::thread(slug, &id(read(payload)?)?);
                Ok(success(vec![RoomChange::Leave(room.into())]))
            }
            "switch_org" => self.switch(request, &read::<String>(payload)?),
            "chat_message" => {
                let ChatMessage { body, thread_id } = read(payload)?;
                let body = bounded("body", body, MOST_TEXT)?;
                let turn = self.begin_turn(slug, &id(thread_id)?, &body)?;
                let answer = json!({ "success": true, "turnId": turn });
                Ok(EventReply::Now(EventOutcome {
                    ack: Some(answer.to_string()),
                    ..EventOutcome::default()
                }))
            }
            _ => {
                let ChatInterrupt { thread_id } = read(payload)?;
                if self.interrupt_turn(slug, &thread_id) {
                    Ok(success(Vec::new()))
                } else {
                    Err("no turn is under way in this thread".to_owned())
                }
            }
        }
    }

    /// `switch_org`: out of all rooms of the old organisation, into the new one.
    fn switch(&self, request: &EventRequest, slug: &str) -> Result<EventReply, String> {
        let visitor = rooms::visitor_of(&request.rooms);
        if !self.organisations.admits(slug, visitor) {
            return Err("Not a member of this organisation".to_owned());
        }
        let old = rooms::of_organisations(&request.rooms);
        let mut changes: Vec<RoomChange> = old.map(|room| RoomChange::Leave(room.into())).collect();
        changes.push(RoomChange::Join(rooms::organisation(slug).into()));
        Ok(success(changes))
    }
}
