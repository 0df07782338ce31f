//! Workers on the thread of the test.

use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use dormouse_protocol::stats::{HubStats, ShardState, ShardStats};
use dormouse_protocol::{AuthState, ConnectionId, Labels};
use dormouse_shard::arrival::{Arrival, Claim, Greeting, Newcomer, Refusal, TokenHash, fresh_slot};
use dormouse_shard::command::ShardQuery;
use dormouse_shard::name::ShardName;
use dormouse_shard::report::WorkerReport;
use dormouse_shard::settings::ShardSettings;
use dormouse_shard::store::{Backend, Store};
use dormouse_shard::tier::{Tier, Tiers};
use dormouse_shard::{Seat, Setup, Workers};
use tokio::time::Instant;

use super::client::{ACCEPT, Client};
use super::clock::{Clock, TICK, until};
use super::{Door, MemoryBackend, Recorder};

/// A tier of this name: connections per shard, shards.
pub fn tier(name: &str, connections_per_shard: u32, max_shards: u16) -> Tier {
    Tier {
        name: name.into(),
        connections_per_shard,
        max_shards,
    }
}

/// A user whose first three shards live on three of three workers.
pub fn spread_user() -> String {
    (0..)
        .map(|number| format!("user-{number}"))
        .find(|user| {
            let worker = |number| ShardName::worker_of(user, number, 3);
            worker(0) != worker(1) && worker(0) != worker(2) && worker(1) != worker(2)
        })
        .unwrap()
}

/// How the workers are set up.
pub struct Builder {
    /// Number of workers.
    pub workers: usize,
    /// Limits and timers.
    pub settings: ShardSettings,
    /// The first is the default.
    pub tiers: Vec<Tier>,
    /// A store other than the one in memory.
    pub backend: Option<Arc<dyn Backend>>,
}

impl Default for Builder {
    fn default() -> Self {
        Self {
            workers: 1,
            settings: ShardSettings::default(),
            tiers: vec![tier("free", 20, 1), tier("pro", 2, 3)],
            backend: None,
        }
    }
}

/// Running workers and all that surrounds them.
pub struct Server {
    /// The workers.
    pub workers: Workers,
    /// Their clock.
    pub clock: Clock,
    /// Their store, unless another was given.
    pub store: Arc<MemoryBackend>,
    /// Who verifies first messages.
    pub door: Arc<Door>,
    /// The application.
    pub application: Arc<Recorder>,
    /// How long a shard stays awake.
    pub hibernate_after: Duration,
    /// Refusals that were rendered.
    pub refusals: Arc<Mutex<Vec<Refusal>>>,
}

/// Sets workers up without starting them.
pub fn prepare(
    builder: Builder,
    store: &Arc<MemoryBackend>,
    door: &Arc<Door>,
    application: &Arc<Recorder>,
) -> (Workers, Vec<Seat>) {
    let default = builder.tiers[0].name.to_string();
    let backend = builder.backend.unwrap_or_else(|| store.clone());
    Workers::new(Setup {
        workers: builder.workers,
        settings: builder.settings,
        tiers: Tiers::new(builder.tiers, &default).unwrap(),
        application: application.clone(),
        gate: door.clone(),
        mounts: Default::default(),
        store: Store::with_backend(backend).unwrap().0,
    })
    .unwrap()
}

impl Builder {
    /// Starts the workers on this thread, with its clock stopped.
    pub fn start(self) -> Server {
        let clock = Clock::freeze();
        let (store, door) = (Arc::<MemoryBackend>::default(), Arc::<Door>::default());
        let application = Arc::<Recorder>::default();
        let hibernate_after = self.settings.hibernate_after;
        let (workers, seats) = prepare(self, &store, &door, &application);
        for seat in seats {
            seat.take().unwrap();
        }
        Server {
            workers,
            clock,
            store,
            door,
            application,
            hibernate_after,
            refusals: Arc::default(),
        }
    }
}

/// Who connects, and how.
#[derive(Clone, Debug)]
pub struct Who {
    user: String,
    tier: Option<String>,
    labels: Labels,
    connected_at: u64,
    token_hash: Option<TokenHash>,
}

impl Who {
    /// A user-scoped connection of a user.
    pub fn user(user: &str) -> Self {
        Self {
            user: user.to_owned(),
            tier: None,
            labels: Labels::new(None, None, None).unwrap(),
            connected_at: 1_000,
            token_hash: None,
        }
    }

    /// A session-scoped one.
    pub fn session(user: &str, session: &str) -> Self {
        Self {
            labels: Labels::new(Some("session-scoped"), Some(session), None).unwrap(),
            ..Self::user(user)
        }
    }

    /// A machine-scoped one.
    pub fn machine(user: &str, machine: &str) -> Self {
        Self {
            labels: Labels::new(Some("machine-scoped"), None, Some(machine)).unwrap(),
            ..Self::user(user)
        }
    }

    /// Any labels.
    pub fn labelled(user: &str, labels: Labels) -> Self {
        Self {
            labels,
            ..Self::user(user)
        }
    }

    /// With a token that claims a tier.
    pub fn of_tier(mut self, tier: &str) -> Self {
        self.tier = Some(tier.to_owned());
        self
    }

    /// With the token of this hash.
    pub fn with_token(mut self, token_hash: TokenHash) -> Self {
        self.token_hash = Some(token_hash);
        self
    }

    /// Accepted at another time.
    pub fn at(mut self, connected_at: u64) -> Self {
        self.connected_at = connected_at;
        self
    }
}

