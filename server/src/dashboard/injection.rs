//! What backends and agents' programs tell the dashboard: by HTTP, with a token of its user.

use std::sync::Arc;

use dormouse_config::Organisation;
use serde::Deserialize;
use serde_json::{Value, json};

use super::events::{MOST_TEXT, MOST_TITLE, bounded};
use super::records::{AgentStatus, Message, Task, TaskStatus};
use super::tasks::no_agent;
use super::turns::TurnPart;
use super::{Dashboard, rooms};
use crate::clock::unix_ms;
use crate::database::new_id;

/// Events of organisations, told to all who look at one.
const OF_ORGANISATIONS: [&str; 22] = [
    "agent_status_changed",
    "agent_updated",
    "agent_deleted",
    "task_created",
    "task_updated",
    "task_status_changed",
    "message_created",
    "message_updated",
    "message_deleted",
    "thread_deleted",
    "board_item_created",
    "board_item_updated",
    "board_item_archived",
    "org_changed",
    "workspace_updated",
    "tool_permission_created",
    "tool_permission_updated",
    "tool_permission_deleted",
    "mcp_server_created",
    "mcp_server_updated",
    "mcp_server_deleted",
    "mcp_server_status_changed",
];
/// What turns are made of.
const PARTS_OF_TURNS: [&str; 7] = [
    "turn_start",
    "text_delta",
    "thinking_delta",
    "tool_start",
    "tool_result",
    "turn_complete",
    "stream_error",
];

/// Why the dashboard does not take something.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// It is not as it has to be.
    #[error("{0}")]
    Input(String),
    /// It is about something that is not there.
    #[error("{0}")]
    Unknown(String),
    /// There is no room for it.
    #[error("{0}")]
    Full(String),
    /// It cannot be stored.
    #[error("{0}")]
    Database(&'static str),
}

