//! The settings: every key of Dormouse with its meaning, type, default and allowed values.
//!
//! The server reads these structs. This file is the one place where a key is described:
//! `default.toml` and the reference page are generated from it, and a test holds them equal.
//! Rules between keys are in `rules.rs`.

use std::collections::BTreeMap;
use std::num::NonZero;
use std::path::PathBuf;
use std::time::Duration;

use bytesize::ByteSize;
use ipnet::IpNet;

use crate::address::{CorsOrigin, ListenAddress};
use crate::conditions::{
    database_url, directives, hours, is_set, kib, mib, minutes, ms, name, none_if_empty, not_empty,
    public_key, seconds, strong, tenant, version, visible, web_origin, within, years,
};
use crate::organisation::{Membership, Organisation};
use crate::schema::settings;
use crate::secret::Secret;
use crate::value::choice;

settings! {
    /// The server as a whole.
    pub struct Settings {
        /// The addresses that clients connect to: an IP address or localhost, and a port.
        /// Port 0 takes any free port. An address that other machines can reach needs auth.secret.
        listen: Vec<ListenAddress> = ["127.0.0.1:8787"], is_set();
        /// The folder for everything that is kept on disk, made at the first start.
        /// A relative path starts at the working directory.
        data_dir: PathBuf = "./data";
        /// The number of worker threads, each with shards and sockets of its own.
        /// 0: one for each processor core.
        workers: usize = 0, within(0..=256);
        /// How strict the server is. Production needs auth.secret and takes no test token;
        /// development makes a secret of its own and keeps it in the data folder.
        /// Auto: production where auth.secret is set, else development.
        environment: Environment = "auto";
        /// How long a stopping server may take to send what is queued and close its connections.
        shutdown_timeout: Duration = "5s", within(ms(1)..=minutes(10));
    }
    tables {
        auth: AuthSettings,
        database: DatabaseSettings,
        events: EventSettings,
        shard: ShardSettings,
        limits: LimitSettings,
        socket_io: SocketIoSettings,
        dashboard: DashboardSettings,
        http: HttpSettings,
        files: FileSettings,
        tiers: BTreeMap<String, TierSettings>,
        apps: AppSettings,
        admin: AdminSettings,
        log: LogSettings,
        metrics: MetricsSettings,
        debug: DebugSettings,
    }
}

choice! {
    /// How strict the server is; see [`Settings::resolved_environment`].
    pub enum Environment {
        /// Production where `auth.secret` is set, else development.
        #[default]
        Auto = "auto",
        /// For one machine and its developer: no secret needed, metrics open.
        Development = "development",
        /// For everybody else.
        Production = "production",
    }
}

settings! {
    /// Who may connect: tokens, tickets and unauthenticated connections.
    pub struct AuthSettings {
        /// The key that signs tokens and tickets, at least 32 bytes; absent by default.
        /// Make one with `openssl rand -hex 32`, and give it in the environment rather than here.
        secret: Option<Secret>, strong();
        /// The tier of users whose token names none. Empty: "enterprise" in development,
        /// "free" in production.
        default_tier: String = "";
        /// The issuer (`iss`) that this server writes into its own tokens and demands of them.
        issuer: String = "dormouse", not_empty();
        /// How long a token that this server issues is valid.
        token_ttl: Duration = "30d", within(seconds(1)..=years(10));
        /// How long the token of an agent is valid that was paired with an account. Long, since agents
        /// never refresh theirs; it ends with a sign-out, or when the account is blocked.
        agent_token_ttl: Duration = "5years", within(seconds(1)..=years(9));
        /// Who may sign up with a key of their own at `POST /v1/auth`: open: everyone; approval: who
        /// is approved by an operator (`dormouse account approve`); invite: who has a code
        /// (`dormouse invite create`); closed: nobody. Those who have an account sign in with any.
        /// Auto: approval where auth.secret is set and other machines can reach an address of
        /// listen or http.trusted_proxies names a proxy, else open.
        signup: Signup = "auto";
        /// How long a connection without credentials may take to send its `auth` message,
        /// counted from its acceptance.
        deadline: Duration = "5s", within(ms(10)..=minutes(10));
        /// How many connections may be waiting for their `auth` message, in all.
        /// 0: every connection must bring its credentials.
        max_pending: usize = 1000, within(0..=1_000_000);
        /// How many connections may be waiting for their `auth` message from one address.
        max_pending_per_address: usize = 20, within(1..=1_000_000);
        /// How long a ticket is valid.
        ticket_ttl: Duration = "30s", within(seconds(1)..=hours(1));
        /// How long past its end a ticket is still taken, for clocks that differ.
        ticket_skew: Duration = "5s", within(ms(1)..=minutes(5));
        /// How many tickets a user may fetch in a minute.
        ticket_rate: u32 = 10, within(1..=10_000);
        /// How many verified tokens are remembered, so that each is verified once.
        /// 0: every use is verified.
        token_cache: usize = 10000, within(0..=10_000_000);
        /// A fixed token for the test account, in development only. Empty: none.
        insecure_test_token: Option<Secret> = "", none_if_empty();
    }
    tables {
        issuers: Vec<IssuerSettings>,
    }
}

