//! The agent dashboard: agents, tasks, messages and drafts, shown to Socket.IO clients on
//! `/socket.io` and moved by them (Socket.IO contract, sections 11 and 12).
//!
//! It is an application of the shard crate and uses only what any application has: events with
//! acknowledgements, rooms, what newcomers are told first, publications. All its connections belong
//! to one user, whose token reaches them over the plain transport and over HTTP too.
//!
//! What is durable is written before it is acknowledged and told; what newcomers are shown is kept
//! in memory. The lock on it is held while a change is made and queued to be told, so that both have
//! one order; never while anything is waited for.

pub mod agents;
pub mod board;
pub mod counters;
mod drafts;
mod events;
pub mod gate;
pub mod injection;
mod organisations;
pub mod records;
pub mod rooms;
mod simulation;
mod storage;
mod tasks;
mod turns;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use dormouse_config::DashboardSettings;
use dormouse_protocol::{Attachment, Filter, frames};
use dormouse_shard::application::{Application, Delivery, EventReply, EventRequest, Welcome};
use dormouse_shard::frame::Frame;
use dormouse_shard::mount::Wire;
use dormouse_shard::publication::{Ack, Publication, ReplyTo};
use serde_json::{Value, json};

use self::board::Board;
use self::counters::DashboardCounters;
use self::gate::Organisations;
use self::records::Task;
use self::turns::Turns;
use crate::clock::{iso, unix_ms};
use crate::database::{Database, DatabaseError, Publisher};

/// How long tasks that are over and messages are kept.
const KEPT_FOR: Duration = Duration::from_secs(30 * DAY);
/// Seconds of a day: so often what is older is removed.
const DAY: u64 = 24 * 60 * 60;
/// How often the player's view is written at most.
const WRITE_VIEW_EVERY: Duration = Duration::from_secs(1);

/// The dashboard. Shared by all threads.
pub struct Dashboard {
    user: Arc<str>,
    settings: DashboardSettings,
    database: Database,
    publisher: Arc<dyn Publisher>,
    organisations: Arc<Organisations>,
    board: Mutex<Board>,
    turns: Mutex<Turns>,
    /// What is counted.
    pub counters: DashboardCounters,
    /// Whether the player's view is to be written.
    is_view_new: AtomicBool,
}

impl std::fmt::Debug for Dashboard {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Dashboard")
            .field("user", &self.user)
            .finish_non_exhaustive()
    }
}

impl Dashboard {
    /// What the database has of it, and the tasks that the last process was at.
    ///
    /// # Errors
    /// The database's.
    pub async fn load(
        settings: DashboardSettings,
        organisations: Arc<Organisations>,
        database: Database,
        publisher: Arc<dyn Publisher>,
    ) -> Result<(Arc<Self>, Vec<Task>), DatabaseError> {
        let (board, tasks) = database.read(storage::load).await?;
        let dashboard = Arc::new(Self {
            user: settings.user.as_str().into(),
            settings,
            database,
            publisher,
            organisations,
            board: Mutex::new(board),
            turns: Mutex::default(),
            counters: DashboardCounters::default(),
            is_view_new: AtomicBool::new(false),
        });
        Ok((dashboard, tasks))
    }

    /// The user that has all connections of the dashboard.
    pub fn user(&self) -> &Arc<str> {
        &self.user
    }

    fn board(&self) -> MutexGuard<'_, Board> {
        self.board.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What newcomers are told.
    pub fn snapshot(&self) -> Value {
        self.board().snapshot(unix_ms())
    }

    /// The kept events of agents' programs, oldest first.
    pub fn claude_events(&self) -> Vec<Value> {
        self.board().claude_events().cloned().collect()
    }

    /// Changes what is shown and tells what the change leads to, in one order for all changes.
    fn change<T>(
        &self,
        ack: Option<Ack>,
        work: impl FnOnce(&mut Board, &mut Vec<Delivery>) -> T,
    ) -> T {
        let mut deliveries = Vec::new();
        let mut board = self.board();
        let value = work(&mut board, &mut deliveries);
        self.publish(ack, deliveries);
        value
    }

    fn publish(&self, ack: Option<Ack>, deliveries: Vec<Delivery>) {
        if ack.is_some() || !deliveries.is_empty() {
            let publication = Publication { ack, deliveries };
            self.publisher.publish(&self.user, publication);
        }
    }