/// An arrival of this socket.
pub fn arrival(
    who: Who,
    socket: OwnedFd,
    early: &[u8],
    refusals: Arc<Mutex<Vec<Refusal>>>,
) -> Arrival {
    Arrival {
        slot: fresh_slot(socket, early),
        claim: Claim {
            user: who.user.as_str().into(),
            tier: who.tier.as_deref().map(Into::into),
            token_hash: who.token_hash,
        },
        labels: who.labels,
        rooms: Default::default(),
        auth_state: AuthState::Legacy,
        is_foreground: false,
        connected_at: who.connected_at,
        started: Instant::now(),
        greeting: Greeting::Upgrade {
            accept: Bytes::from_static(ACCEPT),
            refuse: Box::new(move |refusal| {
                refusals.lock().unwrap().push(refusal.clone());
                Bytes::from(format!("HTTP/1.1 429\r\n\r\n{refusal:?}"))
            }),
        },
    }
}

impl Server {
    /// Workers as the defaults have it.
    pub fn start() -> Self {
        Builder::default().start()
    }

    /// Brings a connection in and returns it with its id, greeted.
    #[track_caller]
    pub fn connect(&self, who: Who) -> impl Future<Output = (Client, ConnectionId)> {
        let (mut client, id) = self.arrive(who, &[]);
        async move {
            client.accepted().await;
            let (event, data) = client.event().await;
            assert_eq!(event, "connected");
            assert_eq!(data["connectionId"], id.to_string());
            (client, id)
        }
    }

    /// Brings a connection in whose handshake is not read yet.
    pub fn arrive(&self, who: Who, early: &[u8]) -> (Client, ConnectionId) {
        let (client, socket) = Client::pair();
        let arrival = arrival(who, socket, early, self.refusals.clone());
        let id = arrival.slot.id();
        self.workers.admit(arrival);
        (client, id)
    }

    /// Brings in a connection that has yet to authenticate; the receiver tells when its place
    /// among the unauthenticated is given back.
    pub fn newcomer(&self, early: &[u8]) -> (Client, tokio::sync::oneshot::Receiver<()>) {
        let (client, socket) = Client::pair();
        let (permit, given_back) = tokio::sync::oneshot::channel::<()>();
        self.workers.wait(Newcomer {
            slot: fresh_slot(socket, early),
            labels: Labels::new(None, None, None).unwrap(),
            accept: Bytes::from_static(ACCEPT),
            connected_at: 1_000,
            started: Instant::now(),
            permit: Box::new(permit),
            socket_io: None,
        });
        (client, given_back)
    }

    /// The reports of all workers, summed where tests need it.
    pub async fn report(&self) -> WorkerReport {
        let mut all = WorkerReport::default();
        for report in self.workers.report(0).await {
            all.shards += report.shards;
            all.awake += report.awake;
            all.users += report.users;
            all.connections += report.connections;
            all.by_type.add(&report.by_type);
            all.pending += report.pending;
            all.subscribers += report.subscribers;
            all.queued_frames += report.queued_frames;
            all.queued_bytes += report.queued_bytes;
            all.oldest = all.oldest.into_iter().chain(report.oldest).min();
            let (io, counters) = (&mut all.io, &mut all.counters);
            io.pings += report.io.pings;
            io.frames_in += report.io.frames_in;
            io.ephemerals_dropped += report.io.ephemerals_dropped;
            io.slow_consumers += report.io.slow_consumers;
            io.rate_closed += report.io.rate_closed;
            io.idle_closed += report.io.idle_closed;
            io.protocol_faults += report.io.protocol_faults;
            io.events_dropped += report.io.events_dropped;
            for (label, count) in report.io.closes {
                *io.closes.entry(label).or_default() += count;
            }
            counters.accepted += report.counters.accepted;
            counters.sleeps += report.counters.sleeps;
            counters.wakes += report.counters.wakes;
            counters.sleep_failures += report.counters.sleep_failures;
            counters.wake_failures += report.counters.wake_failures;
            counters.messages += report.counters.messages;
            counters.events_delivered += report.counters.events_delivered;
            counters.events_dropped += report.counters.events_dropped;
            for (reason, count) in report.counters.rejected {
                *counters.rejected.entry(reason).or_default() += count;
            }
            for (reason, count) in report.counters.lobby_refused {
                *counters.lobby_refused.entry(reason).or_default() += count;
            }
        }
        all
    }

    /// Statistics of a user.
    pub async fn stats(&self, user: &str) -> HubStats {
        self.workers.stats(user).await
    }

    /// A user's shards as lists show them, first to last.
    pub async fn shards(&self, user: &str) -> Vec<ShardStats> {
        let query = ShardQuery {
            user: Some(user.to_owned()),
            ..ShardQuery::default()
        };
        let mut shards = self.workers.list(&query).await;
        shards.sort_by(|a, b| a.shard.cmp(&b.shard));
        shards
    }

    /// Whether a shard is asleep.
    pub async fn is_asleep(&self, shard: &str) -> bool {
        let found = self.workers.list(&ShardQuery::default()).await;
        let found = found.iter().find(|stats| stats.shard == shard);
        found.is_some_and(|stats| stats.state == ShardState::Asleep)
    }

    /// Lets the time pass after which shards sleep, and waits until all do.
    #[track_caller]
    pub fn put_to_sleep(&self) -> impl Future<Output = ()> {
        let asleep = until("all shards fall asleep", || async {
            self.report().await.awake == 0
        });
        async move {
            self.clock.advance(self.hibernate_after + TICK).await;
            asleep.await;
        }
    }

    /// Waits until nobody is connected and nothing is kept of anybody.
    #[track_caller]
    pub fn emptied(&self) -> impl Future<Output = ()> {
        until("no shard is left", || async {
            let report = self.report().await;
            report.shards == 0 && report.connections == 0 && report.users == 0
        })
    }
}
