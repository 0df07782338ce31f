//! What the dashboard knows: agents, tasks, messages and how its player looks at them (Socket.IO
//! contract, section 11). Times are Unix ms, absent ones null.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::database::new_id;

/// How often a task is tried again that has failed.
const MAX_RETRIES: u32 = 3;
/// The player of whom there is one.
const PLAYER: &str = "default";
/// What there is to spend, US dollars.
const BUDGET_USD: f64 = 100.0;

/// What an agent does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AgentStatus {
    /// Nothing.
    Idle,
    /// A task.
    Working,
    /// It waits for somebody.
    Blocked,
    /// It is not there.
    Offline,
}

/// One who works.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Agent {
    /// Its id.
    pub id: String,
    /// Its name, which no other has.
    pub name: String,
    /// What it is there for.
    pub role: String,
    /// How it is told to be.
    pub personality_prompt: String,
    /// What it does.
    pub status: AgentStatus,
    /// Its task, while it works.
    pub current_task_id: Option<String>,
    /// What it can do.
    pub capabilities: Vec<String>,
    /// Which tools it may use.
    pub tool_permissions: Map<String, Value>,
    /// Counts its changes, from 1.
    pub version: u64,
    /// When it was made.
    pub created_at: u64,
    /// When it was last changed.
    pub updated_at: u64,
    /// When it was deleted.
    pub deleted_at: Option<u64>,
}

impl Agent {
    /// A new agent that does nothing yet.
    pub fn new(name: &str, now: u64) -> Self {
        Self {
            id: new_id(),
            name: name.to_owned(),
            role: String::new(),
            personality_prompt: String::new(),
            status: AgentStatus::Idle,
            current_task_id: None,
            capabilities: Vec::new(),
            tool_permissions: Map::new(),
            version: 1,
            created_at: now,
            updated_at: now,
            deleted_at: None,
        }
    }
}

/// Where a task stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TaskStatus {
    /// Nobody has begun.
    Pending,
    /// Somebody is at it.
    InProgress,
    /// It waits for somebody.
    Blocked,
    /// Done; final.
    Completed,
    /// Failed; pending again, as long as retries are left.
    Failed,
    /// Given up; final.
    Cancelled,
}

impl TaskStatus {
    /// Whether somebody is or will be at it.
    pub fn is_active(self) -> bool {
        matches!(self, Self::Pending | Self::InProgress | Self::Blocked)
    }
}

/// How urgent a task is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Priority {
    /// Some time.
    Low,
    /// As usual.
    #[default]
    Normal,
    /// Soon.
    High,
    /// Now.
    Urgent,
}

/// Something that an agent is to do.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Task {
    /// Its id.
    pub id: String,
    /// Who is to do it.
    pub agent_id: String,
    /// Which agent asked for it; none for the dashboard's players.
    pub created_by_id: Option<String>,
    /// What it is called.
    pub title: String,
    /// What is to be done.
    pub description: String,
    /// Where it stands.
    pub status: TaskStatus,
    /// Where it stood before.
    pub previous_status: Option<TaskStatus>,
    /// How urgent it is.
    pub priority: Priority,
    /// How much is done, 0 to 100.
    pub progress_percent: u8,
    /// What the agent says of it.
    pub progress_details: Map<String, Value>,
    /// What came of it.
    pub result: Value,
    /// When somebody began.
    pub started_at: Option<u64>,
    /// When it came to its end.
    pub completed_at: Option<u64>,
    /// How often it was tried again.
    pub retry_count: u32,
    /// How often it is, at most.
    pub max_retries: u32,
    /// When it was made.
    pub created_at: u64,
}

impl Task {
    /// A new task that nobody has begun.
    pub fn new(agent: &str, title: String, description: String, now: u64) -> Self {
        Self {
            id: new_id(),
            agent_id: agent.to_owned(),
            created_by_id: None,
            title,
            description,
            status: TaskStatus::Pending,
            previous_status: None,
            priority: Priority::Normal,
            progress_percent: 0,
            progress_details: Map::new(),
            result: Value::Null,
            started_at: None,
            completed_at: None,
            retry_count: 0,
            max_retries: MAX_RETRIES,
            created_at: now,
        }
    }

    /// Brings it to another status.
    pub fn move_to(&mut self, status: TaskStatus, now: u64) {
        self.previous_status = Some(std::mem::replace(&mut self.status, status));
        match status {
            TaskStatus::InProgress => self.started_at = Some(now),
            TaskStatus::Completed | TaskStatus::Failed | TaskStatus::Cancelled => {
                self.completed_at = Some(now);
            }
            TaskStatus::Pending => {
                (self.started_at, self.completed_at) = (None, None);
                self.progress_percent = 0;
            }
            TaskStatus::Blocked => {}
        }
    }

    /// Brings a failed task back; `false` when no retry is left.
    pub fn retry(&mut self, now: u64) -> bool {
        let is_left = self.retry_count < self.max_retries;
        if is_left {
            self.retry_count += 1;
            self.move_to(TaskStatus::Pending, now);
        }
        is_left
    }
}

