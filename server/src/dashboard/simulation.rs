//! The execution of a task while no real agent is attached (Socket.IO contract, section 11): it
//! begins, is a quarter further with each step, and succeeds.

use std::sync::Arc;

use dormouse_shard::application::Delivery;
use serde_json::{Value, json};

use super::board::Board;
use super::records::{AgentStatus, Task, TaskStatus};
use super::{Dashboard, database_text, storage};
use crate::clock::unix_ms;

impl Dashboard {
    /// Executes a task that the board has begun. Ends at once when the task is ended by others.
    pub(super) async fn simulate(self: Arc<Self>, mut task: Task) {
        let now = unix_ms();
        task.move_to(TaskStatus::InProgress, now);
        let working = self.change(None, |board, out| {
            if !board.is_running(&task.id) {
                return false;
            }
            board.put_task(task.clone());
            board.set_status(&task.agent_id, AgentStatus::Working, Some(&task.id), now);
            let status = json!({
                "agentId": task.agent_id, "status": "working", "taskId": task.id,
            });
            out.push(self.to_all("agent:status", status));
            out.push(self.progress(&task));
            true
        });
        if !working {
            return;
        }
        for percent in [25, 50, 75, 100] {
            tokio::time::sleep(self.settings.task_step).await;
            task.progress_percent = percent;
            let goes_on = self.change(None, |board, out| {
                let goes_on = board.is_running(&task.id);
                if goes_on {
                    board.put_task(task.clone());
                    out.push(self.progress(&task));
                }
                goes_on
            });
            if !goes_on {
                return;
            }
        }
        let result = json!({ "summary": format!("{} is done", task.title) });
        if let Err(error) = self.complete(task, result).await {
            tracing::warn!(error, "a task of the dashboard is not stored as done");
        }
    }

    fn progress(&self, task: &Task) -> Delivery {
        let data = json!({ "taskId": task.id, "progress": task.progress_percent });
        self.to_all("task:progress", data)
    }

    /// A task is done: stored, then told, and its agent is at its next or idle.
    pub(super) async fn complete(
        self: &Arc<Self>,
        mut task: Task,
        result: Value,
    ) -> Result<(), &'static str> {
        let now = unix_ms();
        task.move_to(TaskStatus::Completed, now);
        task.progress_percent = 100;
        task.result = result;
        let stored = task.clone();
        let written = self
            .database
            .write(async move |tx| storage::put_task(tx.connection(), &stored).await)
            .await;
        self.change(None, |board, out| {
            let (was_running, next) = board.end(&task.id);
            if written.is_err() {
                return;
            }
            let done = json!({ "taskId": task.id, "result": task.result });
            out.push(self.to_all("task:completed", done));
            if was_running {
                out.push(self.rests(board, &task.agent_id, next, now));
            }
            board.put_task(task);
        });
        written.map_err(|err| database_text(&err))
    }

    /// An agent has ended a task.
    pub(super) fn rests(
        &self,
        board: &mut Board,
        agent: &str,
        next: Option<String>,
        now: u64,
    ) -> Delivery {
        let status = match next {
            Some(_) => AgentStatus::Working,
            None => AgentStatus::Idle,
        };
        board.set_status(agent, status, next.as_deref(), now);
        let mut data = json!({ "agentId": agent, "status": status });
        if let (Some(fields), Some(next)) = (data.as_object_mut(), next) {
            fields.insert("taskId".to_owned(), next.into());
        }
        self.to_all("agent:status", data)
    }
}
