//! Verifying API keys: static ones from the settings, and those of the database.
//!
//! What was verified is remembered for a minute at most, and forgotten within seconds of a
//! revocation. A key that is not known is never remembered, so that a new one works at once.

use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use ahash::{AHashMap, AHashSet};
use sqlx::Row as _;
use tokio::time::Instant;

use super::keys::{self, KeyHash};
use super::tenants;
use crate::clock::unix_ms;
use crate::database::{Database, DatabaseError};

/// How long a verification is remembered (contract events.md section 2).
const REMEMBERED: Duration = Duration::from_secs(60);
/// Verifications that are remembered at most.
const MOST_REMEMBERED: usize = 10_000;
/// Time between two changes of when a key was last used, ms.
const USE_STEP_MS: i64 = 60_000;
/// The id of keys from the settings.
const STATIC: &str = "static";

/// Whom a request speaks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credential {
    /// The tenant.
    pub tenant: Arc<str>,
    /// The key's id; that of a token's user, for tokens.
    pub id: Arc<str>,
    /// Requests a minute.
    pub rate_limit: Option<u32>,
}

/// Why a key is refused, in the order of the checks.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyFault {
    /// There is none.
    #[error("Missing API key")]
    Missing,
    /// Nobody has it.
    #[error("Invalid API key")]
    Unknown,
    /// It is revoked.
    #[error("API key is not active")]
    NotActive,
    /// It is too old.
    #[error("API key has expired")]
    Expired,
    /// Its tenant is suspended.
    #[error("Tenant is not active")]
    TenantNotActive,
    /// Nobody can tell now.
    #[error("the key cannot be verified now; try again")]
    Unavailable,
}

/// Which keys are taken beside those of the database.
#[derive(Clone, Default)]
pub struct StaticKeys {
    /// The hashes of keys of the default tenant.
    pub hashes: Vec<KeyHash>,
    /// The tenant of static keys.
    pub tenant: String,
    /// Whether any key is the default tenant's: for development only.
    pub accepts_any: bool,
}

/// Verifies keys for all threads.
pub struct KeyStore {
    database: Database,
    default_tenant: Arc<str>,
    static_id: Arc<str>,
    static_keys: AHashSet<KeyHash>,
    accepts_any: bool,
    remembered: RwLock<AHashMap<KeyHash, Remembered>>,
    used: Mutex<AHashMap<Arc<str>, i64>>,
}

impl std::fmt::Debug for KeyStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KeyStore").finish_non_exhaustive()
    }
}

#[derive(Clone)]
struct Remembered {
    credential: Credential,
    expires_at: Option<i64>,
    verified_at: Instant,
}

impl Remembered {
    fn judge(&self, now: i64) -> Result<Credential, KeyFault> {
        if self.expires_at.is_some_and(|at| at <= now) {
            Err(KeyFault::Expired)
        } else {
            Ok(self.credential.clone())
        }
    }
}

impl KeyStore {
    /// One over this database.
    pub fn new(database: Database, static_keys: StaticKeys) -> Self {
        Self {
            database,
            default_tenant: static_keys.tenant.as_str().into(),
            static_id: STATIC.into(),
            static_keys: static_keys.hashes.into_iter().collect(),
            accepts_any: static_keys.accepts_any,
            remembered: RwLock::default(),
            used: Mutex::default(),
        }
    }

    /// The outcome for a key that was verified a moment ago.
    pub fn remembered(&self, key: &str) -> Option<Result<Credential, KeyFault>> {
        self.remembered_hash(&keys::hash(key))
    }

    fn remembered_hash(&self, hash: &KeyHash) -> Option<Result<Credential, KeyFault>> {
        let remembered = self
            .remembered
            .read()
            .unwrap_or_else(PoisonError::into_inner);
        let known = remembered.get(hash)?;
        if known.verified_at.elapsed() >= REMEMBERED {
            return None;
        }
        let now = now();
        let outcome = known.judge(now);
        if outcome.is_ok() {
            self.note_use(&known.credential.id, now);
        }
        Some(outcome)
    }

    /// Verifies a key.
    ///
    /// # Errors
    /// [`KeyFault`].
    pub async fn verify(&self, key: &str) -> Result<Credential, KeyFault> {
        let hash = keys::hash(key);
        if let Some(outcome) = self.remembered_hash(&hash) {
            return outcome;
        }
        let is_static = self.static_keys.contains(&hash);
        let found = match self.find(&hash, is_static).await {
            Ok(found) => found,
            Err(err) => {
                tracing::warn!(%err, "a key cannot be verified");
                return Err(KeyFault::Unavailable);
            }
        };
        let (known, is_active, is_tenant_active) = found.ok_or(KeyFault::Unknown)?;
        if !is_active {
            return Err(KeyFault::NotActive);
        }
        let now = now();
        let outcome = known.judge(now)?;
        if !is_tenant_active {
            return Err(KeyFault::TenantNotActive);
        }
        self.note_use(&outcome.id, now);
        let mut remembered = self
            .remembered
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        if remembered.len() >= MOST_REMEMBERED {
            remembered.clear();
        }
        remembered.insert(hash, known);
        Ok(outcome)
    }

