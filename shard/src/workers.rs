//! All workers of the process, as the rest of the server sees them.
//!
//! Cheap to clone and usable from any thread. Every call is a message to one worker or to all;
//! nothing here waits for message handling.

mod polling;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use dormouse_protocol::stats::{HubStats, ShardStats};
use dormouse_protocol::{ClientType, CloseCode, ConnectionId, Filter};
use serde_json::value::RawValue;
use tokio::sync::{mpsc, oneshot};

use crate::application::Application;
use crate::arrival::{Arrival, Gate, NewEcho, Newcomer, TokenHash, short_hash};
use crate::bus::{Bus, LocalBus};
use crate::command::{Audience, Command, HubShare, ShardQuery, UserReport};
use crate::event::Event;
use crate::frame::Frame;
use crate::message::{HubMessage, ShardDelivery};
use crate::mount::Mounts;
use crate::name::ShardName;
use crate::overrides::Overrides;
use crate::polling::PollSessions;
use crate::publication::{Encoded, Publication};
use crate::report::WorkerReport;
use crate::settings::ShardSettings;
use crate::store::{Store, StoreError};
use crate::subscriber::NewSubscriber;
use crate::tier::{TierId, Tiers};
use crate::worker::{Common, Worker};

/// What is needed to set workers up.
pub struct Setup {
    /// How many; one per thread.
    pub workers: usize,
    /// Limits and timers.
    pub settings: ShardSettings,
    /// The configured tiers.
    pub tiers: Tiers,
    /// Handlers of the application's events.
    pub application: Arc<dyn Application>,
    /// Verifies first messages.
    pub gate: Arc<dyn Gate>,
    /// Where Socket.IO is served.
    pub mounts: Mounts,
    /// Attachments of sleeping shards, tier overrides.
    pub store: Store,
}

/// The place of one worker, to be taken by the thread that will run it.
#[derive(Debug)]
pub struct Seat {
    index: usize,
    common: Common,
    inbox: mpsc::UnboundedReceiver<Command>,
}

impl std::fmt::Debug for Common {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Common").finish_non_exhaustive()
    }
}

impl Seat {
    /// Starts the worker on this thread, which must run an actix arbiter.
    ///
    /// # Errors
    /// When descriptors run out.
    pub fn take(self) -> std::io::Result<()> {
        let (worker, poller) = Worker::new(self.index, self.common)?;
        actix_rt::spawn(worker.run(poller, self.inbox));
        Ok(())
    }
}

/// Handle to all workers.
#[derive(Clone, Debug)]
pub struct Workers {
    common: Common,
    bus: LocalBus,
    draining: Arc<AtomicBool>,
    polling: Arc<PollSessions>,
}

impl Workers {
    /// Sets up the workers; each [`Seat`] is then taken by a thread. Messages sent before that
    /// wait.
    ///
    /// # Errors
    /// When the stored tier overrides cannot be read.
    pub fn new(setup: Setup) -> Result<(Self, Vec<Seat>), StoreError> {
        let (inboxes, receivers): (Vec<_>, Vec<_>) = (0..setup.workers.max(1))
            .map(|_| mpsc::unbounded_channel())
            .unzip();
        let inboxes: Arc<[_]> = inboxes.into();
        let common = Common {
            settings: Arc::new(setup.settings),
            overrides: Arc::new(Overrides::load(&setup.store, &setup.tiers)?),
            tiers: Arc::new(setup.tiers),
            application: setup.application,
            gate: setup.gate,
            mounts: Arc::new(setup.mounts),
            store: setup.store,
            events_waiting: Arc::default(),
            inboxes: inboxes.clone(),
        };
        let seats = receivers
            .into_iter()
            .enumerate()
            .map(|(index, inbox)| Seat {
                index,
                common: common.clone(),
                inbox,
            })
            .collect();
        let bus = LocalBus::new(inboxes);
        Ok((
            Self {
                common,
                bus,
                draining: Arc::default(),
                polling: Arc::default(),
            },
            seats,
        ))
    }

    /// The configured tiers.
    pub fn tiers(&self) -> &Tiers {
        &self.common.tiers
    }

    /// The store.
    pub fn store(&self) -> &Store {
        &self.common.store
    }

    /// Number of workers.
    pub fn count(&self) -> usize {
        self.common.inboxes.len()
    }

