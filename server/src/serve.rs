//! The running server: built from settings, stopped by signals.

use std::cell::Cell;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use actix_http::HttpService;
use actix_service::{fn_service, map_config};
use actix_web::dev::AppConfig;
use actix_web::{App, middleware};
use dormouse_config::{DashboardAccess, Settings, Signup};
use dormouse_shard::mount::{Mount, Mounts};
use dormouse_shard::settings::{ShardSettings, SubscriberSettings};
use dormouse_shard::store::{Leftovers, Store, StoreError};
use dormouse_shard::tier::{Tier, Tiers, TiersError};
use dormouse_shard::{Seat, Setup, Workers};

use crate::accounts::{Access, AccountError};
use crate::app_state::{AppState, TokenGate};
use crate::applications::Applications;
use crate::audit::AuditLog;
use crate::auth::{
    FixedWindow, RevocationList, SecretError, ServerSecret, TicketSettings, Tickets, TokenSettings,
    Verifier, VerifierError, VerifierSettings,
};
use crate::clock::unix_ms;
use crate::dashboard::gate::{DashboardGate, Organisations};
use crate::dashboard::records::Task;
use crate::dashboard::{Dashboard, DashboardApplication};
use crate::database::{BATCH_TIME, Database, DatabaseError, Location, OpenError, Options};
use crate::events::{EventService, EventTasks};
use crate::http::auth::limits::AuthLimits;
use crate::http::{manners, routes};
use crate::listeners::{self, ListenError, Listener, Surface};
use crate::live::{self, Live};
use crate::metrics::Counters;
use crate::pending::PendingPlaces;
use crate::push::Push;
use crate::session_files::{FileFolder, FileLinks, sweep};
use crate::socket_io::happy_gate::HappyGate;
use crate::socket_io::{DashboardMount, SocketIo};
use crate::sync::heartbeats::Heartbeats;
use crate::sync::{HubPublisher, SyncApplication, idle, machines, maintenance as retention};
use crate::upgrade::upgrade;
use crate::vault::Vault;

/// Keys that rate limits remember at most, per limit.
const RATE_KEYS: usize = 100_000;
/// The clock that actix-http counts timeouts from may be this much behind. Without it a short
/// `http.header_timeout` could be over before a client has connected.
const HTTP_CLOCK_STEP: Duration = Duration::from_millis(500);