choice! {
    /// Who may sign up; see [`Settings::resolved_signup`].
    pub enum Signup {
        /// Approval where others can reach the server, else open.
        #[default]
        Auto = "auto",
        /// Everyone.
        Open = "open",
        /// Who is approved by an operator, or has an invitation.
        Approval = "approval",
        /// Who has an invitation.
        Invite = "invite",
        /// Nobody.
        Closed = "closed",
    }
}

settings! {
    /// Others whose tokens are taken, one table each. Each needs exactly one of secret, public_key,
    /// public_key_file and jwks_file.
    pub struct IssuerSettings {
        /// The name in logs and metrics.
        name: String, name();
        /// The issuer (`iss`) that tokens must carry. Absent: any.
        issuer: Option<String>, not_empty();
        /// The audience (`aud`) that tokens must carry. Absent: any.
        audience: Option<String>, not_empty();
        /// The signature algorithm. Absent, with a jwks_file only: each key's own.
        algorithm: Option<Algorithm>;
        /// The shared key of HS256, at least 32 bytes.
        secret: Option<Secret>, strong();
        /// The public key in PEM.
        public_key: Option<String>, public_key();
        /// A file with the public key in PEM.
        public_key_file: Option<PathBuf>;
        /// A file with a JSON Web Key Set.
        jwks_file: Option<PathBuf>;
        /// The claim that holds the user's id.
        user_claim: String = "sub", not_empty();
        /// The claim that names the user's tier.
        tier_claim: String = "tier", not_empty();
    }
}

choice! {
    /// The signature algorithm of another issuer's tokens (RFC 7518 section 3.1, RFC 8037).
    pub enum Algorithm {
        /// HMAC with SHA-256 and a shared secret.
        #[default]
        Hs256 = "HS256",
        /// RSASSA-PKCS1-v1_5 with SHA-256.
        Rs256 = "RS256",
        /// ECDSA with P-256 and SHA-256.
        Es256 = "ES256",
        /// Ed25519.
        EdDsa = "EdDSA",
    }
}

settings! {
    /// The database: accounts, sessions, messages, machines, artifacts and what belongs to them.
    pub struct DatabaseSettings {
        /// A PostgreSQL database, as in `postgres://user:password@host/name`; or another SQLite
        /// file, as in `sqlite:/path/to/file.db`. Absent: the file dormouse.db in the data folder.
        /// With a password in it, give it in the environment rather than here.
        url: Option<Secret>, database_url();
        /// How many connections read at the same time; one more writes.
        read_connections: u32 = 4, within(1..=256);
        /// How many writes may wait for the disk; more are refused with 503.
        write_queue: usize = 4096, within(1..=1_000_000);
        /// How long a lock that another program holds is waited for.
        lock_timeout: Duration = "2s", within(ms(1)..=minutes(1));
    }
}