/// What kind of message it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MessageKind {
    /// To one agent.
    Direct,
    /// To all.
    Broadcast,
    /// From the server.
    System,
    /// To somebody outside, once a player approves.
    ExternalDraft,
}

/// Where a message stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MessageStatus {
    /// On its way, or waiting for approval.
    Pending,
    /// There.
    Delivered,
    /// Read.
    Read,
    /// Approved by a player.
    Approved,
    /// Refused by a player.
    Rejected,
}

/// Something said.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Message {
    /// Its id.
    pub id: String,
    /// Which agent says it; none for the dashboard's players.
    pub from_agent_id: Option<String>,
    /// To which agent.
    pub to_agent_id: Option<String>,
    /// What it is about.
    pub subject: String,
    /// What is said.
    pub body: String,
    /// What kind of message it is.
    #[serde(rename = "type")]
    pub kind: MessageKind,
    /// Where it stands.
    pub status: MessageStatus,
    /// Whether it is to go to somebody outside.
    pub is_external_draft: bool,
    /// To whom outside.
    pub external_recipient: Option<String>,
    /// When it was said.
    pub created_at: u64,
    /// When it was read.
    pub read_at: Option<u64>,
}

impl Message {
    /// A message to an agent.
    pub fn direct(from: Option<String>, to: &str, subject: String, body: String, now: u64) -> Self {
        Self {
            id: new_id(),
            from_agent_id: from,
            to_agent_id: Some(to.to_owned()),
            subject,
            body,
            kind: MessageKind::Direct,
            status: MessageStatus::Delivered,
            is_external_draft: false,
            external_recipient: None,
            created_at: now,
            read_at: None,
        }
    }

    /// A message to somebody outside that waits for approval.
    pub fn draft(from: &str, recipient: String, subject: String, body: String, now: u64) -> Self {
        Self {
            to_agent_id: None,
            kind: MessageKind::ExternalDraft,
            status: MessageStatus::Pending,
            is_external_draft: true,
            external_recipient: Some(recipient),
            ..Self::direct(Some(from.to_owned()), "", subject, body, now)
        }
    }
}

/// How the player looks at the dashboard, and what there is to spend.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GameState {
    /// Its id.
    pub id: String,
    /// The player.
    pub player_id: String,
    /// Where the camera is.
    pub camera_position: Value,
    /// What is open.
    pub ui_state: Value,
    /// What is left, US dollars.
    pub budget_remaining_usd: f64,
    /// What there was, US dollars.
    pub budget_limit_usd: f64,
    /// When it was last written.
    pub last_sync_at: u64,
}

impl GameState {
    /// Nobody has looked yet.
    pub fn new(now: u64) -> Self {
        Self {
            id: new_id(),
            player_id: PLAYER.to_owned(),
            camera_position: json!({ "x": 0, "y": 0, "zoom": 1 }),
            ui_state: json!({}),
            budget_remaining_usd: BUDGET_USD,
            budget_limit_usd: BUDGET_USD,
            last_sync_at: now,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_task_is_tried_again_until_no_retry_is_left() {
        let mut task = Task::new("a", "t".into(), "d".into(), 1);
        for retry in 1..=MAX_RETRIES {
            task.move_to(TaskStatus::InProgress, 2);
            task.move_to(TaskStatus::Failed, 3);
            assert!(task.retry(4));
            assert_eq!(
                (task.retry_count, task.status),
                (retry, TaskStatus::Pending)
            );
            assert_eq!(task.previous_status, Some(TaskStatus::Failed));
            assert_eq!((task.started_at, task.completed_at), (None, None));
        }
        task.move_to(TaskStatus::Failed, 5);
        assert!(!task.retry(6));
        assert_eq!(task.status, TaskStatus::Failed);
    }

    #[test]
    fn records_have_the_names_of_the_contract() {
        let task = serde_json::to_value(Task::new("a", "t".into(), "d".into(), 1)).unwrap();
        for key in [
            "id",
            "agentId",
            "createdById",
            "title",
            "description",
            "status",
            "previousStatus",
            "priority",
            "progressPercent",
            "progressDetails",
            "result",
            "startedAt",
            "completedAt",
            "retryCount",
            "maxRetries",
            "createdAt",
        ] {
            assert!(task.get(key).is_some(), "{key}");
        }
        assert_eq!(
            (&task["status"], &task["priority"]),
            (&json!("pending"), &json!("normal"))
        );
        let draft = Message::draft("a", "x@y".into(), "s".into(), "b".into(), 1);
        let draft = serde_json::to_value(draft).unwrap();
        assert_eq!(draft["type"], "external_draft");
        assert_eq!(
            (&draft["isExternalDraft"], &draft["toAgentId"]),
            (&json!(true), &Value::Null)
        );
        let game = serde_json::to_value(GameState::new(1)).unwrap();
        assert_eq!(game["budgetLimitUsd"], 100.0);
        assert_eq!(game["playerId"], "default");
    }
}
