//! Signing in with a key, and who may get a new account by it (`auth.signup`).

use dormouse_config::Signup;
use sqlx::{AnyConnection, Row as _};

use super::administration::Status;
use super::error::AccountError;
use super::{PublicKey, invites};
use crate::clock::unix_ms;
use crate::database::{Database, Tx, new_id};

/// Most accounts that may wait for approval: each is a row that a stranger has made.
pub const MOST_PENDING: i64 = 1000;
/// How exactly the time of the last sign-in is kept, in milliseconds: to note each would make every
/// sign-in a write.
const SIGN_IN_STEP_MS: i64 = 3_600_000;

/// An account that was found by its key.
struct Found {
    id: String,
    status: Status,
    signed_in_at: Option<i64>,
}

/// What became of a request.
enum Admission {
    Admitted(String),
    Pending(String),
}

/// Finds the account of a key whose owner has proven to hold it, or makes one if that is allowed;
/// returns its id. `invite` is a code that came with the request.
///
/// # Errors
/// [`AccountError`], with its remedy.
pub async fn sign_in(
    database: &Database,
    key: PublicKey,
    signup: Signup,
    invite: Option<String>,
) -> Result<String, AccountError> {
    let hex = key.to_hex();
    let found = {
        let hex = hex.clone();
        database
            .read(async move |reader| find(reader, &hex).await)
            .await?
    };
    let now = i64::try_from(unix_ms()).unwrap_or(i64::MAX);
    if let Some(found) = found
        && found.status == Status::Active
        && found
            .signed_in_at
            .is_some_and(|at| now - at < SIGN_IN_STEP_MS)
    {
        return Ok(found.id);
    }
    let admission = database
        .write(async move |tx| admit(tx, hex, signup, invite.as_deref()).await)
        .await?;
    match admission {
        Admission::Admitted(id) => Ok(id),
        // Not an error of the write, which would take back the row that waits.
        Admission::Pending(account) => Err(AccountError::Pending { account }),
    }
}

async fn find(reader: &mut AnyConnection, hex: &str) -> Result<Option<Found>, AccountError> {
    let query = "SELECT id, status, signed_in_at FROM accounts WHERE public_key = $1";
    let row = sqlx::query(query).bind(hex).fetch_optional(reader).await?;
    row.map(|row| {
        Ok(Found {
            id: row.try_get(0)?,
            status: Status::read(row.try_get(1)?),
            signed_in_at: row.try_get(2)?,
        })
    })
    .transpose()
}

async fn admit(
    tx: &mut Tx,
    hex: String,
    signup: Signup,
    invite: Option<&str>,
) -> Result<Admission, AccountError> {
    let found = find(tx.connection(), &hex).await?;
    let (id, is_known) = match found {
        Some(found) => match found.status {
            Status::Active => {
                note_sign_in(tx, &found.id, Status::Active).await?;
                return Ok(Admission::Admitted(found.id));
            }
            Status::Blocked | Status::Deleting => return Err(AccountError::Blocked),
            Status::Pending => (found.id, true),
        },
        None => (new_id(), false),
    };
    let invite = invite.filter(|code| !code.is_empty());
    let status = match (signup, invite) {
        // Settings were resolved before; what is not is not open.
        (Signup::Closed | Signup::Auto, _) => return Err(AccountError::SignupClosed),
        (Signup::Open, _) => Status::Active,
        (Signup::Invite | Signup::Approval, Some(code)) => {
            invites::redeem(tx, code, &id).await?;
            Status::Active
        }
        (Signup::Invite, None) => return Err(AccountError::InviteRequired),
        (Signup::Approval, None) => Status::Pending,
    };
    if is_known {
        if status == Status::Pending {
            return Ok(Admission::Pending(id));
        }
        note_sign_in(tx, &id, status).await?;
        return Ok(Admission::Admitted(id));
    }
    if status == Status::Pending && pending(tx).await? >= MOST_PENDING {
        return Err(AccountError::WaitingListFull);
    }
    let now = tx.now();
    let signed_in_at = (status == Status::Active).then_some(now);
    // Another server may have made it since.
    let insert = "INSERT INTO accounts (id, public_key, status, signed_in_at, created_at, \
                  updated_at) VALUES ($1, $2, $3, $4, $5, $5) ON CONFLICT (public_key) DO NOTHING";
    sqlx::query(insert)
        .bind(&id)
        .bind(&hex)
        .bind(status.as_str())
        .bind(signed_in_at)
        .bind(now)
        .execute(tx.connection())
        .await?;
    let made = find(tx.connection(), &hex)
        .await?
        .ok_or(AccountError::NotFound("account of this key"))?;
    match made.status {
        Status::Active => Ok(Admission::Admitted(made.id)),
        Status::Pending => Ok(Admission::Pending(made.id)),
        Status::Blocked | Status::Deleting => Err(AccountError::Blocked),
    }
}

async fn note_sign_in(tx: &mut Tx, id: &str, status: Status) -> Result<(), AccountError> {
    let now = tx.now();
    sqlx::query("UPDATE accounts SET status = $1, signed_in_at = $2 WHERE id = $3")
        .bind(status.as_str())
        .bind(now)
        .bind(id)
        .execute(tx.connection())
        .await?;
    Ok(())
}

async fn pending(tx: &mut Tx) -> Result<i64, AccountError> {
    let row = sqlx::query("SELECT COUNT(*) FROM accounts WHERE status = 'pending'")
        .fetch_one(tx.connection())
        .await?;
    Ok(row.try_get(0)?)
}