    /// Whether no new connections are taken.
    pub fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }

    /// Brings a connection to its shard, or refuses it.
    pub fn admit(&self, arrival: Arrival) {
        let user = arrival.claim.user.clone();
        self.send(self.home(&user), Command::Admit(Box::new(arrival)));
    }

    /// Takes in a connection that has yet to authenticate.
    pub fn wait(&self, newcomer: Newcomer) {
        let [first, ..] = *newcomer.slot.id.as_bytes();
        let worker = usize::from(first) % self.count();
        self.send(worker, Command::Wait(Box::new(newcomer)));
    }

    /// Takes in a socket that wants to subscribe to events.
    pub fn subscribe(&self, newcomer: NewSubscriber) {
        let [first, ..] = *newcomer.slot.id.as_bytes();
        let worker = usize::from(first) % self.count();
        self.send(worker, Command::Subscribe(Box::new(newcomer)));
    }

    /// Takes in a socket whose messages are sent back.
    pub fn echo(&self, newcomer: NewEcho) {
        let [first, ..] = *newcomer.slot.id.as_bytes();
        let worker = usize::from(first) % self.count();
        self.send(worker, Command::Echo(Box::new(newcomer)));
    }

    /// Hands events to their subscribers on all workers. Whoever calls keeps the order of the
    /// places of each tenant's log, and has stored the events before.
    pub fn publish_events(&self, events: Vec<Event>) {
        let events: Arc<[Arc<Event>]> = events.into_iter().map(Arc::new).collect();
        let waiting = &self.common.events_waiting;
        for inbox in self.common.inboxes.iter() {
            waiting.fetch_add(events.len(), Ordering::Relaxed);
            // A worker that is gone takes its subscribers with it.
            if inbox.send(Command::Events(events.clone())).is_err() {
                waiting.fetch_sub(events.len(), Ordering::Relaxed);
            }
        }
    }

    /// Events that wait for a worker to hand them out, on average over the workers. Whoever
    /// publishes faster than that should wait.
    pub fn events_waiting(&self) -> usize {
        self.common.events_waiting.load(Ordering::Relaxed) / self.count()
    }

    /// Closes the subscribers that came with a key, with 1008.
    pub fn close_subscribers(&self, key: &Arc<str>) {
        for worker in 0..self.count() {
            self.send(worker, Command::CloseSubscribers(key.clone()));
        }
    }

    /// Where Socket.IO is served.
    pub fn mounts(&self) -> &Mounts {
        &self.common.mounts
    }

    /// Answers a handshake that is refused: writes the response to its socket, then closes it
    /// once the peer has read it.
    pub fn refuse(&self, slot: crate::table::Slot, response: bytes::Bytes) {
        let [first, ..] = *slot.id.as_bytes();
        let worker = usize::from(first) % self.count();
        self.send(worker, Command::Refuse(Box::new(slot), response));
    }

    /// Hands a frame to a user's connections; returns what each shard delivered.
    pub async fn deliver(&self, user: &str, filter: Filter, frame: Frame) -> Vec<ShardDelivery> {
        let (reply, answers) = mpsc::unbounded_channel();
        let message = HubMessage::deliver(Arc::new(filter), frame, Some(reply));
        self.bus.to_all(&user.into(), message);
        gather(answers).await
    }

    /// Publishes a change to a user's connections, see [`crate::publication`]. Publications are
    /// told in the order of the calls; whoever calls from several threads for one user has to
    /// order them. Costs the encoding of the frames and one message; waits for nothing.
    pub fn publish(&self, user: &Arc<str>, publication: Publication) {
        let publication = Encoded::new(publication);
        match publication.only_shard() {
            Some(shard) => self
                .bus
                .to_shard(user, shard, HubMessage::publish(publication)),
            None => self.bus.to_all(user, HubMessage::publish(publication)),
        }
    }

    /// Sends an event to one connection of a user and waits for its acknowledgement; `None` when the
    /// connection is not there, goes, or does not answer within this time. Plain clients answer as
    /// they answer calls.
    pub async fn ask(
        &self,
        user: &str,
        connection: ConnectionId,
        event: &str,
        data: Option<&RawValue>,
        within: Duration,
    ) -> Option<Box<RawValue>> {
        let (reply, mut answer) = mpsc::unbounded_channel();
        let message = HubMessage::Ask {
            connection,
            event: event.into(),
            data: data.map(|data| data.to_owned().into()),
            deadline: tokio::time::Instant::now() + within,
            reply,
        };
        self.bus.to_all(&user.into(), message);
        answer.recv().await
    }

    /// Hands a frame to the connections of many users.
    pub async fn deliver_to(
        &self,
        audience: Audience,
        filter: Filter,
        frame: Frame,
    ) -> Vec<ShardDelivery> {
        let (reply, answers) = mpsc::unbounded_channel();
        let filter = Arc::new(filter);
        for worker in 0..self.count() {
            let (filter, frame, reply) = (filter.clone(), frame.clone(), reply.clone());
            self.send(
                worker,
                Command::Broadcast {
                    audience,
                    filter,
                    frame,
                    reply,
                },
            );
        }
        drop(reply);
        gather(answers).await
    }

    /// How many connections of a user a filter chooses. Wakes the user's shards.
    pub async fn count_of_user(&self, user: &str, filter: Filter) -> u64 {
        let (reply, answers) = mpsc::unbounded_channel();
        let message = HubMessage::Count {
            client_type: None,
            filter: Arc::new(filter),
            reply,
        };
        self.bus.to_all(&user.into(), message);
        gather(answers).await.iter().sum()
    }

    /// How many connections of many users a filter chooses: what [`Self::deliver_to`] would hand
    /// a frame to. Wakes shards for filters that ask for labels only.
    pub async fn count_audience(&self, audience: Audience, filter: Filter) -> u64 {
        let (reply, answers) = mpsc::unbounded_channel();
        let filter = Arc::new(filter);
        for worker in 0..self.count() {
            let (filter, reply) = (filter.clone(), reply.clone());
            let command = Command::CountAudience {
                audience,
                filter,
                reply,
            };
            self.send(worker, command);
        }
        drop(reply);
        gather(answers).await.iter().sum()
    }

    /// Statistics of one user's hub; empty when the user has no connection.
    pub async fn stats(&self, user: &str) -> HubStats {
        summarise(self.shares(user).await).0
    }

    /// One user with shards and connections; `None` when the user has no connection. Wakes the
    /// user's shards, since attachments are asked for.
    pub async fn user(&self, user: &str) -> Option<UserReport> {
        let (stats, tier) = summarise(self.shares(user).await);
        let (tier_source, limit) = tier?;
        let (reply, answers) = mpsc::unbounded_channel();
        self.bus.to_all(&user.into(), HubMessage::Inspect(reply));
        let mut connections: Vec<_> = gather(answers).await.into_iter().flatten().collect();
        connections.sort_by_key(|connection| (connection.connected_at, connection.connection_id));
        let tier = stats.shards.first()?.tier.clone();
        Some(UserReport {
            tier,
            tier_source,
            limit,
            stats,
            connections,
        })
    }

    /// Whether an app of the user says that it is in the foreground. Wakes the user's shards.
    pub async fn has_app_in_foreground(&self, user: &str) -> bool {
        let (reply, answers) = mpsc::unbounded_channel();
        self.bus.to_all(&user.into(), HubMessage::Inspect(reply));
        let connections = gather(answers).await;
        connections.iter().flatten().any(|connection| {
            connection.is_foreground && connection.labels.client_type == ClientType::UserScoped
        })
    }

    async fn shares(&self, user: &str) -> Vec<HubShare> {
        let (reply, answers) = mpsc::unbounded_channel();
        let command = Command::Stats {
            user: user.into(),
            number: None,
            reply,
        };
        self.send(self.home(user), command);
        gather(answers).await
    }

    /// What every worker says of itself.
    pub async fn report(&self, busiest: usize) -> Vec<WorkerReport> {
        let mut reports = Vec::with_capacity(self.count());
        let asked: Vec<_> = (0..self.count())
            .map(|worker| {
                let (reply, answer) = oneshot::channel();
                self.send(worker, Command::Report { busiest, reply });
                answer
            })
            .collect();
        for answer in asked {
            reports.extend(answer.await);
        }
        reports
    }

    /// Shards that a query chooses, unsorted.
    pub async fn list(&self, query: &ShardQuery) -> Vec<ShardStats> {
        let asked: Vec<_> = (0..self.count())
            .map(|worker| {
                let (reply, answer) = oneshot::channel();
                self.send(worker, Command::List(query.clone(), reply));
                answer
            })
            .collect();
        let mut shards = Vec::new();
        for answer in asked {
            shards.extend(answer.await.unwrap_or_default());
        }
        shards
    }

    /// Closes one connection; `false` when there is none of this id.
    pub async fn close_connection(&self, id: ConnectionId, code: CloseCode, reason: &str) -> bool {
        let (reply, mut answers) = mpsc::unbounded_channel();
        let reason: Arc<str> = reason.into();
        for worker in 0..self.count() {
            let (reason, reply) = (reason.clone(), reply.clone());
            self.send(
                worker,
                Command::CloseConnection {
                    id,
                    code,
                    reason,
                    reply,
                },
            );
        }
        drop(reply);
        answers.recv().await.is_some()
    }

    /// Closes all connections of a user; returns how many.
    pub async fn disconnect(&self, user: &str, code: CloseCode, reason: &str) -> u64 {
        self.close_all(user, Filter::All, None, code, reason).await
    }

    /// Closes the connections of a user that a filter chooses; returns how many.
    pub async fn disconnect_some(
        &self,
        user: &str,
        filter: Filter,
        code: CloseCode,
        reason: &str,
    ) -> u64 {
        self.close_all(user, filter, None, code, reason).await
    }

    /// Closes the connections of a user that were opened with a token that is revoked (code 4001),
    /// or with a ticket asked for with it; returns how many. `token_hash` is the one of
    /// [`crate::arrival::Claim`]. For none to slip through that is on its way to its shard, the
    /// [`crate::arrival::Gate`] must already refuse the token.
    pub async fn revoke(&self, user: &str, token_hash: &TokenHash) -> u64 {
        let opened_with = Some(short_hash(token_hash));
        let reason = "the token was revoked";
        self.close_all(
            user,
            Filter::All,
            opened_with,
            CloseCode::AUTH_FAILED,
            reason,
        )
        .await
    }

    async fn close_all(
        &self,
        user: &str,
        filter: Filter,
        opened_with: Option<[u8; 16]>,
        code: CloseCode,
        reason: &str,
    ) -> u64 {
        let (reply, answers) = mpsc::unbounded_channel();
        let reason = reason.into();
        let message = HubMessage::Disconnect {
            filter: Arc::new(filter),
            opened_with,
            code,
            reason,
            reply,
        };
        self.bus.to_all(&user.into(), message);
        gather(answers)
            .await
            .iter()
            .map(|closed: &ShardDelivery| closed.delivered)
            .sum()
    }

    /// Gives a user a tier over what tokens say, or takes it back. Waits for the disk.
    ///
    /// # Errors
    /// When it could not be stored; then nothing has changed.
    pub async fn set_tier(&self, user: &str, tier: Option<TierId>) -> Result<(), StoreError> {
        let (store, owned) = (self.common.store.clone(), user.to_owned());
        let name = tier.map(|tier| self.tiers().get(tier).name.clone());
        tokio::task::spawn_blocking(move || store.set_tier(&owned, name.as_deref()))
            .await
            .map_err(|err| StoreError::new(err.to_string()))??;
        self.common.overrides.set(user, tier);
        for worker in 0..self.count() {
            self.send(worker, Command::RetierUser { user: user.into() });
        }
        Ok(())
    }

    /// The tier that an admin gave a user.
    pub fn tier_override(&self, user: &str) -> Option<TierId> {
        self.common.overrides.get(user)
    }

    /// Takes no more connections and closes what is open, spread over a time.
    pub fn drain(&self, over: Duration) {
        self.draining.store(true, Ordering::Relaxed);
        for worker in 0..self.count() {
            self.send(worker, Command::Drain(over));
        }
    }

    /// Takes no more connections, closes all that are open, and waits until they are gone or the
    /// time is over.
    pub async fn stop(&self, within: Duration) {
        self.draining.store(true, Ordering::Relaxed);
        let stopping: Vec<_> = (0..self.count())
            .map(|worker| {
                let (done, stopped) = oneshot::channel();
                self.send(worker, Command::Stop { within, done });
                stopped
            })
            .collect();
        for stopped in stopping {
            // A worker that is gone has stopped.
            let _ = stopped.await;
        }
    }

    fn home(&self, user: &str) -> usize {
        ShardName::worker_of(user, 0, self.count())
    }

    fn send(&self, worker: usize, command: Command) {
        // A worker that is gone takes its connections with it; callers see missing answers.
        let _ = self.common.inboxes[worker].send(command);
    }
}

async fn gather<T>(mut answers: mpsc::UnboundedReceiver<T>) -> Vec<T> {
    let mut all = Vec::new();
    while let Some(answer) = answers.recv().await {
        all.push(answer);
    }
    all
}

fn summarise(mut shares: Vec<HubShare>) -> (HubStats, Option<(crate::shards::TierSource, u32)>) {
    // First to last: `-2` comes before `-10`.
    shares.sort_by_key(|share| (share.shard.shard.len(), share.shard.shard.clone()));
    let mut stats = HubStats::default();
    let mut tier = None;
    for HubShare {
        shard,
        labels,
        tier: from_first,
    } in shares
    {
        stats.total_connections += shard.connections;
        stats.by_type.add(&shard.by_type);
        stats.message_queue_depth += shard.queued_frames;
        if let Some(oldest) = shard.oldest_connection {
            stats.oldest_connection = Some(stats.oldest_connection.unwrap_or(oldest).min(oldest));
        }
        if let Some((sessions, machines)) = labels {
            (stats.active_sessions, stats.active_machines) = (sessions, machines);
        }
        tier = tier.or(from_first);
        stats.shards.push(shard);
    }
    (stats, tier)
}