    /// A key with whether it is active and whether its tenant is.
    async fn find(
        &self,
        hash: &KeyHash,
        is_static: bool,
    ) -> Result<Option<(Remembered, bool, bool)>, DatabaseError> {
        let verified_at = Instant::now();
        if is_static {
            return self.of_default_tenant(verified_at).await.map(Some);
        }
        let hex = keys::hex(hash);
        let row = self
            .database
            .read(async move |reader| {
                let row = sqlx::query(
                    "SELECT k.id, k.tenant_id, k.status, k.rate_limit, k.expires_at, t.status \
                     FROM api_keys k JOIN tenants t ON t.id = k.tenant_id WHERE k.key_hash = $1",
                )
                .bind(hex)
                .fetch_optional(reader)
                .await?;
                let Some(row) = row else {
                    return Ok(None);
                };
                let id: String = row.try_get(0)?;
                let tenant: String = row.try_get(1)?;
                let status: String = row.try_get(2)?;
                let rate_limit: Option<i64> = row.try_get(3)?;
                let expires_at: Option<i64> = row.try_get(4)?;
                let of_tenant: String = row.try_get(5)?;
                Ok::<_, DatabaseError>(Some((
                    id, tenant, status, rate_limit, expires_at, of_tenant,
                )))
            })
            .await?;
        let Some((id, tenant, status, rate_limit, expires_at, of_tenant)) = row else {
            return if self.accepts_any {
                self.of_default_tenant(verified_at).await.map(Some)
            } else {
                Ok(None)
            };
        };
        let known = Remembered {
            credential: Credential {
                tenant: tenant.into(),
                id: id.into(),
                rate_limit: rate_limit.and_then(|limit| u32::try_from(limit).ok()),
            },
            // A key that was marked as expired is so whatever its time says.
            expires_at: if status == "EXPIRED" {
                Some(0)
            } else {
                expires_at
            },
            verified_at,
        };
        Ok(Some((known, status != "REVOKED", of_tenant == "ACTIVE")))
    }

    async fn of_default_tenant(
        &self,
        verified_at: Instant,
    ) -> Result<(Remembered, bool, bool), DatabaseError> {
        let credential = Credential {
            tenant: self.default_tenant.clone(),
            id: self.static_id.clone(),
            rate_limit: None,
        };
        let is_active = self.is_tenant_active(&credential.tenant).await?;
        let known = Remembered {
            credential,
            expires_at: None,
            verified_at,
        };
        Ok((known, true, is_active))
    }

    /// Whether a tenant may do anything. One that nobody has made, but a good credential names,
    /// may.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn is_tenant_active(&self, tenant: &Arc<str>) -> Result<bool, DatabaseError> {
        let tenant = tenant.clone();
        let found = self
            .database
            .read(async move |reader| tenants::by_id(reader, &tenant).await)
            .await?;
        Ok(found.is_none_or(|tenant| tenant.is_active))
    }

    fn note_use(&self, id: &Arc<str>, now: i64) {
        if **id == *STATIC {
            return;
        }
        let mut used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        match used.get_mut(id) {
            Some(at) => *at = now,
            None => {
                used.insert(id.clone(), now);
            }
        }
    }

    /// Writes down which keys were used since the last call. What is kept of a key is right to the
    /// minute, and so is changed once a minute at most (contract events.md section 2).
    ///
    /// # Errors
    /// Those of the database; then it is tried again by the next call.
    pub async fn write_uses(&self) -> Result<(), DatabaseError> {
        let used = std::mem::take(&mut *self.used.lock().unwrap_or_else(PoisonError::into_inner));
        if used.is_empty() {
            return Ok(());
        }
        let rows: Vec<(Arc<str>, i64)> = used.into_iter().collect();
        let written = rows.clone();
        let writing = self.database.write(async move |tx| {
            for (id, at) in &written {
                // A time ahead of the clock is of before the clock stepped back.
                sqlx::query(
                    "UPDATE api_keys SET last_used_at = $1 WHERE id = $2 \
                     AND (last_used_at IS NULL OR last_used_at <= $3 OR last_used_at > $1)",
                )
                .bind(*at)
                .bind(id.to_string())
                .bind(at.saturating_sub(USE_STEP_MS))
                .execute(tx.connection())
                .await?;
            }
            Ok::<_, DatabaseError>(())
        });
        let result = writing.await;
        if result.is_err() {
            let mut used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
            for (id, at) in rows {
                used.entry(id).or_insert(at);
            }
        }
        result
    }

    /// Forgets the keys that were revoked, have expired, or whose tenant was suspended, since a
    /// time; returns their ids.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn forget_ended(&self, since: i64, now: i64) -> Result<Vec<Arc<str>>, DatabaseError> {
        let ended: Vec<String> = self
            .database
            .read(async move |reader| {
                sqlx::query_scalar(
                    "SELECT k.id FROM api_keys k JOIN tenants t ON t.id = k.tenant_id \
                     WHERE (k.status <> 'ACTIVE' AND k.updated_at >= $1) \
                     OR (t.status <> 'ACTIVE' AND t.updated_at >= $1) \
                     OR (k.expires_at >= $1 AND k.expires_at <= $2)",
                )
                .bind(since)
                .bind(now)
                .fetch_all(reader)
                .await
                .map_err(DatabaseError::from)
            })
            .await?;
        if !ended.is_empty() {
            let mut remembered = self
                .remembered
                .write()
                .unwrap_or_else(PoisonError::into_inner);
            remembered.retain(|_, known| !ended.iter().any(|id| **id == *known.credential.id));
        }
        Ok(ended.into_iter().map(Arc::from).collect())
    }
}

fn now() -> i64 {
    i64::try_from(unix_ms()).unwrap_or(i64::MAX)
}
