//! A user's own profile and preferences (contract rest.md section 8).

use dormouse_protocol::Filter;
use serde::Serialize;
use sqlx::{AnyConnection, Row as _};

use super::bodies::Versioned;
use super::change::Change;
use super::error::SyncError;

/// What a user says of themselves.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Profile {
    /// The first name.
    pub first_name: Option<String>,
    /// The last name.
    pub last_name: Option<String>,
    /// The name that no other account has.
    pub username: Option<String>,
}

/// What to change of a profile; `None` leaves a field as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProfileChange {
    /// The first name.
    pub first_name: Option<String>,
    /// The last name; `Some(None)` removes it.
    pub last_name: Option<Option<String>>,
    /// The name that no other account has.
    pub username: Option<String>,
}

/// Preferences, which only the user's devices can read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Preferences {
    /// The ciphertext.
    pub settings: Option<String>,
    /// Its version, 0 at first.
    pub version: i64,
}

/// The update of an account.
#[derive(Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct UpdateAccount<'a> {
    t: &'static str,
    id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    settings: Option<Versioned<Option<&'a str>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    first_name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_name: Option<Option<&'a str>>,
}

const UPDATE: &str = "update-account";

/// The profile of an account; one without a row has an empty one.
///
/// # Errors
/// The database's.
pub async fn get(reader: &mut AnyConnection, account: &str) -> Result<Profile, SyncError> {
    let query = "SELECT first_name, last_name, username FROM accounts WHERE id = $1";
    let row = sqlx::query(query)
        .bind(account)
        .fetch_optional(reader)
        .await?;
    let Some(row) = row else {
        return Ok(Profile::default());
    };
    Ok(Profile {
        first_name: row.try_get(0)?,
        last_name: row.try_get(1)?,
        username: row.try_get(2)?,
    })
}

/// Changes a profile; returns what it is then.
///
/// # Errors
/// [`SyncError::Conflict`] when another account has the username; nothing is changed then. Or the
/// database's.
pub async fn update(change: &mut Change<'_>, new: &ProfileChange) -> Result<Profile, SyncError> {
    let (account, now) = (change.account(), change.now());
    change.ensure_account().await?;
    let before = get(change.connection(), &account).await?;
    let after = Profile {
        first_name: new.first_name.clone().or(before.first_name.clone()),
        last_name: new.last_name.clone().unwrap_or(before.last_name.clone()),
        username: new.username.clone().or(before.username.clone()),
    };
    if after == before {
        return Ok(after);
    }
    let written = sqlx::query(
        "UPDATE accounts SET first_name = $1, last_name = $2, username = $3, updated_at = $4 \
         WHERE id = $5",
    )
    .bind(after.first_name.as_deref())
    .bind(after.last_name.as_deref())
    .bind(after.username.as_deref())
    .bind(now)
    .bind(&*account)
    .execute(change.connection())
    .await;
    if let Err(sqlx::Error::Database(err)) = &written
        && err.is_unique_violation()
    {
        return Err(SyncError::Conflict("username-taken"));
    }
    written?;
    let names_changed =
        after.first_name != before.first_name || after.last_name != before.last_name;
    if names_changed {
        let seq = change.next_seq().await?;
        let has_new_last_name = after.last_name != before.last_name;
        let update = UpdateAccount {
            t: UPDATE,
            id: &account,
            first_name: after
                .first_name
                .as_deref()
                .filter(|_| after.first_name != before.first_name),
            last_name: has_new_last_name.then_some(after.last_name.as_deref()),
            ..UpdateAccount::default()
        };
        change.update(seq, Filter::UserScopedOnly, &update);
    }
    Ok(after)
}

/// The preferences of an account.
///
/// # Errors
/// The database's.
pub async fn preferences(
    reader: &mut AnyConnection,
    account: &str,
) -> Result<Preferences, SyncError> {
    let query = "SELECT settings, settings_version FROM accounts WHERE id = $1";
    let row = sqlx::query(query)
        .bind(account)
        .fetch_optional(reader)
        .await?;
    let Some(row) = row else {
        return Ok(Preferences {
            settings: None,
            version: 0,
        });
    };
    Ok(Preferences {
        settings: row.try_get(0)?,
        version: row.try_get(1)?,
    })
}

/// Replaces the preferences if they have the version `expected`; returns the new version, or what
/// they are.
///
/// # Errors
/// The database's.
pub async fn write_preferences(
    change: &mut Change<'_>,
    settings: Option<&str>,
    expected: i64,
) -> Result<Result<i64, Preferences>, SyncError> {
    let (account, now) = (change.account(), change.now());
    change.ensure_account().await?;
    let written = sqlx::query(
        "UPDATE accounts SET settings = $1, settings_version = settings_version + 1, \
         updated_at = $2 WHERE id = $3 AND settings_version = $4",
    )
    .bind(settings)
    .bind(now)
    .bind(&*account)
    .bind(expected)
    .execute(change.connection())
    .await?;
    if written.rows_affected() == 0 {
        return Ok(Err(preferences(change.connection(), &account).await?));
    }
    let version = expected.saturating_add(1);
    let seq = change.next_seq().await?;
    let update = UpdateAccount {
        t: UPDATE,
        id: &account,
        settings: Some(Versioned {
            value: settings,
            version,
        }),
        ..UpdateAccount::default()
    };
    change.update(seq, Filter::UserScopedOnly, &update);
    Ok(Ok(version))
}