settings! {
    /// Call events: who may publish and subscribe, and what is kept.
    pub struct EventSettings {
        /// API keys of the default tenant, separated by commas, beside those of the database
        /// (`dormouse apikey create`). In production each needs at least 32 characters.
        /// Give them in the environment rather than here.
        api_keys: Option<Secret>, none_if_empty();
        /// The tenant of the keys above.
        default_tenant: String = "00000000-0000-0000-0000-000000000000", tenant();
        /// A key of the default tenant that everybody may know: taken in development only.
        /// Empty: none.
        insecure_test_key: String = "test-api-key";
        /// Takes every key as one of the default tenant's; in development only.
        insecure_accept_any_key: bool = false;
        /// How many requests without a good key an address may send in a minute.
        unauthenticated_rate: u32 = 100, within(1..=1_000_000);
        /// How many connections may subscribe to events.
        max_subscribers: usize = 10000, within(0..=1_000_000);
        /// How often a subscriber is sent a protocol ping.
        ping_interval: Duration = "30s", within(seconds(1)..=hours(1));
        /// How long a subscriber may be silent, pongs included, before it is closed with 1001.
        idle_timeout: Duration = "120s", within(seconds(2)..=hours(4));
        /// How many events may wait for a subscriber that reads slowly; more: close 1013.
        outbox_frames: usize = 16384, within(1..=1_000_000);
        /// How many bytes may wait for it; subscribers share the bytes of an event.
        outbox: ByteSize = "64 MiB", within(kib(64)..=mib(4096));
        /// How long an event may wait for it.
        outbox_age: Duration = "5s", within(seconds(1)..=minutes(10));
        /// How many events of a tenant the log keeps for replays.
        log_entries: usize = 100000, within(1000..=100_000_000);
        /// How long the log keeps them.
        log_age: Duration = "1day", within(minutes(1)..=years(10));
        /// How long the state of a call is kept after its last event.
        call_ttl: Duration = "1day", within(minutes(1)..=years(10));
    }
}

settings! {
    /// Shards: how they sleep, and how their connections are kept alive.
    pub struct ShardSettings {
        /// How long a shard stays awake without an event before it writes its attachments to disk
        /// and leaves memory. Its sockets stay open.
        hibernate_after: Duration = "10s", within(ms(100)..=hours(1));
        /// The memory that the attachment store may use as its page cache.
        store_cache: ByteSize = "1 MiB", within(kib(64)..=mib(65_536));
        /// How often each connection is sent a protocol ping.
        ping_interval: Duration = "30s", within(seconds(1)..=hours(1));
        /// How long a connection may be silent, pongs included, before it is closed with 1001.
        /// Must be longer than ping_interval.
        idle_timeout: Duration = "300s", within(seconds(2)..=hours(4));
    }
}

settings! {
    /// What one connection, and one worker, may use.
    pub struct LimitSettings {
        /// The longest message of a client, all its frames together; longer: close 1009.
        message: ByteSize = "1 MiB", within(kib(1)..=mib(256));
        /// How many frames may wait for a client that reads slowly; more: close 1013.
        outbox_frames: usize = 1024, within(1..=1_000_000);
        /// How many bytes may wait for a client that reads slowly; more: close 1013.
        /// Must hold a message of limits.message.
        outbox: ByteSize = "4 MiB", within(kib(1)..=mib(1024));
        /// How many frames a second a client may send for long; more: close 1008.
        frames_per_second: u32 = 200, within(1..=1_000_000);
        /// How many frames a client may send at once before the rate counts.
        frame_burst: u32 = 1000, within(1..=1_000_000);
        /// How many bad frames in a row a client may send; then close 1002.
        bad_frames: u32 = 20, within(1..=10_000);
        /// How long a call from one connection to another may wait for its answer.
        rpc_timeout: Duration = "300s", within(ms(10)..=hours(1));
        /// How many calls a connection may have open.
        rpc_open_calls: usize = 256, within(1..=100_000);
        /// How many connections one worker may hold.
        connections_per_worker: usize = 25600, within(1..=1_000_000);
        /// How many connections the system keeps waiting to be accepted.
        backlog: u32 = 1024, within(1..=65_535);
    }
}

