//! Pairing: an agent or a device shows a public key, an app that is signed in answers it (REST
//! contract, sections 3.2 and 3.3).
//!
//! A request ends 10 min after it was made if nobody answers, 10 min after its answer if nobody
//! fetches that, and 2 min after the answer was first fetched: whoever has seen the key, which is in
//! the code that is shown, could otherwise fetch a fresh token at any time. All times are the
//! server's.

use sqlx::{AnyConnection, Row as _};

use super::PublicKey;
use super::error::AccountError;
use crate::clock::unix_ms;
use crate::database::{Database, new_id};

/// How long a request waits for its answer, and an answer to be fetched, in milliseconds.
const OPEN_MS: i64 = 10 * 60_000;
/// How long an answer can be fetched after the first time, in milliseconds.
const DELIVERED_MS: i64 = 2 * 60_000;

/// Who is paired.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// An agent in a terminal.
    Terminal,
    /// Another device of the same person.
    Device,
}

impl Kind {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Terminal => "terminal",
            Self::Device => "device",
        }
    }
}

/// An answer, as the app has stored it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The account that lets the other in.
    pub account: String,
    /// Ciphertext for the other.
    pub response: String,
}

/// A request that is not over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// Its name.
    pub id: String,
    /// Whether the agent reads the second form of answers.
    pub supports_v2: bool,
    /// The answer, if there is one.
    pub answer: Option<Answer>,
    times: Times,
}

/// Unix milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Times {
    created_at: i64,
    responded_at: Option<i64>,
    delivered_at: Option<i64>,
}

impl Times {
    fn is_over(self, now: i64) -> bool {
        match (self.delivered_at, self.responded_at) {
            (Some(delivered), _) => now >= delivered.saturating_add(DELIVERED_MS),
            (None, Some(responded)) => now >= responded.saturating_add(OPEN_MS),
            (None, None) => now >= self.created_at.saturating_add(OPEN_MS),
        }
    }
}

fn now() -> i64 {
    i64::try_from(unix_ms()).unwrap_or(i64::MAX)
}

async fn load(
    reader: &mut AnyConnection,
    kind: Kind,
    key: &PublicKey,
    now: i64,
) -> Result<Option<Request>, AccountError> {
    let query = "SELECT id, supports_v2, response, response_account_id, created_at, responded_at, \
                 delivered_at FROM pairing_requests WHERE kind = $1 AND public_key = $2";
    let row = sqlx::query(query)
        .bind(kind.as_str())
        .bind(key.to_hex())
        .fetch_optional(reader)
        .await?;
    let Some(row) = row else {
        return Ok(None);
    };
    let (response, account) = (row.try_get(2)?, row.try_get(3)?);
    let times = Times {
        created_at: row.try_get(4)?,
        responded_at: row.try_get(5)?,
        delivered_at: row.try_get(6)?,
    };
    let answer = match (account, response) {
        (Some(account), Some(response)) => Some(Answer { account, response }),
        _ => None,
    };
    let request = Request {
        id: row.try_get(0)?,
        supports_v2: row.try_get::<i64, _>(1)? != 0,
        answer,
        times,
    };
    Ok((!times.is_over(now)).then_some(request))
}

/// The request of a key, unless it is over or was never made.
///
/// # Errors
/// Those of the database.
pub async fn find(
    database: &Database,
    kind: Kind,
    key: PublicKey,
) -> Result<Option<Request>, AccountError> {
    let read = database.read(async move |reader| load(reader, kind, &key, now()).await);
    read.await
}

/// Makes a request in the place of one that is over. Does nothing if another has just made it.
///
/// # Errors
/// Those of the database.
pub async fn create(
    database: &Database,
    kind: Kind,
    key: PublicKey,
    supports_v2: bool,
) -> Result<(), AccountError> {
    let write = database.write(async move |tx| {
        let now = tx.now();
        if load(tx.connection(), kind, &key, now).await?.is_some() {
            return Ok(());
        }
        let hex = key.to_hex();
        sqlx::query("DELETE FROM pairing_requests WHERE kind = $1 AND public_key = $2")
            .bind(kind.as_str())
            .bind(&hex)
            .execute(tx.connection())
            .await?;
        let insert = "INSERT INTO pairing_requests (id, kind, public_key, supports_v2, created_at) \
                      VALUES ($1, $2, $3, $4, $5) ON CONFLICT (kind, public_key) DO NOTHING";
        sqlx::query(insert)
            .bind(new_id())
            .bind(kind.as_str())
            .bind(hex)
            .bind(i64::from(supports_v2))
            .bind(now)
            .execute(tx.connection())
            .await?;
        Ok::<_, AccountError>(())
    });
    write.await
}

/// Notes that an answer is being fetched; its end counts from the first time.
///
/// # Errors
/// Those of the database: then the answer must not be given out.
pub async fn deliver(database: &Database, request: &Request) -> Result<(), AccountError> {
    if request.times.delivered_at.is_some() {
        return Ok(());
    }
    let id = request.id.clone();
    let write = database.write(async move |tx| {
        let now = tx.now();
        let update = "UPDATE pairing_requests SET delivered_at = $1 \
                      WHERE id = $2 AND delivered_at IS NULL";
        let update = sqlx::query(update).bind(now).bind(id);
        update.execute(tx.connection()).await?;
        Ok::<_, AccountError>(())
    });
    write.await
}

/// Answers a request for an account. The first answer counts; later ones change nothing.
///
/// # Errors
/// [`AccountError::RequestNotFound`] when there is no such request, or it is over.
pub async fn answer(
    database: &Database,
    kind: Kind,
    key: PublicKey,
    answer: Answer,
) -> Result<(), AccountError> {
    let write = database.write(async move |tx| {
        let now = tx.now();
        let request = load(tx.connection(), kind, &key, now).await?;
        let request = request.ok_or(AccountError::RequestNotFound)?;
        let update = "UPDATE pairing_requests SET response = $1, response_account_id = $2, \
                      responded_at = $3 WHERE id = $4 AND response IS NULL";
        sqlx::query(update)
            .bind(answer.response)
            .bind(answer.account)
            .bind(now)
            .bind(request.id)
            .execute(tx.connection())
            .await?;
        Ok(())
    });
    write.await
}

#[cfg(test)]
mod unit_tests {
    use super::*;

    #[test]
    fn a_request_ends_in_its_time() {
        let open = Times {
            created_at: 0,
            responded_at: None,
            delivered_at: None,
        };
        let answered = Times {
            responded_at: Some(500_000),
            ..open
        };
        let fetched = Times {
            delivered_at: Some(900_000),
            ..answered
        };
        for (times, end) in [(open, 600_000), (answered, 1_100_000), (fetched, 1_020_000)] {
            assert!(!times.is_over(end - 1), "{times:?}");
            assert!(times.is_over(end), "{times:?}");
        }
    }
}