    /// An event for a room, stamped with the time.
    fn event(&self, room: impl Into<Box<str>>, name: &str, data: Value) -> Delivery {
        let mut data = data;
        if let Value::Object(fields) = &mut data {
            fields.insert("_emitTimestamp".to_owned(), unix_ms().into());
        }
        self.counters.emitted(name);
        Delivery {
            filter: Filter::Room(room.into()),
            except: None,
            json: frames::event(name, &data),
            is_ephemeral: false,
        }
    }

    /// An event for all who look at the dashboard as a whole.
    fn to_all(&self, name: &str, data: Value) -> Delivery {
        self.event(rooms::WHOLE, name, data)
    }

    /// Goes on with what the last process was at, and tells the time to whoever is connected; until
    /// it is aborted.
    pub async fn run(self: Arc<Self>, unfinished: Vec<Task>) {
        self.resume(unfinished).await;
        let mut heartbeat = tokio::time::interval(self.settings.heartbeat);
        let mut write = tokio::time::interval(WRITE_VIEW_EVERY);
        let mut prune = tokio::time::interval(Duration::from_secs(DAY));
        heartbeat.tick().await;
        loop {
            tokio::select! {
                _ = heartbeat.tick() => {
                    let beat = self.to_all("heartbeat", json!({ "timestamp": unix_ms() }));
                    self.publish(None, vec![beat]);
                }
                _ = write.tick() => self.write_view().await,
                _ = prune.tick() => self.prune().await,
            }
        }
    }

    async fn prune(&self) {
        let before = unix_ms().saturating_sub(KEPT_FOR.as_millis() as u64);
        let pruned = self
            .database
            .write(async move |tx| storage::prune(tx.connection(), before).await);
        if let Err(err) = pruned.await {
            tracing::warn!(%err, "old tasks and messages of the dashboard are not removed");
        }
    }

    /// Writes the player's view if it has changed since it was last written.
    pub async fn write_view(&self) {
        if !self.is_view_new.swap(false, Ordering::Relaxed) {
            return;
        }
        let Some(game) = self.board().game_state.clone() else {
            return;
        };
        let written = self
            .database
            .write(async move |tx| storage::put_game_state(tx.connection(), &game).await);
        if let Err(err) = written.await {
            tracing::warn!(%err, "the view of the dashboard is not stored; trying again");
            self.is_view_new.store(true, Ordering::Relaxed);
        }
    }
}

/// An acknowledgement, if one was asked for.
fn ack(to: Option<ReplyTo>, value: &Value) -> Option<Ack> {
    to.map(|to| Ack {
        to,
        value: value.to_string(),
    })
}

/// The acknowledgement of what was not done.
fn failure(error: &str) -> Value {
    json!({ "success": false, "error": error })
}

/// What players and agents are told of a failure of the database.
fn database_text(err: &DatabaseError) -> &'static str {
    if err.is_unavailable() {
        "the database is not available; try again"
    } else {
        tracing::error!(%err, "the dashboard cannot store");
        "internal error"
    }
}

/// The dashboard as the shards see it.
#[derive(Clone, Debug)]
pub struct DashboardApplication(pub Arc<Dashboard>);

impl Application for DashboardApplication {
    fn handles(&self, _: &str, event: &str) -> bool {
        events::is_known(event)
    }

    fn handle(&self, request: EventRequest) -> EventReply {
        self.0.clone().handle(request)
    }

    fn welcome(&self, attachment: &Attachment, _: Wire) -> Welcome {
        let began = Instant::now();
        let dashboard = &self.0;
        dashboard.counters.connected();
        // Whoever came past the dashboard's gate has rooms. Others hold a token of the dashboard's
        // own user, who sees it as a whole.
        let is_own = attachment.rooms.is_empty();
        let rooms: Vec<Box<str>> = is_own.then(|| rooms::WHOLE.into()).into_iter().collect();
        let now = unix_ms();
        let sees_whole = is_own || attachment.rooms.contains(rooms::WHOLE);
        let (name, frame) = if sees_whole {
            ("init", dashboard.board().init(now))
        } else {
            let snapshot = json!({ "type": "snapshot", "serverTime": iso(now) });
            let frame = Frame::text(&frames::event("snapshot", &snapshot));
            ("snapshot", frame)
        };
        dashboard.counters.emitted(name);
        dashboard.counters.welcomed(began.elapsed());
        Welcome {
            rooms,
            frames: vec![frame],
        }
    }

    fn is_enclosed(&self, _: &str, wire: Wire) -> bool {
        wire.is_socket_io()
    }

    fn left(&self, attachment: &Attachment) {
        let open = unix_ms().saturating_sub(attachment.connected_at);
        self.0.counters.left(Duration::from_millis(open));
    }

    fn machine_presence(&self, _: &str, _: &str, _: bool) {}
}
