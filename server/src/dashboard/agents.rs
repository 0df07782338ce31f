//! Agents: looked up, made, changed and deleted.

use serde_json::{Map, Value};

use super::board::MOST_AGENTS;
use super::events::{MOST_TEXT, MOST_TITLE, bounded};
use super::injection::Fault;
use super::records::Agent;
use super::tasks::no_agent;
use super::{Dashboard, database_text, storage};
use crate::clock::unix_ms;

/// What is to be changed of an agent; absent parts stay as they are.
#[derive(Clone, Debug, Default)]
pub struct AgentChange {
    /// What it is there for.
    pub role: Option<String>,
    /// How it is told to be.
    pub personality_prompt: Option<String>,
    /// What it can do.
    pub capabilities: Option<Vec<String>>,
    /// Which tools it may use.
    pub tool_permissions: Option<Map<String, Value>>,
}

impl Dashboard {
    /// The id of the agent of this id or name. Under the load switch one that is not there is made.
    pub(super) fn agent_for(&self, name: &str) -> Result<String, String> {
        let mut board = self.board();
        if let Some(agent) = board.agent(name) {
            return Ok(agent.id.clone());
        }
        if !self.settings.load {
            return Err(no_agent(name));
        }
        let name = bounded("agentId", name.to_owned(), MOST_TITLE)?;
        if board.agents() >= MOST_AGENTS {
            return Err(format!("there are {MOST_AGENTS} agents, which is the most"));
        }
        let agent = Agent::new(&name, unix_ms());
        let id = agent.id.clone();
        board.put_agent(agent);
        Ok(id)
    }

    /// Changes the agent of this name, or makes it.
    ///
    /// # Errors
    /// [`Fault`]; then nothing has changed.
    pub async fn put_agent(&self, name: &str, change: AgentChange) -> Result<Agent, Fault> {
        let now = unix_ms();
        bounded("the name", name.to_owned(), MOST_TITLE).map_err(Fault::Input)?;
        for text in [&change.role, &change.personality_prompt]
            .into_iter()
            .flatten()
        {
            bounded("role and personalityPrompt", text.clone(), MOST_TEXT).map_err(Fault::Input)?;
        }
        let size = serde_json::to_string(&(&change.capabilities, &change.tool_permissions));
        if size.map_or(0, |json| json.len()) > MOST_TEXT {
            let text = format!("capabilities and toolPermissions have at most {MOST_TEXT} bytes");
            return Err(Fault::Input(text));
        }
        let agent = {
            let board = self.board();
            match board.agent(name) {
                Some(agent) => {
                    let mut agent = agent.clone();
                    agent.version += 1;
                    agent.updated_at = now;
                    Some(agent)
                }
                None => (board.agents() < MOST_AGENTS).then(|| Agent::new(name, now)),
            }
        };
        let Some(mut agent) = agent else {
            let text = format!("there are {MOST_AGENTS} agents, which is the most");
            return Err(Fault::Full(text));
        };
        agent.role = change.role.unwrap_or(agent.role);
        agent.personality_prompt = change
            .personality_prompt
            .unwrap_or(agent.personality_prompt);
        agent.capabilities = change.capabilities.unwrap_or(agent.capabilities);
        agent.tool_permissions = change.tool_permissions.unwrap_or(agent.tool_permissions);
        self.store_agent(agent).await
    }

    /// Deletes the agent of this id or name.
    ///
    /// # Errors
    /// [`Fault`]; then nothing has changed.
    pub async fn delete_agent(&self, name: &str) -> Result<Agent, Fault> {
        let now = unix_ms();
        let agent = self.board().agent(name).cloned();
        let mut agent = agent.ok_or_else(|| Fault::Unknown(no_agent(name)))?;
        agent.deleted_at = Some(now);
        agent.updated_at = now;
        agent.version += 1;
        self.store_agent(agent).await
    }

    async fn store_agent(&self, agent: Agent) -> Result<Agent, Fault> {
        let stored = agent.clone();
        let written = self
            .database
            .write(async move |tx| storage::put_agent(tx.connection(), &stored).await);
        written
            .await
            .map_err(|err| Fault::Database(database_text(&err)))?;
        self.board().put_agent(agent.clone());
        Ok(agent)
    }
}
