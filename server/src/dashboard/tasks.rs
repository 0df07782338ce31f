//! Tasks on their way to an agent.

use std::sync::Arc;
use std::time::Instant;

use dormouse_shard::application::{EventOutcome, EventReply, EventRequest};
use serde::Deserialize;
use serde_json::json;

use super::events::{MOST_TEXT, MOST_TITLE, bounded, read};
use super::records::{Priority, Task, TaskStatus};
use super::{Dashboard, ack, database_text, storage};
use crate::clock::unix_ms;

/// What an agent is asked to do.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Assignment {
    agent_id: String,
    title: String,
    #[serde(default)]
    description: String,
    #[serde(default)]
    priority: Priority,
}

impl Dashboard {
    /// `task:assign`.
    pub(super) fn assign(self: Arc<Self>, request: EventRequest) -> Result<EventReply, String> {
        let began = Instant::now();
        let asked: Assignment = read(request.payload.as_deref())?;
        let title = bounded("title", asked.title, MOST_TITLE)?;
        let description = bounded("description", asked.description, MOST_TEXT)?;
        let now = unix_ms();
        let agent = self.agent_for(&asked.agent_id)?;
        let mut task = Task::new(&agent, title, description, now);
        task.priority = asked.priority;
        if self.settings.load {
            return Ok(EventReply::Now(self.only_progress(&task, began)));
        }
        if !self.board().begin(&task) {
            return Err("too many tasks are under way; try again later".to_owned());
        }
        let stored = task.clone();
        let writing = self
            .database
            .write(async move |tx| storage::put_task(tx.connection(), &stored).await);
        Ok(EventReply::Later(Box::pin(async move {
            if let Err(err) = writing.await {
                self.board().end(&task.id);
                self.counters.failed();
                return super::events::refused(database_text(&err));
            }
            let answer = ack(
                request.reply_to,
                &json!({ "success": true, "taskId": task.id }),
            );
            self.change(answer, |board, _| board.put_task(task.clone()));
            self.counters.told(began.elapsed());
            actix_rt::spawn(self.clone().simulate(task));
            EventOutcome::default()
        })))
    }

    /// The whole of a task under the load switch.
    fn only_progress(&self, task: &Task, began: Instant) -> EventOutcome {
        let progress = json!({ "taskId": task.id, "progress": 0 });
        let outcome = EventOutcome {
            ack: Some(json!({ "success": true, "taskId": task.id }).to_string()),
            rooms: Vec::new(),
            deliveries: vec![self.to_all("task:progress", progress)],
        };
        self.counters.told(began.elapsed());
        outcome
    }

    /// Brings a task that has failed back to its agent, or tells that it has failed for good. The
    /// failure is stored first.
    pub(super) async fn fail(
        self: Arc<Self>,
        mut task: Task,
        error: String,
    ) -> Result<(), &'static str> {
        let now = unix_ms();
        task.move_to(TaskStatus::Failed, now);
        task.result = json!({ "error": error });
        let is_retried = task.retry(now);
        let stored = task.clone();
        let written = self
            .database
            .write(async move |tx| storage::put_task(tx.connection(), &stored).await);
        written.await.map_err(|err| database_text(&err))?;
        self.change(None, |board, out| {
            board.put_task(task.clone());
            out.push(self.to_all("task:failed", json!({ "taskId": task.id, "error": error })));
            if is_retried {
                let data = json!({ "taskId": task.id, "retryCount": task.retry_count });
                let log = json!({
                    "agentId": task.agent_id, "eventType": "task_retried", "eventData": data,
                });
                out.push(self.to_all("activity:log", log));
            }
        });
        if is_retried && self.board().begin(&task) {
            actix_rt::spawn(self.clone().simulate(task));
        }
        Ok(())
    }

    /// Goes on with tasks that the last process was at: one that was begun begins anew.
    pub(super) async fn resume(self: &Arc<Self>, unfinished: Vec<Task>) {
        for task in unfinished {
            let interrupted = "the server was stopped".to_owned();
            if task.status != TaskStatus::Pending {
                if let Err(error) = self.clone().fail(task, interrupted).await {
                    tracing::warn!(error, "a task of the dashboard is not resumed");
                }
            } else if self.board().begin(&task) {
                actix_rt::spawn(self.clone().simulate(task));
            }
        }
    }
}

/// The acknowledgement of an agent that is not there.
pub(super) fn no_agent(name: &str) -> String {
    format!("Agent {name} not found")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dashboard::failure;

    #[test]
    fn failures_name_the_agent() {
        assert_eq!(
            failure(&no_agent("x")),
            json!({ "success": false, "error": "Agent x not found" })
        );
    }
}
