//! What is shown: the part of the dashboard's state that newcomers are told, in memory.
//!
//! Every list is bounded. What is durable is in the database; what is here is what `init` shows.

use std::collections::{BTreeMap, HashMap, VecDeque};

use dormouse_protocol::frames;
use dormouse_shard::frame::Frame;
use serde::Serialize;
use serde_json::{Value, json};

use super::records::{Agent, AgentStatus, GameState, Message, Task};

/// Most agents.
pub const MOST_AGENTS: usize = 1000;
/// Most drafts that wait for approval.
pub const MOST_DRAFTS: usize = 100;
/// Most tasks that somebody simulates at a time.
pub const MOST_RUNNING: usize = 1000;
/// Active tasks that are kept here: the newest.
const KEPT_TASKS: usize = 200;
/// Active tasks that are shown.
const SHOWN_TASKS: usize = 50;
/// Active tasks that are shown of each agent.
const SHOWN_TASKS_OF_AGENT: usize = 5;
/// Messages that are shown.
pub const SHOWN_MESSAGES: usize = 100;
/// Events of agents' programs that are kept.
const KEPT_CLAUDE_EVENTS: usize = 1000;

/// The state in memory.
#[derive(Debug, Default)]
pub struct Board {
    agents: BTreeMap<String, Agent>,
    ids: HashMap<String, String>,
    /// Ids are in the order of their making.
    tasks: BTreeMap<String, Task>,
    messages: VecDeque<Message>,
    drafts: BTreeMap<String, Message>,
    claude_events: VecDeque<Value>,
    /// How the player looks at it.
    pub game_state: Option<GameState>,
    /// Tasks that are simulated, with their agents.
    running: BTreeMap<String, String>,
    /// `init` as it was last encoded, while nothing has changed.
    init: Option<Frame>,
}

