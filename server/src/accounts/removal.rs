//! Deleting accounts with all that is theirs, and what has expired.
//!
//! An account may have hundreds of thousands of rows, and while they are deleted nobody else can
//! write. So they go in pieces, each a write of its own. The account is refused from the start; if
//! the process ends in between, the next one goes on ([`tidy_up`]).

use sqlx::Row as _;

use super::error::AccountError;
use super::revoked_tokens::next_version;
use crate::database::{Database, Tx};

/// Rows that one write deletes at most.
const PIECE: i64 = 2000;
/// How long the tokens of a deleted account stay refused, in milliseconds: 11 years, longer than any
/// token may live.
const REFUSED_MS: i64 = 11 * 366 * 24 * 3_600_000;
/// How long an account may wait for its approval, in milliseconds: 30 days.
const PENDING_MS: i64 = 30 * 24 * 3_600_000;
/// How long a request for pairing, or a used or expired invitation, is kept past its end, in
/// milliseconds: a day and 90 days.
const PAIRING_KEPT_MS: i64 = 24 * 3_600_000;
const INVITES_KEPT_MS: i64 = 90 * 24 * 3_600_000;

/// One table's rows of an account, in an order in which none refers to one that is gone. `$1` is the
/// account, `$2` the size of a piece.
const STEPS: [&str; 14] = [
    "DELETE FROM messages WHERE id IN (SELECT m.id FROM messages m \
     JOIN sessions s ON s.id = m.session_id WHERE s.account_id = $1 LIMIT $2)",
    "DELETE FROM access_keys WHERE id IN \
     (SELECT id FROM access_keys WHERE account_id = $1 LIMIT $2)",
    "DELETE FROM usage_reports WHERE id IN \
     (SELECT id FROM usage_reports WHERE account_id = $1 LIMIT $2)",
    "DELETE FROM usage_limits WHERE account_id IN \
     (SELECT account_id FROM usage_limits WHERE account_id = $1 LIMIT $2)",
    "DELETE FROM sessions WHERE id IN (SELECT id FROM sessions WHERE account_id = $1 LIMIT $2)",
    "DELETE FROM machines WHERE account_id = $1 AND id IN \
     (SELECT id FROM machines WHERE account_id = $1 LIMIT $2)",
    "DELETE FROM artifacts WHERE id IN (SELECT id FROM artifacts WHERE account_id = $1 LIMIT $2)",
    "DELETE FROM tombstones WHERE account_id = $1 AND change_seq IN \
     (SELECT change_seq FROM tombstones WHERE account_id = $1 LIMIT $2)",
    "DELETE FROM kv_items WHERE account_id = $1 AND key IN \
     (SELECT key FROM kv_items WHERE account_id = $1 LIMIT $2)",
    "DELETE FROM feed_items WHERE account_id = $1 AND counter IN \
     (SELECT counter FROM feed_items WHERE account_id = $1 LIMIT $2)",
    "DELETE FROM push_tokens WHERE account_id = $1 AND token IN \
     (SELECT token FROM push_tokens WHERE account_id = $1 LIMIT $2)",
    "DELETE FROM service_tokens WHERE account_id = $1 AND vendor IN \
     (SELECT vendor FROM service_tokens WHERE account_id = $1 LIMIT $2)",
    // Their contents are removed by `crate::session_files::sweep`, and then they as well.
    "UPDATE session_files SET removed_at = created_at WHERE id IN \
     (SELECT id FROM session_files WHERE account_id = $1 AND removed_at IS NULL LIMIT $2)",
    "DELETE FROM pairing_requests WHERE id IN \
     (SELECT id FROM pairing_requests WHERE response_account_id = $1 LIMIT $2)",
];

/// Deletes all that an account has, and then the account, which must be marked for it
/// ([`super::administration::begin_deletion`]). Its tokens stay refused.
///
/// # Errors
/// Those of the database; what is left is deleted by the next call.
pub async fn remove(database: &Database, id: &str) -> Result<(), AccountError> {
    for step in STEPS {
        loop {
            let id = id.to_owned();
            let write = database.write(async move |tx| {
                let delete = sqlx::query(step).bind(id).bind(PIECE);
                Ok::<_, AccountError>(delete.execute(tx.connection()).await?.rows_affected())
            });
            if write.await? == 0 {
                break;
            }
        }
    }
    let id = id.to_owned();
    let write = database.write(async move |tx| {
        let (now, version) = (tx.now(), next_version(tx).await?);
        let insert = "INSERT INTO deleted_accounts (id, deleted_at, forget_at, access_version) \
                      VALUES ($1, $2, $3, $4) ON CONFLICT (id) DO NOTHING";
        sqlx::query(insert)
            .bind(&id)
            .bind(now)
            .bind(now.saturating_add(REFUSED_MS))
            .bind(version)
            .execute(tx.connection())
            .await?;
        delete(tx, "DELETE FROM accounts WHERE id = $1", &id).await
    });
    write.await
}

async fn delete(tx: &mut Tx, statement: &'static str, id: &str) -> Result<(), AccountError> {
    sqlx::query(statement)
        .bind(id)
        .execute(tx.connection())
        .await?;
    Ok(())
}

/// Goes on with deletions that were broken off, and removes what has expired: revocations, deleted
/// accounts whose tokens have ended, accounts that nobody has approved, pairing requests and
/// invitations.
///
/// # Errors
/// Those of the database.
pub async fn tidy_up(database: &Database) -> Result<(), AccountError> {
    let marked = database.read(async |reader| {
        let query = "SELECT id FROM accounts WHERE status = 'deleting'";
        let rows = sqlx::query(query).fetch_all(reader).await?;
        let ids = rows.iter().map(|row| Ok(row.try_get(0)?));
        ids.collect::<Result<Vec<String>, AccountError>>()
    });
    for id in marked.await? {
        remove(database, &id).await?;
    }
    let write = database.write(async |tx| {
        let now = tx.now();
        let ends = [
            ("DELETE FROM revoked_tokens WHERE expires_at <= $1", now),
            ("DELETE FROM deleted_accounts WHERE forget_at <= $1", now),
            (
                "DELETE FROM accounts WHERE status = 'pending' AND created_at <= $1",
                now - PENDING_MS,
            ),
            (
                "DELETE FROM pairing_requests WHERE created_at <= $1",
                now - PAIRING_KEPT_MS,
            ),
            (
                "DELETE FROM invites WHERE expires_at <= $1",
                now - INVITES_KEPT_MS,
            ),
        ];
        for (statement, before) in ends {
            let delete = sqlx::query(statement).bind(before);
            delete.execute(tx.connection()).await?;
        }
        Ok::<_, AccountError>(())
    });
    write.await
}
