//! Who is refused, in memory, and kept equal to the database.
//!
//! Verification asks on every request, so it cannot ask the database. A server applies its own
//! changes at once, and looks every second for those of others: the commands, and further servers
//! on the same database.

use std::sync::Arc;
use std::time::Duration;

use dormouse_protocol::{CloseCode, Filter};
use dormouse_shard::Workers;
use sqlx::{AnyConnection, Row as _};
use tokio::sync::Mutex;

use super::error::AccountError;
use super::{removal, revoked_tokens};
use crate::auth::{RevocationList, TokenHash};
use crate::clock::unix_ms;
use crate::dashboard::rooms;
use crate::database::Database;

/// How often changes are looked for.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How many looks there are between two times of tidying up: an hour.
const TIDY_EVERY: u32 = 3600;
/// What clients read when their account is blocked or deleted.
const BLOCKED: &str = "the account is blocked";

/// What has changed since a version of the access clock.
#[derive(Debug, Default)]
struct Changes {
    version: i64,
    revoked: Vec<(TokenHash, String, u64)>,
    deleted: Vec<String>,
    /// Accounts and whether they are refused.
    accounts: Vec<(String, bool)>,
}

/// Keeps a [`RevocationList`] equal to the database, and closes the sockets that are refused.
pub struct Access {
    database: Database,
    list: Arc<RevocationList>,
    workers: Workers,
    /// The user that has the dashboard's connections, whoever's token they came with.
    dashboard: Option<Arc<str>>,
    /// The version that the list is equal to.
    seen: Mutex<i64>,
}

impl std::fmt::Debug for Access {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Access").field("list", &self.list).finish()
    }
}

impl Access {
    /// For workers that have no connections yet: reads who is refused.
    ///
    /// # Errors
    /// Those of the database: then a server must not start, or it would let in who is refused.
    pub async fn load(
        database: Database,
        list: Arc<RevocationList>,
        workers: Workers,
        dashboard: Option<Arc<str>>,
    ) -> Result<Self, AccountError> {
        let changes = database
            .read_snapshot(async |reader| changes(reader, 0).await)
            .await?;
        for user in changes.deleted {
            list.block(&user);
        }
        for (user, is_refused) in changes.accounts {
            if is_refused {
                list.block(&user);
            }
        }
        for (hash, _, forget_at) in changes.revoked {
            list.revoke(hash, forget_at);
        }
        Ok(Self {
            database,
            list,
            workers,
            dashboard,
            seen: Mutex::new(changes.version),
        })
    }

    /// Whether no token of this user is accepted.
    #[must_use]
    pub fn is_blocked(&self, user: &str) -> bool {
        use crate::auth::Revocations as _;
        self.list.is_blocked(user)
    }

    /// Applies what was stored since the last look.
    ///
    /// # Errors
    /// Those of the database; then the list stays as it was.
    pub async fn refresh(&self) -> Result<(), AccountError> {
        let mut seen = self.seen.lock().await;
        let (since, database) = (*seen, &self.database);
        let version = database.read(async |reader| version(reader).await).await?;
        if version == since {
            return Ok(());
        }
        let changes = database
            .read_snapshot(async move |reader| changes(reader, since).await)
            .await?;
        for user in changes.deleted {
            self.refuse(&user).await;
        }
        for (user, is_refused) in changes.accounts {
            if is_refused {
                self.refuse(&user).await;
            } else {
                self.list.unblock(&user);
            }
        }
        for (hash, user, forget_at) in changes.revoked {
            self.revoke(&user, hash, forget_at).await;
        }
        *seen = changes.version;
        Ok(())
    }

    /// Refuses a user's tokens and closes the user's connections; returns how many.
    pub async fn refuse(&self, user: &str) -> u64 {
        self.list.block(user);
        let code = CloseCode::AUTH_FAILED;
        let mut closed = self.workers.disconnect(user, code, BLOCKED).await;
        if let Some(dashboard) = &self.dashboard {
            let its = Filter::Room(rooms::visitor(user).into());
            let workers = &self.workers;
            closed += workers.disconnect_some(dashboard, its, code, BLOCKED).await;
        }
        closed
    }

    /// Refuses a token and closes the connections that it opened; returns how many.
    pub async fn revoke(&self, user: &str, hash: TokenHash, forget_at_ms: u64) -> u64 {
        if !self.list.revoke(hash, forget_at_ms) {
            return 0;
        }
        let mut closed = self.workers.revoke(user, &hash).await;
        if let Some(dashboard) = self.dashboard.as_deref().filter(|other| *other != user) {
            closed += self.workers.revoke(dashboard, &hash).await;
        }
        closed
    }

    /// Looks for changes every second, for as long as it is polled, and removes every hour what
    /// nobody needs any more.
    pub async fn watch(&self) {
        let mut ticks = tokio::time::interval(LOOK_EVERY);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut looks: u32 = 0;
        let mut is_failing = false;
        loop {
            ticks.tick().await;
            let result = self.refresh().await;
            match &result {
                Ok(()) if is_failing => tracing::info!("changes of accounts are seen again"),
                Err(err) if !is_failing => {
                    tracing::warn!(%err, "cannot look for changes of accounts");
                }
                _ => {}
            }
            is_failing = result.is_err();
            if looks.is_multiple_of(TIDY_EVERY) && !is_failing {
                self.list.sweep(unix_ms());
                if let Err(err) = removal::tidy_up(&self.database).await {
                    tracing::warn!(%err, "cannot remove what has expired of accounts");
                }
            }
            looks = looks.wrapping_add(1);
        }
    }
}

async fn version(reader: &mut AnyConnection) -> Result<i64, AccountError> {
    let query = "SELECT version FROM access_clock WHERE id = 1";
    Ok(sqlx::query(query).fetch_one(reader).await?.try_get(0)?)
}

async fn changes(reader: &mut AnyConnection, since: i64) -> Result<Changes, AccountError> {
    let mut changes = Changes {
        version: version(reader).await?,
        ..Changes::default()
    };
    let query = "SELECT id FROM deleted_accounts WHERE access_version > $1";
    let rows = sqlx::query(query)
        .bind(since)
        .fetch_all(&mut *reader)
        .await?;
    for row in rows {
        changes.deleted.push(row.try_get(0)?);
    }
    let query = "SELECT id, status FROM accounts WHERE access_version > $1";
    let rows = sqlx::query(query)
        .bind(since)
        .fetch_all(&mut *reader)
        .await?;
    for row in rows {
        let status = super::administration::Status::read(row.try_get(1)?);
        changes
            .accounts
            .push((row.try_get(0)?, status.is_refused()));
    }
    let query = "SELECT token_hash, account_id, expires_at FROM revoked_tokens \
                 WHERE access_version > $1";
    let rows = sqlx::query(query)
        .bind(since)
        .fetch_all(&mut *reader)
        .await?;
    for row in rows {
        let forget_at = u64::try_from(row.try_get::<i64, _>(2)?).unwrap_or(0);
        if let Some(hash) = revoked_tokens::read_hash(row.try_get(0)?) {
            changes.revoked.push((hash, row.try_get(1)?, forget_at));
        }
    }
    Ok(changes)
}