/// What an agent wants to send to somebody outside.
#[derive(Debug, Deserialize)]
pub struct DraftContent {
    /// To whom.
    pub recipient: String,
    /// What about.
    pub subject: String,
    /// What.
    pub body: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Draft {
    from_agent: String,
    content: DraftContent,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Letter {
    from_agent_id: Option<String>,
    to_agent_id: String,
    subject: String,
    body: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Status {
    agent_id: String,
    status: AgentStatus,
    task_id: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct OfTask {
    task_id: String,
    progress: Option<u8>,
    details: Option<serde_json::Map<String, Value>>,
    result: Option<Value>,
    error: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct TeamTask {
    team: String,
    task_id: String,
    task: Option<Value>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ClaudeEvent {
    id: Option<String>,
    timestamp: Option<Value>,
    event: String,
    session_id: String,
    #[serde(default)]
    data: Value,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Activity {
    agent_id: Option<String>,
    event_type: String,
    #[serde(default)]
    event_data: Value,
}

fn of<T: for<'a> Deserialize<'a>>(data: Value) -> Result<T, Fault> {
    serde_json::from_value(data).map_err(|err| Fault::Input(format!("bad data: {err}")))
}

fn text<'a>(data: &'a Value, name: &str) -> Result<&'a str, Fault> {
    let text = data.get(name).and_then(Value::as_str);
    let text = text.filter(|text| !text.is_empty() && text.len() <= MOST_TITLE);
    text.ok_or_else(|| Fault::Input(format!("the data needs \"{name}\", a short text")))
}

impl Dashboard {
    /// Takes an event and tells it. Returns the id of what was made, if anything was.
    ///
    /// # Errors
    /// [`Fault`]; then nothing has changed and nobody is told.
    pub async fn inject(
        self: &Arc<Self>,
        event: &str,
        data: Value,
        slug: Option<&str>,
    ) -> Result<Option<String>, Fault> {
        if !data.is_object() {
            return Err(Fault::Input("the data must be an object".to_owned()));
        }
        if OF_ORGANISATIONS.contains(&event) || matches!(event, "agent_event" | "main_agent_stream")
        {
            let slug = slug.unwrap_or("default");
            if !Organisation::is_slug(slug) {
                return Err(Fault::Input("orgSlug is no organisation".to_owned()));
            }
            self.tell_organisation(event, data, slug)?;
            return Ok(None);
        }
        match event {
            "draft:pending" => {
                let Draft {
                    from_agent,
                    content,
                } = of(data)?;
                self.propose(&from_agent, content).await.map(Some)
            }
            "message:new" => self.deliver_letter(of(data)?).await.map(Some),
            "agent:status" => self.set_agent_status(of(data)?).map(|()| None),
            "task:progress" => self.set_progress(of(data)?).map(|()| None),
            "task:completed" | "task:failed" => {
                self.end_task(event, of(data)?).await.map(|()| None)
            }
            "task:created" | "task:updated" | "task:deleted" => {
                let TeamTask {
                    team,
                    task_id,
                    task,
                } = of(data)?;
                let mut told = json!({ "team": team, "taskId": task_id });
                if let (Some(fields), Some(task)) = (told.as_object_mut(), task) {
                    fields.insert("task".to_owned(), task);
                }
                self.change(None, |_, out| out.push(self.to_all(event, told)));
                Ok(None)
            }
            "activity:log" => {
                let log: Activity = of(data)?;
                let agent = log.agent_id.as_deref();
                let delivery = self.log(agent, &log.event_type, &log.event_data);
                self.change(None, |_, out| out.push(delivery));
                Ok(None)
            }
            "claude:event" => Ok(Some(self.keep_claude_event(of(data)?))),
            other => Err(Fault::Input(format!(
                "{other:?} is no event of the dashboard; /openapi.json lists them"
            ))),
        }
    }

    fn tell_organisation(
        self: &Arc<Self>,
        event: &str,
        mut data: Value,
        slug: &str,
    ) -> Result<(), Fault> {
        if event == "main_agent_stream" {
            let kind = text(&data, "type")?.to_owned();
            let (turn, thread) = (
                text(&data, "turnId")?.to_owned(),
                text(&data, "threadId")?.to_owned(),
            );
            if !PARTS_OF_TURNS.contains(&&*kind) {
                let text = format!("the type of a part of a turn is one of {PARTS_OF_TURNS:?}");
                return Err(Fault::Input(text));
            }
            let part = TurnPart {
                slug,
                thread: &thread,
                turn: &turn,
                kind: &kind,
                fields: data,
                is_simulated: false,
            };
            return self.stream(part).map_err(Fault::Full);
        }
        let room = if event == "agent_event" {
            rooms::agent(slug, text(&data, "agentId")?)
        } else {
            rooms::organisation(slug)
        };
        if let Some(fields) = data.as_object_mut() {
            fields.insert("orgSlug".to_owned(), slug.into());
        }
        self.change(None, |_, out| out.push(self.event(room, event, data)));
        Ok(())
    }

    async fn deliver_letter(&self, letter: Letter) -> Result<String, Fault> {
        let subject = bounded("subject", letter.subject, MOST_TITLE).map_err(Fault::Input)?;
        let body = bounded("body", letter.body, MOST_TEXT).map_err(Fault::Input)?;
        let to = self
            .agent_for(&letter.to_agent_id)
            .map_err(Fault::Unknown)?;
        let from = letter.from_agent_id.as_deref();
        let from = from.map(|name| self.agent_for(name)).transpose();
        let from = from.map_err(Fault::Unknown)?;
        let message = Message::direct(from, &to, subject, body, unix_ms());
        let id = message.id.clone();
        let stored = self.keep_message(message, None, &Value::Null).await;
        stored.map_err(Fault::Database)?;
        Ok(id)
    }

    fn set_agent_status(&self, status: Status) -> Result<(), Fault> {
        let id = self.agent_for(&status.agent_id).map_err(Fault::Unknown)?;
        self.change(None, |board, out| {
            let task = status.task_id.as_deref();
            let changed = board.set_status(&id, status.status, task, unix_ms());
            changed.ok_or_else(|| Fault::Unknown(no_agent(&status.agent_id)))?;
            let mut data = json!({ "agentId": id, "status": status.status });
            if let (Some(fields), Some(task)) = (data.as_object_mut(), task) {
                fields.insert("taskId".to_owned(), task.into());
            }
            out.push(self.to_all("agent:status", data));
            Ok(())
        })
    }

    /// The task of this id, which is not simulated any more: whoever tells of it executes it.
    fn take_over(&self, id: &str) -> Result<Task, Fault> {
        let mut board = self.board();
        let task = board.task(id).cloned();
        let task = task.ok_or_else(|| Fault::Unknown(format!("Task {id} not found")))?;
        board.end(id);
        Ok(task)
    }

    fn set_progress(&self, told: OfTask) -> Result<(), Fault> {
        let progress = told.progress.filter(|progress| *progress <= 100);
        let progress = progress
            .ok_or_else(|| Fault::Input("the data needs \"progress\", 0 to 100".to_owned()))?;
        let mut task = self.take_over(&told.task_id)?;
        if task.status != TaskStatus::InProgress {
            task.move_to(TaskStatus::InProgress, unix_ms());
        }
        task.progress_percent = progress;
        let mut data = json!({ "taskId": task.id, "progress": progress });
        if let (Some(fields), Some(details)) = (data.as_object_mut(), told.details) {
            task.progress_details.clone_from(&details);
            fields.insert("details".to_owned(), details.into());
        }
        self.change(None, |board, out| {
            board.put_task(task);
            out.push(self.to_all("task:progress", data));
        });
        Ok(())
    }

    async fn end_task(self: &Arc<Self>, event: &str, told: OfTask) -> Result<(), Fault> {
        let task = self.take_over(&told.task_id)?;
        let agent = task.agent_id.clone();
        if event == "task:completed" {
            let result = told.result.unwrap_or(Value::Null);
            self.complete(task, result).await.map_err(Fault::Database)?;
        } else {
            let error = told.error.unwrap_or_else(|| "failed".to_owned());
            let error = bounded("error", error, MOST_TEXT).map_err(Fault::Input)?;
            self.clone()
                .fail(task, error)
                .await
                .map_err(Fault::Database)?;
        }
        self.change(None, |board, out| {
            let next = board.task_of(&agent);
            out.push(self.rests(board, &agent, next, unix_ms()));
        });
        Ok(())
    }

    fn keep_claude_event(&self, event: ClaudeEvent) -> String {
        let id = event.id.unwrap_or_else(new_id);
        let event = json!({
            "id": id, "timestamp": event.timestamp.unwrap_or_else(|| unix_ms().into()),
            "event": event.event, "sessionId": event.session_id, "data": event.data,
        });
        self.change(None, |board, out| {
            out.push(self.to_all("claude:event", event.clone()));
            board.put_claude_event(event);
        });
        id
    }
}