#[derive(Serialize)]
struct ShownAgent<'a> {
    #[serde(flatten)]
    agent: &'a Agent,
    #[serde(rename = "assignedTasks")]
    tasks: Vec<&'a Task>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ShownTask<'a> {
    #[serde(flatten)]
    task: &'a Task,
    assigned_to: Option<&'a Agent>,
    created_by: Option<&'a Agent>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ShownMessage<'a> {
    #[serde(flatten)]
    message: &'a Message,
    from_agent: Option<&'a Agent>,
    to_agent: Option<&'a Agent>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Init<'a> {
    agents: Vec<ShownAgent<'a>>,
    pending_drafts: Vec<ShownMessage<'a>>,
    tasks: Vec<ShownTask<'a>>,
    messages: Vec<ShownMessage<'a>>,
    game_state: Option<&'a GameState>,
    timestamp: u64,
}

impl Board {
    /// Puts an agent on the board, or takes a deleted one off.
    pub fn put_agent(&mut self, agent: Agent) {
        self.init = None;
        if agent.deleted_at.is_some() {
            self.ids.remove(&agent.name);
            self.agents.remove(&agent.id);
            return;
        }
        self.ids.insert(agent.name.clone(), agent.id.clone());
        self.agents.insert(agent.id.clone(), agent);
    }

    /// The agent of this id or name.
    pub fn agent(&self, name: &str) -> Option<&Agent> {
        let by_name = || self.agents.get(self.ids.get(name)?);
        self.agents.get(name).or_else(by_name)
    }

    /// How many agents there are.
    pub fn agents(&self) -> usize {
        self.agents.len()
    }

    /// An agent does something else now; `None` when there is no such agent.
    pub fn set_status(
        &mut self,
        agent: &str,
        status: AgentStatus,
        task: Option<&str>,
        now: u64,
    ) -> Option<&Agent> {
        self.init = None;
        let agent = self.agents.get_mut(agent)?;
        agent.status = status;
        agent.current_task_id = task.map(str::to_owned);
        agent.updated_at = now;
        Some(agent)
    }

    /// Puts a task on the board, or takes one off that is not active any more.
    pub fn put_task(&mut self, task: Task) {
        self.init = None;
        if !task.status.is_active() {
            self.tasks.remove(&task.id);
            return;
        }
        self.tasks.insert(task.id.clone(), task);
        if self.tasks.len() > KEPT_TASKS {
            self.tasks.pop_first();
        }
    }

    /// A task on the board.
    pub fn task(&self, id: &str) -> Option<&Task> {
        self.tasks.get(id)
    }

    /// Adds a message.
    pub fn put_message(&mut self, message: Message) {
        self.init = None;
        self.messages.push_back(message);
        if self.messages.len() > SHOWN_MESSAGES {
            self.messages.pop_front();
        }
    }

    /// Adds a draft that waits for approval; `false` when too many do.
    pub fn put_draft(&mut self, draft: Message) -> bool {
        let is_room = !self.drafts_are_full();
        if is_room {
            self.init = None;
            self.drafts.insert(draft.id.clone(), draft);
        }
        is_room
    }

    /// Whether no more drafts may wait.
    pub fn drafts_are_full(&self) -> bool {
        self.drafts.len() >= MOST_DRAFTS
    }

    /// Takes a draft that waits for approval.
    pub fn take_draft(&mut self, id: &str) -> Option<Message> {
        self.init = None;
        self.drafts.remove(id)
    }

    /// Keeps an event of an agent's program.
    pub fn put_claude_event(&mut self, event: Value) {
        self.claude_events.push_back(event);
        if self.claude_events.len() > KEPT_CLAUDE_EVENTS {
            self.claude_events.pop_front();
        }
    }

    /// The kept events of agents' programs, oldest first.
    pub fn claude_events(&self) -> impl ExactSizeIterator<Item = &Value> {
        self.claude_events.iter()
    }

    /// The player looks elsewhere.
    pub fn look(&mut self, camera: Option<Value>, ui: Option<Value>, now: u64) {
        self.init = None;
        let game = self.game_state.get_or_insert_with(|| GameState::new(now));
        game.last_sync_at = now;
        if let Some(camera) = camera {
            game.camera_position = camera;
        }
        if let Some(ui) = ui {
            game.ui_state = ui;
        }
    }

    /// Notes that a task is simulated; `false` when too many are.
    pub fn begin(&mut self, task: &Task) -> bool {
        let is_room = self.running.len() < MOST_RUNNING;
        if is_room {
            self.running.insert(task.id.clone(), task.agent_id.clone());
        }
        is_room
    }

    /// Whether a task is still simulated.
    pub fn is_running(&self, task: &str) -> bool {
        self.running.contains_key(task)
    }

    /// A task that an agent is at, as far as it is simulated.
    pub fn task_of(&self, agent: &str) -> Option<String> {
        let other = self.running.iter().find(|(_, other)| *other == agent);
        other.map(|(task, _)| task.clone())
    }

    /// Ends the simulation of a task; `false` when it had ended. Returns with another task that its
    /// agent is at.
    pub fn end(&mut self, task: &str) -> (bool, Option<String>) {
        let Some(agent) = self.running.remove(task) else {
            return (false, None);
        };
        (true, self.task_of(&agent))
    }

    /// What newcomers are told, encoded once until something changes.
    pub fn init(&mut self, now: u64) -> Frame {
        if let Some(init) = &self.init {
            return init.clone();
        }
        let frame = Frame::text(&frames::event("init", &self.shown(now))).shared();
        self.init = Some(frame.clone());
        frame
    }

    /// The same as a value.
    pub fn snapshot(&self, now: u64) -> Value {
        serde_json::to_value(self.shown(now)).unwrap_or_else(|_| json!({}))
    }

    fn of_id(&self, id: Option<&str>) -> Option<&Agent> {
        self.agents.get(id?)
    }

    fn message<'a>(&'a self, message: &'a Message) -> ShownMessage<'a> {
        ShownMessage {
            message,
            from_agent: self.of_id(message.from_agent_id.as_deref()),
            to_agent: self.of_id(message.to_agent_id.as_deref()),
        }
    }

    fn shown(&self, now: u64) -> Init<'_> {
        let mut of_agents: HashMap<&str, Vec<&Task>> = HashMap::new();
        for task in self.tasks.values().rev() {
            let tasks = of_agents.entry(&task.agent_id).or_default();
            if tasks.len() < SHOWN_TASKS_OF_AGENT {
                tasks.push(task);
            }
        }
        let agents = self.agents.values().map(|agent| ShownAgent {
            agent,
            tasks: of_agents.remove(&*agent.id).unwrap_or_default(),
        });
        let tasks = self.tasks.values().rev().take(SHOWN_TASKS);
        Init {
            agents: agents.collect(),
            pending_drafts: self
                .drafts
                .values()
                .rev()
                .map(|it| self.message(it))
                .collect(),
            tasks: tasks
                .map(|task| ShownTask {
                    task,
                    assigned_to: self.agents.get(&task.agent_id),
                    created_by: self.of_id(task.created_by_id.as_deref()),
                })
                .collect(),
            messages: self
                .messages
                .iter()
                .rev()
                .map(|it| self.message(it))
                .collect(),
            game_state: self.game_state.as_ref(),
            timestamp: now,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dashboard::records::TaskStatus;

    fn task(agent: &str) -> Task {
        Task::new(agent, "t".into(), "d".into(), 1)
    }

    #[test]
    fn an_agent_is_found_by_id_and_by_name_until_it_is_deleted() {
        let mut board = Board::default();
        let mut agent = Agent::new("ada", 1);
        board.put_agent(agent.clone());
        assert_eq!(board.agent("ada"), board.agent(&agent.id));
        assert!(board.agent("bob").is_none());
        agent.deleted_at = Some(2);
        board.put_agent(agent.clone());
        assert!(board.agent("ada").is_none() && board.agent(&agent.id).is_none());
    }

    #[test]
    fn newcomers_are_shown_the_newest_of_everything() {
        let mut board = Board::default();
        let ada = Agent::new("ada", 1);
        board.put_agent(ada.clone());
        for _ in 0..300 {
            board.put_task(task(&ada.id));
            board.put_message(Message::direct(None, &ada.id, "s".into(), "b".into(), 1));
        }
        let mut done = task(&ada.id);
        board.put_task(done.clone());
        let newest = done.id.clone();
        assert_eq!(board.snapshot(1)["tasks"][0]["id"], *newest);
        done.move_to(TaskStatus::Completed, 2);
        board.put_task(done);
        let init = board.snapshot(7);
        assert_eq!(init["tasks"].as_array().unwrap().len(), SHOWN_TASKS);
        assert_ne!(init["tasks"][0]["id"], *newest, "it is done");
        assert_eq!(init["tasks"][0]["assignedTo"]["name"], "ada");
        assert_eq!(init["messages"].as_array().unwrap().len(), SHOWN_MESSAGES);
        assert_eq!(init["messages"][0]["toAgent"]["name"], "ada");
        let shown = &init["agents"][0];
        assert_eq!(
            shown["assignedTasks"].as_array().unwrap().len(),
            SHOWN_TASKS_OF_AGENT
        );
        assert_eq!(
            (&init["gameState"], &init["timestamp"]),
            (&Value::Null, &json!(7))
        );
    }

    #[test]
    fn init_is_encoded_again_only_after_a_change() {
        let mut board = Board::default();
        let first = board.init(1).bytes().to_vec();
        assert_eq!(board.init(2).bytes(), first);
        board.look(Some(json!({ "x": 5 })), None, 3);
        let later = board.init(4).bytes().to_vec();
        assert_ne!(later, first);
        assert!(String::from_utf8_lossy(&later).contains(r#""cameraPosition":{"x":5}"#));
    }

    #[test]
    fn lists_are_bounded() {
        let mut board = Board::default();
        for number in 0..=MOST_DRAFTS {
            let draft = Message::draft("a", "r".into(), "s".into(), "b".into(), 1);
            assert_eq!(board.put_draft(draft), number < MOST_DRAFTS);
        }
        for number in 0..=MOST_RUNNING {
            assert_eq!(board.begin(&task("a")), number < MOST_RUNNING);
        }
        for number in 0..=KEPT_CLAUDE_EVENTS {
            board.put_claude_event(number.into());
        }
        assert_eq!(board.claude_events().len(), KEPT_CLAUDE_EVENTS);
        assert_eq!(board.claude_events().next(), Some(&json!(1)));
    }

    #[test]
    fn the_end_of_a_task_tells_what_else_its_agent_is_at() {
        let mut board = Board::default();
        let (one, two, other) = (task("a"), task("a"), task("b"));
        for task in [&one, &two, &other] {
            assert!(board.begin(task));
        }
        assert_eq!(board.end(&one.id), (true, Some(two.id.clone())));
        assert_eq!(board.end(&one.id), (false, None));
        assert_eq!(board.end(&two.id), (true, None));
        assert!(board.is_running(&other.id));
    }
}
