//! The event side as requests and handshakes use it.

use std::net::IpAddr;
use std::sync::Arc;

use dormouse_config::Settings;
use dormouse_shard::Workers;
use dormouse_shard::event_log::EventLog;
use dormouse_shard::subscriber::{Access, AccessRefused};

use super::arrivals::Arrivals;
use super::backbone::Backbone;
use super::counters::EventCounters;
use super::embedded::EmbeddedBackbone;
use super::key_store::{Credential, KeyFault, KeyStore, StaticKeys};
use super::keys;
use super::ledger::{Ledger, LedgerTask};
use super::maintenance::{Maintenance, Retention};
use super::sequence::Sequences;
use crate::auth::FixedWindow;
use crate::database::Database;
use crate::pending::PendingPlaces;

/// Keys and addresses that rate limits remember at most.
const RATE_KEYS: usize = 100_000;

/// What all requests of the event side share.
#[derive(Debug)]
pub struct EventService {
    /// Publishes.
    pub ledger: Ledger,
    /// Verifies keys.
    pub keys: Arc<KeyStore>,
    /// Demonstration calls that are under way.
    pub sequences: Sequences,
    /// Places for subscribers.
    pub places: Arc<PendingPlaces>,
    /// Requests by key, for those with a limit.
    pub key_rate: FixedWindow<Arc<str>>,
    /// Requests without a good key, by address.
    pub address_rate: FixedWindow<IpAddr>,
    /// What is counted.
    pub counters: Arc<EventCounters>,
    /// Workers of groups that wait for the next event.
    pub arrivals: Arc<Arrivals>,
    log: Arc<EmbeddedBackbone>,
}

/// What has to run for the event side to work.
#[derive(Debug)]
pub struct EventTasks {
    /// Stores and tells.
    pub ledger: LedgerTask,
    /// Tidies up.
    pub maintenance: Maintenance,
}

impl EventService {
    /// One over this database and these workers.
    pub fn new(settings: &Settings, database: &Database, workers: &Workers) -> (Self, EventTasks) {
        let events = &settings.events;
        let counters = Arc::<EventCounters>::default();
        let arrivals = Arc::<Arrivals>::default();
        let backbone = Arc::new(EmbeddedBackbone::new(
            database.clone(),
            workers.clone(),
            counters.clone(),
            arrivals.clone(),
            events.call_ttl,
        ));
        let shared: Arc<dyn Backbone> = backbone.clone();
        let (ledger, task) = Ledger::new(shared, counters.clone());
        let keys = Arc::new(KeyStore::new(database.clone(), static_keys(settings)));
        let maintenance = Maintenance {
            database: database.clone(),
            keys: keys.clone(),
            workers: workers.clone(),
            counters: counters.clone(),
            retention: Retention {
                log_entries: events.log_entries as u64,
                log_age: events.log_age,
            },
        };
        let this = Self {
            ledger,
            keys,
            sequences: Sequences::default(),
            places: PendingPlaces::new(events.max_subscribers, events.max_subscribers),
            key_rate: FixedWindow::new(0, RATE_KEYS),
            address_rate: FixedWindow::new(events.unauthenticated_rate, RATE_KEYS),
            counters,
            arrivals,
            log: backbone,
        };
        let tasks = EventTasks {
            ledger: task,
            maintenance,
        };
        (this, tasks)
    }

    /// What a verified key opens for a subscriber.
    pub fn access(&self, verdict: Result<Credential, KeyFault>) -> Result<Access, AccessRefused> {
        match verdict {
            Ok(credential) => Ok(Access {
                tenant: credential.tenant,
                key: credential.id,
                log: {
                    let log: Arc<dyn EventLog> = self.log.clone();
                    log
                },
            }),
            Err(KeyFault::Unavailable) => Err(AccessRefused::Unavailable),
            Err(fault) => {
                tracing::debug!(%fault, "a subscriber is refused");
                Err(AccessRefused::Unauthorized)
            }
        }
    }
}

/// The keys that the settings name.
fn static_keys(settings: &Settings) -> StaticKeys {
    let events = &settings.events;
    let configured = events.api_keys.as_ref().map_or("", |keys| keys.expose());
    let mut all: Vec<&str> = configured.split(',').map(str::trim).collect();
    let is_development = !settings.is_production();
    if is_development {
        all.push(&events.insecure_test_key);
    }
    StaticKeys {
        hashes: all
            .into_iter()
            .filter(|key| !key.is_empty())
            .map(keys::hash)
            .collect(),
        tenant: events.default_tenant.clone(),
        accepts_any: is_development && events.insecure_accept_any_key,
    }
}
