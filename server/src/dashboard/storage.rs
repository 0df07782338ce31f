//! The dashboard in the database: each record as JSON, beside the columns that are asked for.

use serde::Serialize;
use serde::de::DeserializeOwned;
use sqlx::{AnyConnection, Row as _};

use super::board::{Board, MOST_AGENTS, MOST_DRAFTS, SHOWN_MESSAGES};
use super::records::{Agent, GameState, Message, MessageStatus, Task};
use crate::database::DatabaseError;

/// Active tasks that are read at the start.
const RESUMED_TASKS: i64 = 200;

fn json(record: &impl Serialize) -> Result<String, DatabaseError> {
    serde_json::to_string(record).map_err(|err| DatabaseError::Internal(err.to_string()))
}

fn millis(time: u64) -> i64 {
    i64::try_from(time).unwrap_or(i64::MAX)
}

/// Writes an agent.
///
/// # Errors
/// The database's.
pub async fn put_agent(to: &mut AnyConnection, agent: &Agent) -> Result<(), DatabaseError> {
    let query = "INSERT INTO dashboard_agents (id, name, is_deleted, record) \
                 VALUES ($1, $2, $3, $4) \
                 ON CONFLICT (id) DO UPDATE SET is_deleted = $3, record = $4";
    let query = sqlx::query(query)
        .bind(agent.id.as_str())
        .bind(agent.name.as_str())
        .bind(i64::from(agent.deleted_at.is_some()))
        .bind(json(agent)?);
    query.execute(to).await?;
    Ok(())
}

/// Writes a task.
///
/// # Errors
/// The database's.
pub async fn put_task(to: &mut AnyConnection, task: &Task) -> Result<(), DatabaseError> {
    let query = "INSERT INTO dashboard_tasks (id, agent_id, is_active, created_at, record) \
                 VALUES ($1, $2, $3, $4, $5) \
                 ON CONFLICT (id) DO UPDATE SET is_active = $3, record = $5";
    let query = sqlx::query(query)
        .bind(task.id.as_str())
        .bind(task.agent_id.as_str())
        .bind(i64::from(task.status.is_active()))
        .bind(millis(task.created_at))
        .bind(json(task)?);
    query.execute(to).await?;
    Ok(())
}

/// Writes a message.
///
/// # Errors
/// The database's.
pub async fn put_message(to: &mut AnyConnection, message: &Message) -> Result<(), DatabaseError> {
    let is_waiting = message.is_external_draft && message.status == MessageStatus::Pending;
    let query = "INSERT INTO dashboard_messages (id, is_waiting, created_at, record) \
                 VALUES ($1, $2, $3, $4) \
                 ON CONFLICT (id) DO UPDATE SET is_waiting = $2, record = $4";
    let query = sqlx::query(query)
        .bind(message.id.as_str())
        .bind(i64::from(is_waiting))
        .bind(millis(message.created_at))
        .bind(json(message)?);
    query.execute(to).await?;
    Ok(())
}

/// Writes how the player looks at it.
///
/// # Errors
/// The database's.
pub async fn put_game_state(to: &mut AnyConnection, game: &GameState) -> Result<(), DatabaseError> {
    let query = "INSERT INTO dashboard_game_states (player_id, record) VALUES ($1, $2) \
                 ON CONFLICT (player_id) DO UPDATE SET record = $2";
    let query = sqlx::query(query)
        .bind(game.player_id.as_str())
        .bind(json(game)?);
    query.execute(to).await?;
    Ok(())
}

/// Reads what newcomers are shown, and the active tasks, oldest first.
///
/// # Errors
/// The database's, or a record that is none.
pub async fn load(from: &mut AnyConnection) -> Result<(Board, Vec<Task>), DatabaseError> {
    let mut board = Board::default();
    let agents = "SELECT record FROM dashboard_agents WHERE is_deleted = 0 ORDER BY id LIMIT $1";
    for agent in records::<Agent>(from, agents, MOST_AGENTS as i64).await? {
        board.put_agent(agent);
    }
    let tasks = "SELECT record FROM dashboard_tasks WHERE is_active = 1 ORDER BY id DESC LIMIT $1";
    let mut tasks = records::<Task>(from, tasks, RESUMED_TASKS).await?;
    tasks.reverse();
    for task in &tasks {
        board.put_task(task.clone());
    }
    let messages = "SELECT record FROM dashboard_messages ORDER BY id DESC LIMIT $1";
    let messages = records::<Message>(from, messages, SHOWN_MESSAGES as i64).await?;
    for message in messages.into_iter().rev() {
        if !message.is_external_draft {
            board.put_message(message);
        }
    }
    let drafts = "SELECT record FROM dashboard_messages WHERE is_waiting = 1 ORDER BY id LIMIT $1";
    for draft in records::<Message>(from, drafts, MOST_DRAFTS as i64).await? {
        board.put_draft(draft);
    }
    let game = "SELECT record FROM dashboard_game_states LIMIT $1";
    board.game_state = records(from, game, 1).await?.pop();
    Ok((board, tasks))
}