settings! {
    /// Socket.IO on /v1/updates, for clients that connect there with its protocol.
    pub struct SocketIoSettings {
        /// How long after an answered heartbeat the next is sent.
        ping_interval: Duration = "15s", within(ms(250)..=minutes(60));
        /// How long a client may take to answer a heartbeat before it is closed.
        ping_timeout: Duration = "45s", within(ms(250)..=minutes(60));
        /// How long a client may take from its handshake to an accepted CONNECT.
        connect_deadline: Duration = "20s", within(ms(10)..=minutes(10));
        /// How long a change from long polling to WebSocket may take.
        upgrade_deadline: Duration = "10s", within(ms(10)..=minutes(10));
        /// The longest message of a client, attachments included, and the longest body of a POST.
        message: ByteSize = "10 MiB", within(kib(1)..=mib(256));
        /// How many clients may be before their CONNECT, in all.
        max_pending: usize = 10000, within(0..=1_000_000);
        /// How many clients may be before their CONNECT from one address.
        /// Behind a proxy that is not in http.trusted_proxies all have the same.
        max_pending_per_address: usize = 1000, within(1..=1_000_000);
        /// How long a call of a Socket.IO client may wait for its answer.
        rpc_timeout: Duration = "30s", within(ms(10)..=hours(1));
        /// How long such a call waits for a connection that serves its method.
        rpc_wait: Duration = "15s", within(ms(1)..=hours(1));
    }
}

settings! {
    /// The agent dashboard on /socket.io: agents, tasks and messages, for Socket.IO clients.
    pub struct DashboardSettings {
        /// Who may connect: off: nobody, there is no dashboard; token: who sends a user's token with
        /// CONNECT; anonymous: whoever reaches the server. A token that is sent must be good in
        /// any case. Auto: anonymous in development as long as other machines cannot reach the
        /// server, else off.
        access: DashboardAccess = "auto";
        /// The web origins whose pages may connect; pages of others are refused. Programs that are no
        /// browsers name no origin and are not.
        origins: Vec<CorsOrigin> = ["http://localhost:5173"];
        /// The user that has all connections of the dashboard. A token of this user reaches them
        /// over the plain transport and over HTTP.
        user: String = "dashboard", visible();
        /// The tier of that user, which says how many may be connected.
        tier: String = "enterprise", not_empty();
        /// The organisations that everybody who may connect may look at.
        organisations: Vec<Organisation> = ["default"];
        /// Who else may look at which organisation, such as "acme:alice": an organisation, a colon,
        /// and the user whose token is sent.
        members: Vec<Membership> = [];
        /// How long after an answered heartbeat the next is sent.
        ping_interval: Duration = "25s", within(ms(250)..=minutes(60));
        /// How long a client may take to answer a heartbeat before it is closed.
        ping_timeout: Duration = "20s", within(ms(250)..=minutes(60));
        /// How long a client may take from its handshake to an accepted CONNECT.
        connect_deadline: Duration = "45s", within(ms(10)..=minutes(10));
        /// The longest message of a client, attachments included, and the longest body of a POST.
        message: ByteSize = "1 MB", within(kib(1)..=mib(256));
        /// How often all are told that the server is there.
        heartbeat: Duration = "30s", within(ms(10)..=hours(1));
        /// How long a step of a simulated task takes; there are four.
        task_step: Duration = "1s", within(ms(1)..=hours(1));
        /// For load tests: agents that are not known are made, and a task is one event and is not
        /// stored.
        load: bool = false;
    }
}

choice! {
    /// Who may connect to the dashboard; see [`Settings::resolved_dashboard`].
    pub enum DashboardAccess {
        /// Anonymous where only a developer can reach the server, else off.
        #[default]
        Auto = "auto",
        /// Nobody.
        Off = "off",
        /// Who sends a user's token.
        Token = "token",
        /// Everyone.
        Anonymous = "anonymous",
    }
}

