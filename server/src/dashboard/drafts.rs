//! Messages to agents, and agents' drafts to people outside that wait for a player.

use std::sync::Arc;
use std::time::Instant;

use dormouse_shard::application::{Delivery, EventOutcome, EventReply, EventRequest};
use dormouse_shard::publication::ReplyTo;
use serde::Deserialize;
use serde_json::{Value, json};

use super::events::{MOST_TEXT, MOST_TITLE, bounded, read, refused};
use super::injection::{DraftContent, Fault};
use super::records::{Message, MessageKind, MessageStatus};
use super::tasks::no_agent;
use super::{Dashboard, ack, database_text, storage};
use crate::clock::unix_ms;

/// A message of a player.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Letter {
    to_agent_id: String,
    subject: String,
    body: String,
}

/// What a player decides about a draft.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Decision {
    draft_id: String,
    #[serde(default)]
    reason: Option<String>,
}

impl Dashboard {
    /// `message:send`.
    pub(super) fn send_message(
        self: Arc<Self>,
        request: EventRequest,
    ) -> Result<EventReply, String> {
        let began = Instant::now();
        let letter: Letter = read(request.payload.as_deref())?;
        let subject = bounded("subject", letter.subject, MOST_TITLE)?;
        let body = bounded("body", letter.body, MOST_TEXT)?;
        let agent = self.agent_for(&letter.to_agent_id)?;
        let message = Message::direct(None, &agent, subject, body, unix_ms());
        Ok(EventReply::Later(Box::pin(async move {
            let answer = json!({ "success": true, "messageId": message.id });
            match self.keep_message(message, request.reply_to, &answer).await {
                Ok(()) => {
                    self.counters.told(began.elapsed());
                    EventOutcome::default()
                }
                Err(error) => {
                    self.counters.failed();
                    refused(error)
                }
            }
        })))
    }

    /// Stores a message and tells of it. Under the load switch it is told only.
    pub(super) async fn keep_message(
        &self,
        message: Message,
        reply_to: Option<ReplyTo>,
        answer: &Value,
    ) -> Result<(), &'static str> {
        if !self.settings.load {
            let stored = message.clone();
            let written = self
                .database
                .write(async move |tx| storage::put_message(tx.connection(), &stored).await);
            written.await.map_err(|err| database_text(&err))?;
        }
        self.change(ack(reply_to, answer), |board, out| {
            let new = json!({ "toAgentId": message.to_agent_id, "message": message });
            out.push(self.to_all("message:new", new));
            let data = json!({ "messageId": message.id, "subject": message.subject });
            out.push(self.log(message.to_agent_id.as_deref(), "message_sent", &data));
            board.put_message(message);
        });
        Ok(())
    }

    /// What an agent did, for the activity log.
    pub(super) fn log(&self, agent: Option<&str>, kind: &str, data: &Value) -> Delivery {
        let log = json!({ "agentId": agent, "eventType": kind, "eventData": data });
        self.to_all("activity:log", log)
    }

    /// Stores an agent's draft and asks the players. Returns its id.
    pub(super) async fn propose(&self, from: &str, content: DraftContent) -> Result<String, Fault> {
        let agent = self.board().agent(from).map(|agent| agent.id.clone());
        let agent = agent.ok_or_else(|| Fault::Unknown(no_agent(from)))?;
        let recipient = bounded("recipient", content.recipient, MOST_TITLE);
        let subject = bounded("subject", content.subject, MOST_TITLE);
        let body = bounded("body", content.body, MOST_TEXT);
        let (recipient, subject, body) = (
            recipient.map_err(Fault::Input)?,
            subject.map_err(Fault::Input)?,
            body.map_err(Fault::Input)?,
        );
        let draft = Message::draft(&agent, recipient, subject, body, unix_ms());
        if self.board().drafts_are_full() {
            let text = "too many drafts wait for approval; decide about some first";
            return Err(Fault::Full(text.to_owned()));
        }
        let stored = draft.clone();
        let written = self
            .database
            .write(async move |tx| storage::put_message(tx.connection(), &stored).await);
        written
            .await
            .map_err(|err| Fault::Database(database_text(&err)))?;
        let id = draft.id.clone();
        self.change(None, |board, out| {
            let content = json!({
                "recipient": draft.external_recipient, "subject": draft.subject,
                "body": draft.body,
            });
            let pending = json!({ "draftId": draft.id, "fromAgent": agent, "content": content });
            out.push(self.to_all("draft:pending", pending));
            board.put_draft(draft);
        });
        Ok(id)
    }

    /// `draft:approve` and `draft:reject`: whoever takes the draft off the board decides.
    pub(super) fn decide(
        self: Arc<Self>,
        request: EventRequest,
        approves: bool,
    ) -> Result<EventReply, String> {
        let Decision { draft_id, reason } = read(request.payload.as_deref())?;
        let reason = reason
            .map(|reason| bounded("reason", reason, MOST_TEXT))
            .transpose()?;
        let draft = self.board().take_draft(&draft_id);
        let waiting = draft.ok_or_else(|| format!("Draft {draft_id} not found"))?;
        let mut decided = waiting.clone();
        decided.status = if approves {
            MessageStatus::Approved
        } else {
            MessageStatus::Rejected
        };
        debug_assert_eq!(decided.kind, MessageKind::ExternalDraft);
        let stored = decided.clone();
        let writing = self
            .database
            .write(async move |tx| storage::put_message(tx.connection(), &stored).await);
        Ok(EventReply::Later(Box::pin(async move {
            if let Err(err) = writing.await {
                self.board().put_draft(waiting);
                self.counters.failed();
                return refused(database_text(&err));
            }
            let answer = if approves {
                json!({ "success": true, "messageId": decided.id })
            } else {
                json!({ "success": true })
            };
            self.change(ack(request.reply_to, &answer), |_, out| {
                let agent = decided.from_agent_id.as_deref();
                let data = json!({ "draftId": decided.id });
                if approves {
                    out.push(self.log(agent, "draft_approved", &data));
                } else {
                    let mut rejected = data.clone();
                    if let (Some(fields), Some(reason)) = (rejected.as_object_mut(), reason) {
                        fields.insert("reason".to_owned(), reason.into());
                    }
                    out.push(self.to_all("draft:rejected", rejected));
                    out.push(self.log(agent, "draft_rejected", &data));
                }
            });
            EventOutcome::default()
        })))
    }
}
