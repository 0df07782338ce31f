//! What all requests share.

use std::cell::RefCell;
use std::sync::Arc;
use std::time::Instant;

use dormouse_config::Settings;
use dormouse_shard::Workers;
use dormouse_shard::arrival::{Claim, Gate};

use crate::accounts::Access;
use crate::audit::AuditLog;
use crate::auth::{FixedWindow, Identity, TicketHolder, Tickets, TokenCache, TokenError, Verifier};
use crate::clock::unix_ms;
use crate::dashboard::Dashboard;
use crate::database::Database;
use crate::events::EventService;
use crate::handshake::HandshakeRefusal;
use crate::http::auth::limits::AuthLimits;
use crate::live::Live;
use crate::metrics::Counters;
use crate::metrics::counters::TokenCheck;
use crate::pending::PendingPlaces;
use crate::push::Push;
use crate::session_files::{FileFolder, FileLinks};
use crate::socket_io::SocketIo;
use crate::sync::heartbeats::Heartbeats;
use crate::vault::Vault;

/// The version in answers and logs.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Everything a handler needs; shared by all threads, changed by none.
pub struct AppState {
    /// The configuration.
    pub settings: Settings,
    /// The shards.
    pub workers: Workers,
    /// Accounts and what belongs to them.
    pub database: Database,
    /// When signs of life were last written.
    pub heartbeats: Arc<Heartbeats>,
    /// Call events.
    pub events: EventService,
    /// The dashboard, if there is one.
    pub dashboard: Option<Arc<Dashboard>>,
    /// Tokens.
    pub verifier: Verifier,
    /// Tickets.
    pub tickets: Tickets,
    /// How often a user may ask for a ticket.
    pub ticket_rate: FixedWindow<Arc<str>>,
    /// Who is refused.
    pub access: Arc<Access>,
    /// How often one may sign in and ask for pairing.
    pub auth_limits: AuthLimits,
    /// Places for connections that have not authenticated.
    pub pending: Arc<PendingPlaces>,
    /// Where Socket.IO is served.
    pub socket_io: SocketIo,
    /// Refused handshakes by reason.
    pub refused: RefusalCounts,
    /// Encryption of what is kept of third parties' secrets.
    pub vault: Vault,
    /// Push messages.
    pub push: Push,
    /// The contents of sessions' files.
    pub files: FileFolder,
    /// Addresses of files.
    pub file_links: FileLinks,
    /// What is counted outside the workers.
    pub counters: Counters,
    /// What admins did.
    pub audit: Arc<AuditLog>,
    /// What admins' open pages are shown.
    pub live: Live,
    /// When the server started.
    pub started: Instant,
}

thread_local! {
    /// One cache per thread, so that a verified token costs no lock.
    static TOKENS: RefCell<Option<TokenCache>> = const { RefCell::new(None) };
}

impl AppState {
    /// Verifies a user's token, remembering it on this thread.
    ///
    /// # Errors
    /// [`TokenError`], for logs and metrics; clients get a generic answer.
    pub fn verify_user(&self, token: &str) -> Result<Identity, TokenError> {
        let entries = self.settings.auth.token_cache;
        TOKENS.with_borrow_mut(|cache| {
            let cache = cache.get_or_insert_with(|| TokenCache::new(entries));
            let hits = cache.hits();
            let verified = self.verifier.verify_user_cached(cache, token, unix_ms());
            self.counters.tokens.count(match &verified {
                Ok(_) if cache.hits() > hits => TokenCheck::Cached,
                Ok(_) => TokenCheck::Verified,
                Err(_) => TokenCheck::Refused,
            });
            verified
        })
    }

    /// Whether the server runs in development mode.
    pub fn is_development(&self) -> bool {
        !self.settings.is_production()
    }
}

/// Handshakes refused before they reached a shard, by reason.
#[derive(Debug, Default)]
pub struct RefusalCounts {
    counts: std::sync::Mutex<std::collections::BTreeMap<&'static str, u64>>,
}

impl RefusalCounts {
    /// Counts one.
    pub fn count(&self, refusal: HandshakeRefusal) {
        let mut counts = self
            .counts
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        *counts.entry(refusal.label()).or_default() += 1;
    }

    /// All counts, by [`HandshakeRefusal::label`].
    pub fn all(&self) -> std::collections::BTreeMap<&'static str, u64> {
        self.counts
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
            .clone()
    }
}

/// What a verified token lets in.
pub fn claim(identity: &Identity) -> Claim {
    Claim {
        user: identity.user.clone(),
        tier: identity.tier.as_deref().map(Box::from),
        token_hash: Some(identity.token_hash),
    }
}

/// What a redeemed ticket lets in.
pub fn claim_of_ticket(holder: &TicketHolder) -> Claim {
    Claim {
        user: holder.user.clone(),
        tier: holder.tier.as_deref().map(Box::from),
        token_hash: holder.token_hash,
    }
}

/// Verifies first messages for the shards.
pub struct TokenGate {
    /// Tokens.
    pub verifier: Verifier,
}

impl Gate for TokenGate {
    fn verify(&self, token: &str, done: Box<dyn FnOnce(Option<Claim>) + Send>) {
        let verified = self.verifier.verify_user(token, unix_ms());
        if let Err(err) = &verified {
            tracing::debug!(%err, "a first message's token is refused");
        }
        done(verified.ok().as_ref().map(claim));
    }

    fn still_admits(&self, claim: &Claim) -> bool {
        let token = claim.token_hash.as_ref();
        !self.verifier.is_blocked(&claim.user)
            && !token.is_some_and(|hash| self.verifier.is_revoked(hash))
    }
}