/// Removes tasks that are over, and messages that wait for nobody, that were made before this time,
/// Unix ms.
///
/// # Errors
/// The database's.
pub async fn prune(from: &mut AnyConnection, before: u64) -> Result<(), DatabaseError> {
    for query in [
        "DELETE FROM dashboard_tasks WHERE is_active = 0 AND created_at < $1",
        "DELETE FROM dashboard_messages WHERE is_waiting = 0 AND created_at < $1",
    ] {
        let query = sqlx::query(query).bind(millis(before));
        query.execute(&mut *from).await?;
    }
    Ok(())
}

async fn records<T: DeserializeOwned>(
    from: &mut AnyConnection,
    query: &'static str,
    most: i64,
) -> Result<Vec<T>, DatabaseError> {
    let rows = sqlx::query(query).bind(most).fetch_all(from).await?;
    let read = |row: &sqlx::any::AnyRow| {
        let text: String = row.try_get(0)?;
        serde_json::from_str(&text).map_err(|err| {
            DatabaseError::Internal(format!("a record of the dashboard cannot be read: {err}"))
        })
    };
    rows.iter().map(read).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dashboard::records::TaskStatus;
    use crate::database::testing::on_both_databases;

    on_both_databases! {
        async fn records_are_read_as_they_were_written(test) {
            let mut ada = Agent::new("ada", 1);
            let mut done = Task::new(&ada.id, "done".into(), "d".into(), 1);
            done.move_to(TaskStatus::Completed, 2);
            let active = Task::new(&ada.id, "active".into(), "d".into(), 3);
            let message = Message::direct(None, &ada.id, "s".into(), "b".into(), 4);
            let draft = Message::draft(&ada.id, "r".into(), "s".into(), "b".into(), 1);
            let game = GameState::new(5);
            let all = (ada.clone(), done, active.clone(), message.clone(), draft.clone(), game);
            let write = test.database.write(async move |tx| {
                let to = tx.connection();
                // Twice: the second write changes what is there.
                for _ in 0..2 {
                    put_agent(to, &all.0).await?;
                    put_task(to, &all.1).await?;
                    put_task(to, &all.2).await?;
                    put_message(to, &all.3).await?;
                    put_message(to, &all.4).await?;
                    put_game_state(to, &all.5).await?;
                }
                prune(to, 2).await
            });
            write.await.unwrap();
            let (board, tasks) = test.database.read(load).await.unwrap();
            assert_eq!(tasks, std::slice::from_ref(&active));
            assert_eq!(board.agent("ada"), Some(&ada));
            let shown = board.snapshot(9);
            assert_eq!(shown["messages"][0]["id"], *message.id);
            assert_eq!(shown["pendingDrafts"][0]["id"], *draft.id);
            assert_eq!(shown["gameState"]["lastSyncAt"], 5);
            let count = test.database.read(async |reader| {
                let rows = sqlx::query("SELECT id FROM dashboard_tasks").fetch_all(reader).await?;
                Ok::<_, DatabaseError>(rows.len())
            });
            assert_eq!(count.await.unwrap(), 1, "what is over and old is gone");
            ada.deleted_at = Some(6);
            let again = Agent::new("ada", 7);
            let both = (ada, again.clone());
            let write = test.database.write(async move |tx| {
                put_agent(tx.connection(), &both.0).await?;
                put_agent(tx.connection(), &both.1).await
            });
            write.await.unwrap();
            let (board, _) = test.database.read(load).await.unwrap();
            assert_eq!(board.agent("ada"), Some(&again));
            test.database.close().await;
        }
    }
}