/// Why the server does not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServeError {
    /// The data folder cannot be made.
    #[error(
        "cannot use the data folder {path}: {source}; set data_dir to a folder that can be written to"
    )]
    DataFolder {
        /// The folder.
        path: String,
        /// What the system says.
        source: std::io::Error,
    },
    /// The secret.
    #[error(transparent)]
    Secret(#[from] SecretError),
    /// Issuers or the test token.
    #[error(transparent)]
    Verifier(#[from] VerifierError),
    /// A key file of an issuer.
    #[error("cannot read {path}: {source}; check auth.issuers")]
    KeyFile {
        /// The file.
        path: String,
        /// What the system says.
        source: std::io::Error,
    },
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The database.
    #[error(transparent)]
    Database(#[from] OpenError),
    /// The accounts.
    #[error("cannot read who is blocked: {0}")]
    Accounts(#[from] AccountError),
    /// The machines of the last process.
    #[error(
        "cannot note that no machine is connected: {0}; see that the database can be written to"
    )]
    Machines(DatabaseError),
    /// The dashboard's records.
    #[error("cannot read the dashboard: {0}; repair the database, or set dashboard.access to off")]
    Dashboard(DatabaseError),
    /// The audit log.
    #[error("cannot use the audit log in {path}: {source}; repair or move away audit.jsonl there")]
    AuditLog {
        /// The folder.
        path: String,
        /// What the system says.
        source: std::io::Error,
    },
    /// More places for Socket.IO than there may be.
    #[error("too many Socket.IO mounts")]
    Mounts,
    /// The tiers.
    #[error(transparent)]
    Tiers(#[from] TiersError),
    /// An address.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// The metrics.
    #[error("cannot set up the metrics: {0}; this is a fault of this version, please report it")]
    Metrics(#[from] prometheus::Error),
    /// Anything else of the system.
    #[error("cannot start: {0}")]
    Io(#[from] std::io::Error),
}

/// A server whose addresses are bound and whose workers are set up, but which serves nobody yet.
pub struct Server {
    state: Arc<AppState>,
    seats: Vec<Seat>,
    listeners: Vec<Listener>,
    event_tasks: EventTasks,
    /// Tasks of the dashboard that the last process was at.
    unfinished: Vec<Task>,
}

impl Server {
    /// Makes everything that can fail.
    ///
    /// # Errors
    /// [`ServeError`], with its remedy.
    pub fn new(settings: Settings) -> Result<Self, ServeError> {
        Self::with_store(settings, |settings| {
            Store::open(
                &settings.data_dir.join("attachments"),
                settings.shard.store_cache.as_u64(),
            )
        })
    }

    /// As [`Server::new`], with a store of the caller's choice.
    ///
    /// # Errors
    /// [`ServeError`], with its remedy.
    pub fn with_store(
        settings: Settings,
        open: impl FnOnce(&Settings) -> Result<(Store, Leftovers), StoreError>,
    ) -> Result<Self, ServeError> {
        let data_dir = settings.data_dir.as_path();
        std::fs::create_dir_all(data_dir).map_err(|source| ServeError::DataFolder {
            path: data_dir.display().to_string(),
            source,
        })?;
        let secret = secret_of(&settings)?;
        let revocations = Arc::new(RevocationList::new());
        let verifier = verifier(&settings, &secret, revocations.clone())?;
        let backlog = settings.limits.backlog;
        let mut listeners = listeners::bind(&settings.listen, Surface::Main, backlog)?;
        listeners.extend(listeners::bind(
            &settings.admin.listen,
            Surface::Admin,
            backlog,
        )?);
        let (store, leftovers) = open(&settings)?;
        if leftovers.connections > 0 {
            let (connections, machines) = (leftovers.connections, leftovers.machines.len());
            tracing::info!(
                connections,
                machines,
                "removed what the last process left asleep"
            );
        }
        let publisher = Arc::new(HubPublisher::default());
        let database = Database::open(database_options(&settings), publisher.clone())?;
        end_all_machines(&database)?;
        let heartbeats = Arc::new(Heartbeats::default());
        let (dashboard, unfinished) = load_dashboard(&settings, &database, &publisher)?.unzip();
        let applications = Applications {
            sync: SyncApplication::new(
                database.clone(),
                heartbeats.clone(),
                longest_answer(&settings),
            ),
            dashboard: dashboard
                .clone()
                .map(|dashboard| (dashboard.user().clone(), DashboardApplication(dashboard))),
        };
        let audit = AuditLog::open(data_dir).map_err(|source| ServeError::AuditLog {
            path: data_dir.display().to_string(),
            source,
        })?;
        let files = FileFolder::open(data_dir).map_err(|source| ServeError::DataFolder {
            path: data_dir.join("files").display().to_string(),
            source,
        })?;
        let (mounts, socket_io) = mounts(&settings, &verifier)?;
        let (workers, seats) = Workers::new(Setup {
            workers: settings.worker_count(),
            settings: shard_settings(&settings),
            tiers: tiers(&settings)?,
            application: Arc::new(applications),
            gate: Arc::new(TokenGate {
                verifier: verifier.clone(),
            }),
            mounts,
            store,
        })?;
        publisher.connect(workers.clone());
        let dashboard_user = dashboard.as_ref().map(|dashboard| dashboard.user().clone());
        let access = load_access(&database, &revocations, &workers, dashboard_user)?;
        let auth = &settings.auth;
        if settings.is_production() && settings.resolved_signup() == Signup::Open {
            tracing::warn!("auth.signup is open: whoever reaches this server can make an account");
        }
        let ticket_settings = TicketSettings {
            lifetime: auth.ticket_ttl,
            clock_skew: auth.ticket_skew,
            ..TicketSettings::default()
        };
        let (events, event_tasks) = EventService::new(&settings, &database, &workers);
        let state = Arc::new(AppState {
            workers,
            database,
            heartbeats,
            events,
            dashboard,
            verifier,
            access,
            auth_limits: AuthLimits::new(RATE_KEYS),
            tickets: Tickets::new(&secret, &ticket_settings),
            ticket_rate: FixedWindow::new(auth.ticket_rate, RATE_KEYS),
            pending: PendingPlaces::new(auth.max_pending, auth.max_pending_per_address),
            vault: Vault::new(&secret),
            push: Push::default(),
            files,
            file_links: FileLinks::new(&secret),
            socket_io,
            refused: Default::default(),
            counters: Counters::new()?,
            audit: Arc::new(audit),
            live: Live::default(),
            started: Instant::now(),
            settings,
        });
        Ok(Self {
            state,
            seats,
            listeners,
            event_tasks,
            unfinished: unfinished.unwrap_or_default(),
        })
    }

    /// Where it listens, ports resolved.
    pub fn listeners(&self) -> &[Listener] {
        &self.listeners
    }

    /// What handlers share.
    pub fn state(&self) -> &Arc<AppState> {
        &self.state
    }

    /// Starts to serve. Must be called inside an actix system.
    ///
    /// # Errors
    /// When threads cannot be started.
    pub fn start(self) -> Result<Running, ServeError> {
        let Self {
            state,
            seats,
            listeners,
            event_tasks,
            unfinished,
        } = self;
        let settings = &state.settings;
        let seats = Arc::new(Mutex::new(seats));
        let mut builder = actix_server::Server::build()
            .workers(state.workers.count())
            .max_concurrent_connections(settings.limits.connections_per_worker)
            .shutdown_timeout(1)
            .disable_signals();
        for Listener {
            address,
            socket,
            surface,
        } in listeners
        {
            let (state, seats) = (state.clone(), seats.clone());
            builder = builder.listen(format!("http-{address}"), socket, move || {
                seat_this_thread(&seats);
                let http = &state.settings.http;
                let (for_upgrade, for_app) = (state.clone(), state.clone());
                let app = move || {
                    let state = for_app.clone();
                    App::new()
                        .wrap(middleware::from_fn(manners::manners))
                        .configure(move |config| routes::routes(config, &state, surface))
                };
                HttpService::build()
                    .keep_alive(http.keep_alive)
                    .client_request_timeout(http.header_timeout + HTTP_CLOCK_STEP)
                    .client_disconnect_timeout(Duration::from_secs(1))
                    .upgrade(fn_service(move |(request, framed)| {
                        upgrade(&for_upgrade, surface, request, framed)
                    }))
                    .finish(map_config(app(), |()| AppConfig::default()))
                    .tcp()
            })?;
        }
        let server = builder.run();
        let handle = server.handle();
        let serving = actix_rt::spawn(server);
        let silence = actix_rt::spawn(idle::watch(
            state.database.clone(),
            state.heartbeats.clone(),
        ));
        let retention = actix_rt::spawn(retention::daily(state.database.clone()));
        // A link may be used until its end; what it lets in then gets an hour.
        let kept = state.settings.files.link_ttl + Duration::from_secs(60 * 60);
        let (database, files) = (state.database.clone(), state.files.clone());
        let sweeping = actix_rt::spawn(sweep::run(database, files, kept));
        let access = state.access.clone();
        let watching = actix_rt::spawn(async move { access.watch().await });
        let sampling = actix_rt::spawn(live::sample(state.clone()));
        let dashboard = state.dashboard.clone();
        let dashboard = dashboard.map(|it| actix_rt::spawn(it.run(unfinished)));
        actix_rt::spawn(event_tasks.ledger.run());
        let maintenance = actix_rt::spawn(event_tasks.maintenance.run());
        Ok(Running {
            state,
            watching,
            handle,
            serving,
            maintenance,
            sampling,
            retention,
            dashboard,
            sweeping,
            silence,
        })
    }
}

/// A serving server.
pub struct Running {
    state: Arc<AppState>,
    handle: actix_server::ServerHandle,
    serving: actix_rt::task::JoinHandle<std::io::Result<()>>,
    maintenance: actix_rt::task::JoinHandle<()>,
    watching: actix_rt::task::JoinHandle<()>,
    sampling: actix_rt::task::JoinHandle<()>,
    retention: actix_rt::task::JoinHandle<()>,
    dashboard: Option<actix_rt::task::JoinHandle<()>>,
    sweeping: actix_rt::task::JoinHandle<()>,
    silence: actix_rt::task::JoinHandle<()>,
}

impl Running {
    /// What handlers share.
    pub fn state(&self) -> &Arc<AppState> {
        &self.state
    }

    /// Drains and ends: no new connections, what is open is flushed and closed with 1001, all
    /// within the configured time. HTTP answers until the last connection is gone.
    pub async fn stop(self) {
        self.retention.abort();
        self.sweeping.abort();
        self.silence.abort();
        self.watching.abort();
        self.state
            .workers
            .stop(self.state.settings.shutdown_timeout)
            .await;
        self.sampling.abort();
        self.state.live.stop();
        self.handle.stop(false).await;
        self.maintenance.abort();
        if let Some(task) = self.dashboard {
            task.abort();
        }
        if let Some(dashboard) = &self.state.dashboard {
            dashboard.write_view().await;
        }
        self.state.database.close().await;
        if let Err(err) = self.serving.await {
            tracing::error!(%err, "the HTTP server did not end well");
        }
    }
}

thread_local! {
    static HAS_WORKER: Cell<bool> = const { Cell::new(false) };
}

/// Gives the first service that is made on an HTTP thread that thread's worker.
fn seat_this_thread(seats: &Mutex<Vec<Seat>>) {
    if HAS_WORKER.replace(true) {
        return;
    }
    let seat = seats.lock().unwrap_or_else(PoisonError::into_inner).pop();
    match seat.map(Seat::take) {
        Some(Ok(())) => {}
        Some(Err(err)) => tracing::error!(%err, "a worker cannot start"),
        None => tracing::error!("an HTTP thread was replaced; its worker is gone"),
    }
}

/// The secret of these settings: configured, or kept in the data folder in development.
///
/// # Errors
/// When there is none, or it cannot be kept.
pub fn secret_of(settings: &Settings) -> Result<ServerSecret, SecretError> {
    let configured = settings
        .auth
        .secret
        .as_ref()
        .map(|secret| secret.expose().as_bytes());
    ServerSecret::resolve(configured, !settings.is_production(), &settings.data_dir)
}

/// The verifier of these settings.
///
/// # Errors
/// When an issuer's keys cannot be used.
pub fn verifier(
    settings: &Settings,
    secret: &ServerSecret,
    revocations: Arc<RevocationList>,
) -> Result<Verifier, ServeError> {
    let issuers = settings
        .auth
        .issuers
        .iter()
        .map(crate::issuer_settings::issuer);
    let verifier_settings = VerifierSettings {
        tokens: TokenSettings {
            issuer: settings.auth.issuer.clone(),
            lifetime: settings.auth.token_ttl,
            ..TokenSettings::default()
        },
        issuers: issuers.collect::<Result<_, _>>()?,
        insecure_test_token: settings
            .auth
            .insecure_test_token
            .as_ref()
            .map(|token| token.expose().to_owned()),
        development: !settings.is_production(),
    };
    Ok(Verifier::new(
        secret,
        verifier_settings,
        revocations,
        unix_ms(),
    )?)
}

/// Reads who is refused, before anybody is let in.
fn load_access(
    database: &Database,
    revocations: &Arc<RevocationList>,
    workers: &Workers,
    dashboard: Option<Arc<str>>,
) -> Result<Arc<Access>, ServeError> {
    let (database, list, workers) = (database.clone(), revocations.clone(), workers.clone());
    let access = elsewhere(async move || Access::load(database, list, workers, dashboard).await)?;
    Ok(Arc::new(access?))
}

/// Has no machine connected, before anybody can ask.
fn end_all_machines(database: &Database) -> Result<(), ServeError> {
    let database = database.clone();
    elsewhere(async move || machines::end_all(&database).await)?.map_err(ServeError::Machines)
}

/// A dashboard and the tasks that the last process was at.
type LoadedDashboard = (Arc<Dashboard>, Vec<Task>);

/// What the dashboard shows and the tasks that it was at; `None` where there is no dashboard.
fn load_dashboard(
    settings: &Settings,
    database: &Database,
    publisher: &Arc<HubPublisher>,
) -> Result<Option<LoadedDashboard>, ServeError> {
    if settings.resolved_dashboard() == DashboardAccess::Off {
        return Ok(None);
    }
    let organisations = Arc::new(Organisations::of(settings));
    let (settings, database) = (settings.dashboard.clone(), database.clone());
    let publisher = publisher.clone();
    let loaded = elsewhere(async move || {
        Dashboard::load(settings, organisations, database, publisher).await
    })?;
    Ok(Some(loaded.map_err(ServeError::Dashboard)?))
}

/// Waits for something on a thread of its own: the runtime of this one, if it has one, cannot.
fn elsewhere<T: Send + 'static>(
    work: impl AsyncFnOnce() -> T + Send + 'static,
) -> std::io::Result<T> {
    let thread = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().build()?;
        Ok(runtime.block_on(work()))
    });
    let failed = |_| Err(std::io::Error::other("reading the database panicked"));
    thread.join().unwrap_or_else(failed)
}

/// How these settings use the database.
pub fn database_options(settings: &Settings) -> Options {
    let database = &settings.database;
    let url = database.url.as_ref().map(dormouse_config::Secret::expose);
    Options {
        location: Location::new(url, &settings.data_dir),
        read_connections: database.read_connections,
        write_queue: database.write_queue,
        lock_timeout: database.lock_timeout,
        batch_time: BATCH_TIME,
    }
}

/// The longest acknowledgement that a connection takes, bytes: with others waiting before it, one
/// that fills the outbox would close it.
fn longest_answer(settings: &Settings) -> usize {
    usize::try_from(settings.limits.outbox.as_u64() / 2).unwrap_or(usize::MAX)
}

fn shard_settings(settings: &Settings) -> ShardSettings {
    let (shard, limits) = (&settings.shard, &settings.limits);
    let bytes =
        |size: dormouse_config::ByteSize| usize::try_from(size.as_u64()).unwrap_or(usize::MAX);
    ShardSettings {
        hibernate_after: shard.hibernate_after,
        ping_interval: shard.ping_interval,
        idle_timeout: shard.idle_timeout,
        auth_deadline: settings.auth.deadline,
        message_bytes: bytes(limits.message),
        outbox_frames: limits.outbox_frames,
        outbox_bytes: bytes(limits.outbox),
        frames_per_second: limits.frames_per_second,
        frame_burst: limits.frame_burst,
        bad_frames: u8::try_from(limits.bad_frames).unwrap_or(u8::MAX),
        rpc_timeout: limits.rpc_timeout,
        socket_io_rpc_timeout: settings.socket_io.rpc_timeout,
        rpc_wait: settings.socket_io.rpc_wait,
        rpc_open_calls: limits.rpc_open_calls,
        echo_message_bytes: bytes(settings.debug.echo_message),
        promised_delivery: settings
            .tiers
            .values()
            .map(|tier| tier.latency_p95)
            .collect(),
        subscribers: SubscriberSettings {
            ping_interval: settings.events.ping_interval,
            idle_timeout: settings.events.idle_timeout,
            outbox_frames: settings.events.outbox_frames,
            outbox_bytes: bytes(settings.events.outbox),
            outbox_age: settings.events.outbox_age,
            ..SubscriberSettings::default()
        },
        ..ShardSettings::default()
    }
}

/// Socket.IO as configured (Socket.IO contract, section 1).
fn mounts(settings: &Settings, verifier: &Verifier) -> Result<(Mounts, SocketIo), ServeError> {
    /// Most bytes that clients are told to put into one payload.
    const ADVERTISED_BYTES: u64 = 1_000_000;
    let socket_io = &settings.socket_io;
    let message_bytes = usize::try_from(socket_io.message.as_u64()).unwrap_or(usize::MAX);
    let mut mounts = Mounts::default();
    let happy = mounts.add(Mount {
        ping_interval: socket_io.ping_interval,
        ping_timeout: socket_io.ping_timeout,
        connect_deadline: socket_io.connect_deadline,
        upgrade_deadline: socket_io.upgrade_deadline,
        message_bytes,
        advertised_bytes: ADVERTISED_BYTES.min(socket_io.message.as_u64()),
        gate: Box::new(HappyGate {
            verifier: verifier.clone(),
        }),
    });
    let happy = happy.ok_or(ServeError::Mounts)?;
    let access = settings.resolved_dashboard();
    let dashboard = if access == DashboardAccess::Off {
        None
    } else {
        let id = mounts.add(dashboard_mount(settings, access, verifier));
        Some(DashboardMount {
            id: id.ok_or(ServeError::Mounts)?,
            origins: settings.dashboard.origins.clone(),
        })
    };
    let pending = PendingPlaces::new(socket_io.max_pending, socket_io.max_pending_per_address);
    let socket_io = SocketIo {
        happy,
        dashboard,
        pending,
    };
    Ok((mounts, socket_io))
}

fn dashboard_mount(settings: &Settings, access: DashboardAccess, verifier: &Verifier) -> Mount {
    let dashboard = &settings.dashboard;
    Mount {
        ping_interval: dashboard.ping_interval,
        ping_timeout: dashboard.ping_timeout,
        connect_deadline: dashboard.connect_deadline,
        upgrade_deadline: settings.socket_io.upgrade_deadline,
        message_bytes: usize::try_from(dashboard.message.as_u64()).unwrap_or(usize::MAX),
        advertised_bytes: dashboard.message.as_u64(),
        gate: Box::new(DashboardGate {
            verifier: verifier.clone(),
            access,
            user: dashboard.user.as_str().into(),
            tier: dashboard.tier.as_str().into(),
            organisations: Arc::new(Organisations::of(settings)),
        }),
    }
}

fn tiers(settings: &Settings) -> Result<Tiers, TiersError> {
    let tiers = settings.tiers.iter().map(|(name, tier)| Tier {
        name: name.as_str().into(),
        connections_per_shard: u32::from(tier.connections_per_shard),
        max_shards: tier.max_shards,
    });
    Tiers::new(tiers.collect(), settings.default_tier())
}

/// Lets the process open as many files as the system allows it: each connection is one.
///
/// Returns the limit.
pub fn raise_file_limit() -> Option<u64> {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    if limit.current < limit.maximum {
        let raised = Rlimit {
            current: limit.maximum,
            maximum: limit.maximum,
        };
        if let Err(err) = setrlimit(Resource::Nofile, raised) {
            tracing::warn!(%err, "cannot raise the limit of open files");
        }
    }
    getrlimit(Resource::Nofile).current
}