settings! {
    /// HTTP: bodies, timeouts, and what stands between the server and its clients.
    pub struct HttpSettings {
        /// The longest request body.
        body: ByteSize = "10 MiB", within(kib(1)..=mib(1024));
        /// The same for batches of messages (`POST /v3/sessions/…/messages`), where it is larger:
        /// agents send what is refused again, and nothing behind it.
        messages_body: ByteSize = "100 MiB", within(kib(1)..=mib(1024));
        /// How long a client may take to send the head of a request.
        header_timeout: Duration = "5s", within(ms(100)..=minutes(5));
        /// How long an idle HTTP connection is kept for a next request.
        keep_alive: Duration = "75s", within(seconds(1)..=hours(1));
        /// The web origins whose pages may call the HTTP API, such as `https://app.example.com`.
        cors_origins: Vec<CorsOrigin> = [];
        /// The origin under which clients reach the server, such as `https://api.example.com`, for
        /// the addresses of files. Absent: what the Host of a request says.
        public_url: Option<String>, web_origin();
        /// The proxies whose X-Forwarded-For is believed: IP addresses or networks.
        /// Name only what you run: a client within them can pretend to have any address.
        trusted_proxies: Vec<IpNet> = [];
    }
}

settings! {
    /// Files of sessions, kept in the data folder.
    pub struct FileSettings {
        /// How many bytes the files of an account may take, those of its deleted sessions not
        /// counted. A file has at most 10 MiB.
        per_account: ByteSize = "1 GiB", within(kib(1)..=mib(1_048_576));
        /// How long the address of a file can be used.
        link_ttl: Duration = "15min", within(seconds(1)..=hours(24));
    }
}

settings! {
    /// Tiers of users, one table each: how many connections, and what is promised.
    /// A table named after a default tier changes the keys it holds; a new one needs all four.
    pub struct TierSettings {
        /// How many connections one shard of a user takes.
        connections_per_shard: u16, within(1..=65_535);
        /// How many shards a user may have.
        max_shards: u16, within(1..=256);
        /// The promised delivery latency, 95th percentile.
        latency_p95: Duration, within(ms(1)..=minutes(1));
        /// The promised availability in percent.
        availability: f64, within(1.0..=100.0);
    }
}

