//! Reports of what was used, and the limits that a client was told of (contract realtime.md 5.9
//! and 5.10, rest.md section 12).

use std::collections::BTreeMap;

use dormouse_protocol::Filter;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use sqlx::{AnyConnection, Row as _};

use super::bodies::{Ephemeral, json};
use super::change::Change;
use super::error::SyncError;
use super::sessions;
use crate::database::new_id;

/// Numbers by name; `total` among them.
pub type Amounts = BTreeMap<String, f64>;

/// A report to be stored; it replaces an earlier one with the same session and key.
#[derive(Debug)]
pub struct NewReport {
    /// The session, if it is of one.
    pub session: Option<String>,
    /// What it is of.
    pub key: String,
    /// JSON of the tokens.
    pub tokens: Box<RawValue>,
    /// JSON of the cost.
    pub cost: Box<RawValue>,
}

/// What the database keeps of a report.
#[derive(Serialize)]
struct Stored<'a> {
    tokens: &'a RawValue,
    cost: &'a RawValue,
}

/// What is read of it again.
#[derive(Deserialize)]
struct Read {
    #[serde(default)]
    tokens: BTreeMap<String, serde_json::Value>,
    #[serde(default)]
    cost: BTreeMap<String, serde_json::Value>,
}

/// A stored report.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ReportAck {
    /// Its id.
    pub report_id: String,
    /// Unix ms of the first report with this session and key.
    pub created_at: i64,
    /// Unix ms of this one.
    pub updated_at: i64,
}

/// Stores a report.
///
/// # Errors
/// [`SyncError::NotFound`] for the session, or the database's.
pub async fn report(change: &mut Change<'_>, new: NewReport) -> Result<ReportAck, SyncError> {
    let (account, now) = (change.account().to_string(), change.now());
    match &new.session {
        Some(session) => sessions::require(change.connection(), &account, session).await?,
        None => change.ensure_account().await?,
    }
    let data = Stored {
        tokens: &new.tokens,
        cost: &new.cost,
    };
    let row = sqlx::query(
        "INSERT INTO usage_reports (id, account_id, session_id, key, data, created_at, updated_at) \
         VALUES ($1, $2, $3, $4, $5, $6, $6) ON CONFLICT (account_id, session_id, key) \
         DO UPDATE SET data = $5, updated_at = $6 RETURNING id, created_at, updated_at",
    )
    .bind(new_id())
    .bind(account)
    .bind(new.session.as_deref().unwrap_or_default())
    .bind(new.key.as_str())
    .bind(json(&data))
    .bind(now)
    .fetch_one(change.connection())
    .await?;
    if let Some(session) = &new.session {
        let usage = Ephemeral::Usage {
            sid: session,
            id: session,
            key: &new.key,
            tokens: &new.tokens,
            cost: &new.cost,
            timestamp: now,
        };
        change.ephemeral(Filter::UserScopedOnly, &usage);
    }
    Ok(ReportAck {
        report_id: row.try_get(0)?,
        created_at: row.try_get(1)?,
        updated_at: row.try_get(2)?,
    })
}

/// Which reports are added up, and how.
#[derive(Clone, Debug)]
pub struct UsageQuery {
    /// Only those of this session.
    pub session: Option<String>,
    /// Only those made at this time or later, Unix ms.
    pub from: Option<i64>,
    /// Only those made at this time or earlier, Unix ms.
    pub to: Option<i64>,
    /// Length of a bucket, ms; buckets begin at multiples of it since 1970, which are those of UTC.
    pub bucket: i64,
}

/// The sums of one bucket.
#[derive(Clone, Debug, Default)]
pub struct Bucket {
    /// Tokens by name.
    pub tokens: Amounts,
    /// Cost by name.
    pub cost: Amounts,
    /// How many reports.
    pub reports: u64,
}

/// The reports of an account after a time and up to one.
pub const REPORTS: &str = "SELECT created_at, data FROM usage_reports \
     WHERE account_id = $1 AND created_at >= $2 AND created_at <= $3";

/// As [`REPORTS`], of one session.
pub const REPORTS_OF_SESSION: &str = "SELECT created_at, data FROM usage_reports \
     WHERE account_id = $1 AND session_id = $4 AND created_at >= $2 AND created_at <= $3";

/// Adds reports up by buckets, which are named by their begin, Unix ms.
///
/// # Errors
/// [`SyncError::NotFound`] for the session, or the database's.
pub async fn sums(
    reader: &mut AnyConnection,
    account: &str,
    query: UsageQuery,
) -> Result<BTreeMap<i64, Bucket>, SyncError> {
    let (from, to) = (query.from.unwrap_or(0), query.to.unwrap_or(i64::MAX));
    let rows = match &query.session {
        None => sqlx::query(REPORTS).bind(account).bind(from).bind(to),
        Some(session) => {
            sessions::require(reader, account, session).await?;
            sqlx::query(REPORTS_OF_SESSION)
                .bind(account)
                .bind(from)
                .bind(to)
                .bind(session.as_str())
        }
    };
    let mut buckets: BTreeMap<i64, Bucket> = BTreeMap::new();
    for row in rows.fetch_all(reader).await? {
        let (at, data): (i64, String) = (row.try_get(0)?, row.try_get(1)?);
        let bucket = buckets.entry(at - at.rem_euclid(query.bucket)).or_default();
        bucket.reports += 1;
        if let Ok(read) = serde_json::from_str::<Read>(&data) {
            add(&mut bucket.tokens, &read.tokens);
            add(&mut bucket.cost, &read.cost);
        }
    }
    Ok(buckets)
}

fn add(sums: &mut Amounts, amounts: &BTreeMap<String, serde_json::Value>) {
    for (name, amount) in amounts {
        if let Some(amount) = amount.as_f64() {
            *sums.entry(name.clone()).or_default() += amount;
        }
    }
}

/// Keeps the limits as a client told of them: a JSON object.
///
/// # Errors
/// The database's.
pub async fn write_limits(change: &mut Change<'_>, limits: &str) -> Result<(), SyncError> {
    let (account, now) = (change.account().to_string(), change.now());
    change.ensure_account().await?;
    sqlx::query(
        "INSERT INTO usage_limits (account_id, data, updated_at) VALUES ($1, $2, $3) \
         ON CONFLICT (account_id) DO UPDATE SET data = $2, updated_at = $3",
    )
    .bind(account)
    .bind(limits)
    .bind(now)
    .execute(change.connection())
    .await?;
    Ok(())
}

/// The limits as JSON, and when they were told of, Unix ms.
///
/// # Errors
/// The database's.
pub async fn limits(
    reader: &mut AnyConnection,
    account: &str,
) -> Result<Option<(String, i64)>, SyncError> {
    let row = sqlx::query("SELECT data, updated_at FROM usage_limits WHERE account_id = $1")
        .bind(account)
        .fetch_optional(reader)
        .await?;
    row.map(|row| Ok((row.try_get(0)?, row.try_get(1)?)))
        .transpose()
}
