//! Streamed turns in threads (Socket.IO contract, section 12): what an agent says piece by piece,
//! pieces of 50 ms merged; and a simulated turn while no real agent is attached.

use std::collections::HashMap;
use std::sync::{Arc, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use dormouse_shard::application::Delivery;
use serde_json::{Value, json};

use super::{Dashboard, rooms};
use crate::database::new_id;

/// How long pieces of text are merged.
const MERGED_FOR: Duration = Duration::from_millis(50);
/// Most turns that are simulated, and most that have pieces waiting.
const MOST_TURNS: usize = 1000;
/// Most bytes of pieces that wait in one turn; then they are sent at once.
const MOST_WAITING: usize = 65_536;

/// Pieces of text that wait to be sent.
#[derive(Debug)]
struct Waiting {
    room: String,
    kind: String,
    text: String,
}

/// Turns that are under way.
#[derive(Debug, Default)]
pub(super) struct Turns {
    /// Pieces that wait, by the turn's id.
    waiting: HashMap<String, Waiting>,
    /// Simulated turns by thread room.
    simulated: HashMap<String, String>,
}

/// A part of a turn.
#[derive(Debug)]
pub(super) struct TurnPart<'a> {
    /// The organisation.
    pub slug: &'a str,
    /// The thread.
    pub thread: &'a str,
    /// The turn.
    pub turn: &'a str,
    /// `turn_start`, `text_delta`, …
    pub kind: &'a str,
    /// Its own fields.
    pub fields: Value,
    /// Whether it is for a simulated turn, which may have been interrupted.
    pub is_simulated: bool,
}

fn is_piece(kind: &str) -> bool {
    matches!(kind, "text_delta" | "thinking_delta")
}

impl Dashboard {
    fn turns(&self) -> MutexGuard<'_, Turns> {
        self.turns.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells a part of a turn. Pieces of one kind that come within 50 ms are one event.
    pub(super) fn stream(self: &Arc<Self>, part: TurnPart<'_>) -> Result<(), String> {
        let room = rooms::thread(part.slug, part.thread);
        let mut turns = self.turns();
        let simulated = turns.simulated.get(&room);
        if part.is_simulated && simulated.is_none_or(|own| own != part.turn) {
            return Err("interrupted".to_owned());
        }
        let mut out = Vec::new();
        let text = part.fields.get("text").and_then(Value::as_str);
        let piece = text.filter(|_| is_piece(part.kind));
        let merges = piece.is_some()
            && turns.waiting.get(part.turn).is_some_and(|waiting| {
                waiting.kind == part.kind
                    && waiting.room == room
                    && waiting.text.len() < MOST_WAITING
            });
        if !merges && let Some(waiting) = turns.waiting.remove(part.turn) {
            out.push(self.piece(part.turn, waiting));
        }
        match piece {
            Some(text) if merges => {
                if let Some(waiting) = turns.waiting.get_mut(part.turn) {
                    waiting.text.push_str(text);
                }
            }
            Some(text) => {
                if turns.waiting.len() >= MOST_TURNS {
                    return Err("too many turns are under way; try again later".to_owned());
                }
                let waiting = Waiting {
                    room,
                    kind: part.kind.to_owned(),
                    text: text.to_owned(),
                };
                turns.waiting.insert(part.turn.to_owned(), waiting);
                let (dashboard, turn) = (self.clone(), part.turn.to_owned());
                actix_rt::spawn(async move {
                    tokio::time::sleep(MERGED_FOR).await;
                    let mut turns = dashboard.turns();
                    if let Some(waiting) = turns.waiting.remove(&turn) {
                        let piece = dashboard.piece(&turn, waiting);
                        dashboard.publish(None, vec![piece]);
                    }
                });
            }
            None => {
                let mut fields = part.fields;
                if let Some(fields) = fields.as_object_mut() {
                    fields.insert("type".to_owned(), part.kind.into());
                    fields.insert("turnId".to_owned(), part.turn.into());
                    fields.insert("threadId".to_owned(), part.thread.into());
                    fields.insert("orgSlug".to_owned(), part.slug.into());
                }
                out.push(self.event(room, "main_agent_stream", fields));
            }
        }
        // Under the lock: two parts of a turn are told in their order.
        self.publish(None, out);
        Ok(())
    }

    fn piece(&self, turn: &str, waiting: Waiting) -> Delivery {
        let Waiting { room, kind, text } = waiting;
        let names = room.strip_prefix("org:").unwrap_or_default();
        let (slug, thread) = names.split_once(":thread:").unwrap_or_default();
        let data = json!({
            "type": kind, "turnId": turn, "threadId": thread, "orgSlug": slug, "text": text,
        });
        self.event(room, "main_agent_stream", data)
    }

    /// Begins a simulated turn in a thread; returns its id.
    pub(super) fn begin_turn(
        self: &Arc<Self>,
        slug: &str,
        thread: &str,
        body: &str,
    ) -> Result<String, String> {
        let room = rooms::thread(slug, thread);
        let turn = new_id();
        {
            let mut turns = self.turns();
            if turns.simulated.contains_key(&room) {
                return Err("a turn is under way in this thread; interrupt it first".to_owned());
            }
            if turns.simulated.len() >= MOST_TURNS {
                return Err("too many turns are under way; try again later".to_owned());
            }
            turns.simulated.insert(room, turn.clone());
        }
        let created = json!({
            "orgSlug": slug, "threadId": thread, "messageId": new_id(), "body": body,
        });
        let created = self.event(rooms::organisation(slug), "message_created", created);
        self.publish(None, vec![created]);
        let dashboard = self.clone();
        let (slug, thread) = (slug.to_owned(), thread.to_owned());
        let (body, id) = (body.to_owned(), turn.clone());
        actix_rt::spawn(async move {
            if let Err(error) = dashboard.say(&slug, &thread, &id, &body).await {
                tracing::debug!(error, "a simulated turn ends early");
            }
            let mut turns = dashboard.turns();
            let room = rooms::thread(&slug, &thread);
            if turns.simulated.get(&room) == Some(&id) {
                turns.simulated.remove(&room);
            }
        });
        Ok(turn)
    }

    /// Says something back, word by word, as long as nobody interrupts.
    async fn say(
        self: &Arc<Self>,
        slug: &str,
        thread: &str,
        turn: &str,
        body: &str,
    ) -> Result<(), String> {
        let began = Instant::now();
        let part = |kind, fields| TurnPart {
            slug,
            thread,
            turn,
            kind,
            fields,
            is_simulated: true,
        };
        self.stream(part("turn_start", json!({})))?;
        let answer = format!("No agent is attached; you said: {body}");
        for word in answer.split_inclusive(' ') {
            self.stream(part("text_delta", json!({ "text": word })))?;
            tokio::time::sleep(MERGED_FOR / 5).await;
        }
        let took = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
        let complete = json!({
            "messageId": new_id(), "fullText": answer, "costUsd": 0, "durationMs": took,
        });
        self.stream(part("turn_complete", complete))
    }

    /// Ends the simulated turn of a thread; `false` when there is none.
    pub(super) fn interrupt_turn(self: &Arc<Self>, slug: &str, thread: &str) -> bool {
        let turn = self.turns().simulated.remove(&rooms::thread(slug, thread));
        let Some(turn) = turn else {
            return false;
        };
        let part = TurnPart {
            slug,
            thread,
            turn: &turn,
            kind: "stream_error",
            fields: json!({ "error": "interrupted" }),
            is_simulated: false,
        };
        self.stream(part).is_ok()
    }
}
