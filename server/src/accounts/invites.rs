//! Invitations: codes that make one account each.
//!
//! A code has 80 random bits and is shown once, when it is made; the database keeps its SHA-256.

use serde::Serialize;
use sha2::{Digest as _, Sha256};
use sqlx::Row as _;
use utoipa::ToSchema;

use super::error::AccountError;
use super::is_storable;
use super::public_key::hex;
use crate::database::{Database, Tx, new_id};

/// How long a code is good unless something else is asked for, in milliseconds: a week.
pub const DEFAULT_LIFETIME_MS: u64 = 7 * 24 * 3_600_000;
/// Longest life of a code, in milliseconds: a year.
pub const MAX_LIFETIME_MS: u64 = 365 * 24 * 3_600_000;
/// Most characters of a note.
pub const MAX_NOTE_CHARS: usize = 200;
/// How many characters a code has, without the hyphens.
const CODE_CHARS: usize = 16;
/// Crockford's base 32, whose characters cannot be taken for each other.
const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";

/// An invitation as operators see it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Invite {
    /// Its name, by which it is revoked; of no use for signing up.
    pub id: String,
    /// What it is for, as its maker put it.
    pub note: Option<String>,
    /// When it was made, Unix milliseconds.
    pub created_at: i64,
    /// When it ends, Unix milliseconds.
    pub expires_at: i64,
    /// When it was used, Unix milliseconds.
    pub used_at: Option<i64>,
    /// The account that it made.
    pub used_by: Option<String>,
    /// When it was revoked, Unix milliseconds.
    pub revoked_at: Option<i64>,
}

/// A code in the form that is given to people: four groups of four.
fn new_code() -> String {
    let mut code = String::with_capacity(CODE_CHARS + 3);
    for (at, index) in rand::random::<[u8; CODE_CHARS]>().into_iter().enumerate() {
        if at > 0 && at % 4 == 0 {
            code.push('-');
        }
        code.push(char::from(ALPHABET[usize::from(index % 32)]));
    }
    code
}

/// The hash of a code as people may type it: hyphens, spaces and case do not matter, and `o`, `i`
/// and `l` stand for the digits that they look like. `None` for what is no code.
fn hash(code: &str) -> Option<String> {
    let mut plain = String::with_capacity(CODE_CHARS);
    for character in code.chars().filter(|c| !matches!(c, '-' | ' ')) {
        let character = match character.to_ascii_lowercase() {
            'o' => '0',
            'i' | 'l' => '1',
            other => other,
        };
        if plain.len() == CODE_CHARS
            || !character.is_ascii()
            || !ALPHABET.contains(&(character as u8))
        {
            return None;
        }
        plain.push(character);
    }
    (plain.len() == CODE_CHARS).then(|| hex(&Sha256::digest(plain.as_bytes())))
}

/// Makes an invitation; returns it with its code, which nobody can find out again.
///
/// # Errors
/// When it cannot be stored.
pub async fn create(
    database: &Database,
    note: Option<String>,
    lifetime_ms: u64,
) -> Result<(Invite, String), AccountError> {
    let code = new_code();
    let code_hash = hash(&code).ok_or(AccountError::InviteInvalid)?;
    let lifetime = i64::try_from(lifetime_ms.min(MAX_LIFETIME_MS)).unwrap_or(i64::MAX);
    let invite = database.write(async move |tx| {
        let now = tx.now();
        let invite = Invite {
            id: new_id(),
            note,
            created_at: now,
            expires_at: now.saturating_add(lifetime),
            used_at: None,
            used_by: None,
            revoked_at: None,
        };
        let insert = "INSERT INTO invites (id, code_hash, note, created_at, expires_at) \
                      VALUES ($1, $2, $3, $4, $5)";
        sqlx::query(insert)
            .bind(&invite.id)
            .bind(&code_hash)
            .bind(invite.note.as_deref())
            .bind(invite.created_at)
            .bind(invite.expires_at)
            .execute(tx.connection())
            .await?;
        Ok::<_, AccountError>(invite)
    });
    Ok((invite.await?, code))
}

/// All invitations that are remembered, newest first.
///
/// # Errors
/// When they cannot be read.
pub async fn list(database: &Database) -> Result<Vec<Invite>, AccountError> {
    let read = database.read(async |reader| {
        let query = "SELECT id, note, created_at, expires_at, used_at, used_by, revoked_at \
                     FROM invites ORDER BY id DESC LIMIT 1000";
        let rows = sqlx::query(query).fetch_all(reader).await?;
        let invites = rows.iter().map(|row| {
            Ok(Invite {
                id: row.try_get(0)?,
                note: row.try_get(1)?,
                created_at: row.try_get(2)?,
                expires_at: row.try_get(3)?,
                used_at: row.try_get(4)?,
                used_by: row.try_get(5)?,
                revoked_at: row.try_get(6)?,
            })
        });
        invites.collect::<Result<Vec<_>, AccountError>>()
    });
    read.await
}

/// Makes an invitation useless. One that was used or revoked stays as it is.
///
/// # Errors
/// When there is none of this id, or it cannot be stored.
pub async fn revoke(database: &Database, id: String) -> Result<(), AccountError> {
    if !is_storable(&id) {
        return Err(AccountError::NotFound("invitation of this id"));
    }
    let write = database.write(async move |tx| {
        let now = tx.now();
        let update = "UPDATE invites SET revoked_at = COALESCE(revoked_at, $1) WHERE id = $2";
        let update = sqlx::query(update).bind(now).bind(&id);
        if update.execute(tx.connection()).await?.rows_affected() == 0 {
            return Err(AccountError::NotFound("invitation of this id"));
        }
        Ok(())
    });
    write.await
}

/// Uses a code up for an account, as a part of making it.
pub(super) async fn redeem(tx: &mut Tx, code: &str, account: &str) -> Result<(), AccountError> {
    let hash = hash(code).ok_or(AccountError::InviteInvalid)?;
    let now = tx.now();
    let update = "UPDATE invites SET used_at = $1, used_by = $2 WHERE code_hash = $3 \
                  AND used_at IS NULL AND revoked_at IS NULL AND expires_at > $1";
    let update = sqlx::query(update).bind(now).bind(account).bind(hash);
    match update.execute(tx.connection()).await?.rows_affected() {
        0 => Err(AccountError::InviteInvalid),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod unit_tests {
    use super::*;

    #[test]
    fn codes_are_read_as_people_type_them() {
        let code = new_code();
        assert_eq!(code.len(), 19);
        let expected = hash(&code);
        assert!(expected.is_some());
        assert_eq!(hash(&code.replace('-', "")), expected);
        assert_eq!(hash(&code.to_uppercase().replace('-', " ")), expected);
        assert_eq!(hash("oooo-iiii-llll-0000"), hash("0000111111110000"));
        assert_ne!(hash(&new_code()), expected);
        for other in [
            "",
            "abcd",
            "aaaa-aaaa-aaaa-aaaa-a",
            "uuuu-aaaa-aaaa-aaaa",
            "é",
        ] {
            assert_eq!(hash(other), None, "{other}");
        }
    }
}