/// The default tiers, with the values of their keys in the order of [`TierSettings`].
pub(crate) const DEFAULT_TIERS: [(&str, [&str; 4]); 3] = [
    ("free", ["20", "1", r#""500ms""#, "99.5"]),
    ("pro", ["100", "2", r#""200ms""#, "99.9"]),
    ("enterprise", ["500", "4", r#""100ms""#, "99.95"]),
];

/// How many tiers there may be: each is a value of a label of metrics.
pub(crate) const MAX_TIERS: usize = 32;

settings! {
    /// The apps that clients use, as `POST /v1/version` tells of them.
    pub struct AppSettings {
        /// The oldest version that works with this server.
        minimum_version: String = "1.4.1", version();
        /// Where users of older apps on iOS get a new one. Empty: nowhere.
        ios_url: String = "https://apps.apple.com/us/app/happy-claude-code-client/id6748571505";
        /// The same on Android.
        android_url: String = "https://play.google.com/store/apps/details?id=com.ex3ndr.happy";
    }
}

settings! {
    /// Administration.
    pub struct AdminSettings {
        /// Addresses of their own for the admin routes, metrics among them.
        /// Empty: they are served on the main addresses.
        listen: Vec<ListenAddress> = [];
    }
}

settings! {
    /// Logging.
    pub struct LogSettings {
        /// How lines are written. Auto: text in a terminal, else JSON.
        format: LogFormat = "auto";
        /// What is logged: a level (off, error, warn, info, debug, trace), or levels by module
        /// such as "info,dormouse_shard=debug".
        level: String = "info", directives();
    }
}

choice! {
    /// How log lines are written.
    pub enum LogFormat {
        /// Text in a terminal, else JSON.
        #[default]
        Auto = "auto",
        /// For people.
        Text = "text",
        /// One JSON object a line.
        Json = "json",
    }
}

settings! {
    /// Metrics.
    pub struct MetricsSettings {
        /// How many of the busiest users have series of their own.
        busiest_users: usize = 50, within(0..=1000);
        /// Who may read the metrics. Admin: who has the admin token. Auto: everyone in development
        /// and where admin.listen keeps them on addresses of their own, else as admin.
        access: MetricsAccess = "auto";
    }
}

choice! {
    /// Who may read the metrics; see [`Settings::metrics_need_admin`].
    pub enum MetricsAccess {
        /// Everyone in development and on `admin.listen`, else who has the admin token.
        #[default]
        Auto = "auto",
        /// Everyone.
        Open = "open",
        /// Who has the admin token.
        Admin = "admin",
    }
}

settings! {
    /// For tests of the server.
    pub struct DebugSettings {
        /// Serves `/debug/echo`, a WebSocket that sends every message back to whoever connects, for
        /// tests of protocol conformance. With loopback addresses only.
        echo: bool = false;
        /// The longest message there, all its frames together; longer: close 1009.
        echo_message: ByteSize = "16 MiB", within(kib(1)..=mib(256));
    }
}

impl Settings {
    /// The environment with `auto` decided: never [`Environment::Auto`].
    #[must_use]
    pub fn resolved_environment(&self) -> Environment {
        match (self.environment, &self.auth.secret) {
            (Environment::Auto, Some(_)) => Environment::Production,
            (Environment::Auto, None) => Environment::Development,
            (chosen, _) => chosen,
        }
    }

    /// Whether [`Self::resolved_environment`] is production.
    #[must_use]
    pub fn is_production(&self) -> bool {
        self.resolved_environment() == Environment::Production
    }

    /// Who may sign up, with `auto` decided: never [`Signup::Auto`].
    #[must_use]
    pub fn resolved_signup(&self) -> Signup {
        let is_reachable = || {
            let is_public = self.listen.iter().any(|address| !address.is_loopback());
            is_public || !self.http.trusted_proxies.is_empty()
        };
        match self.auth.signup {
            Signup::Auto if self.auth.secret.is_some() && is_reachable() => Signup::Approval,
            Signup::Auto => Signup::Open,
            chosen => chosen,
        }
    }

    /// Who may connect to the dashboard, with `auto` decided: never [`DashboardAccess::Auto`].
    #[must_use]
    pub fn resolved_dashboard(&self) -> DashboardAccess {
        let is_reachable = || {
            let is_public = self.listen.iter().any(|address| !address.is_loopback());
            is_public || !self.http.trusted_proxies.is_empty()
        };
        match self.dashboard.access {
            DashboardAccess::Auto if self.is_production() || is_reachable() => DashboardAccess::Off,
            DashboardAccess::Auto => DashboardAccess::Anonymous,
            chosen => chosen,
        }
    }

    /// The tier of users whose token names none; a key of [`Settings::tiers`].
    #[must_use]
    pub fn default_tier(&self) -> &str {
        match (self.auth.default_tier.as_str(), self.is_production()) {
            ("", true) => "free",
            ("", false) => "enterprise",
            (chosen, _) => chosen,
        }
    }

    /// Whether reading the metrics takes the admin token.
    #[must_use]
    pub fn metrics_need_admin(&self) -> bool {
        match self.metrics.access {
            MetricsAccess::Auto => self.is_production() && self.admin.listen.is_empty(),
            MetricsAccess::Open => false,
            MetricsAccess::Admin => true,
        }
    }

    /// The number of worker threads, with 0 replaced by the number of cores; at least 1.
    #[must_use]
    pub fn worker_count(&self) -> usize {
        match self.workers {
            0 => std::thread::available_parallelism()
                .map_or(1, NonZero::get)
                .min(256),
            chosen => chosen,
        }
    }
}

impl TierSettings {
    /// The cap of one user: connections per shard times shards.
    #[must_use]
    pub fn connections_per_user(&self) -> u32 {
        u32::from(self.connections_per_shard) * u32::from(self.max_shards)
    }
}

#[cfg(test)]
mod tests;
