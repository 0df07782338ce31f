//! What operators see and do: list, approve, block and delete accounts.

use serde::{Deserialize, Serialize};
use sqlx::{AnyConnection, Row as _};
use utoipa::ToSchema;

use super::error::AccountError;
use super::revoked_tokens::next_version;
use super::{PublicKey, is_storable};
use crate::auth::identity::check_user_id;
use crate::database::{Database, Tx};

/// Whether an account is let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// Waits for an operator.
    Pending,
    /// Let in.
    Active,
    /// Refused.
    Blocked,
    /// Refused, and being deleted.
    Deleting,
}

impl Status {
    /// The words, as they are stored and asked for.
    pub const ALL: [Self; 4] = [Self::Pending, Self::Active, Self::Blocked, Self::Deleting];

    /// The word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Active => "active",
            Self::Blocked => "blocked",
            Self::Deleting => "deleting",
        }
    }

    /// The status of this word.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.as_str() == word)
    }

    /// As it is stored; what is not known is refused.
    pub(super) fn read(word: &str) -> Self {
        Self::parse(word).unwrap_or(Self::Blocked)
    }

    /// Whether its tokens are refused. One that is pending has none.
    #[must_use]
    pub const fn is_refused(self) -> bool {
        matches!(self, Self::Blocked | Self::Deleting)
    }
}

/// An account as operators see it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Account {
    /// The account id: the subject of its tokens.
    pub id: String,
    /// The key that it signs in with, in hex; null where tokens come from elsewhere.
    pub public_key: Option<String>,
    /// The name that its owner has chosen.
    pub username: Option<String>,
    /// Whether it is let in.
    pub status: Status,
    /// When it was made, Unix milliseconds.
    pub created_at: i64,
    /// When its key last signed in, Unix milliseconds, exact to the hour.
    pub signed_in_at: Option<i64>,
}

const COLUMNS: &str = "SELECT id, public_key, username, status, created_at, signed_in_at \
                       FROM accounts";

fn account(row: &sqlx::any::AnyRow) -> Result<Account, AccountError> {
    Ok(Account {
        id: row.try_get(0)?,
        public_key: row.try_get(1)?,
        username: row.try_get(2)?,
        status: Status::read(row.try_get(3)?),
        created_at: row.try_get(4)?,
        signed_in_at: row.try_get(5)?,
    })
}

/// Which accounts to list.
#[derive(Clone, Debug, Default)]
pub struct AccountQuery {
    /// Only those of this status.
    pub status: Option<Status>,
    /// Only those whose id, public key or username contains this; case does not matter. It has no
    /// U+0000.
    pub search: Option<String>,
    /// Only those behind this id.
    pub after: String,
    /// At most so many.
    pub limit: i64,
}

/// Accounts by id, which is the order of their making for those that the server has named.
///
/// # Errors
/// When they cannot be read.
pub async fn list(database: &Database, asked: AccountQuery) -> Result<Vec<Account>, AccountError> {
    let mut text = format!("{COLUMNS} WHERE id > $1");
    let mut places = 2..;
    let mut place = || places.next().unwrap_or_default();
    if asked.status.is_some() {
        text.push_str(&format!(" AND status = ${}", place()));
    }
    if asked.search.is_some() {
        let at = place();
        let like = |column: &str| format!("lower({column}) LIKE ${at} ESCAPE '\\'");
        let columns = ["id", "public_key", "username"].map(like).join(" OR ");
        text.push_str(&format!(" AND ({columns})"));
    }
    text.push_str(&format!(" ORDER BY id LIMIT ${}", place()));
    let read = database.read(async move |reader| {
        // Made of constants.
        let mut query = sqlx::query(sqlx::AssertSqlSafe(text)).bind(asked.after);
        if let Some(status) = asked.status {
            query = query.bind(status.as_str());
        }
        if let Some(search) = &asked.search {
            query = query.bind(containing(search));
        }
        let rows = query.bind(asked.limit).fetch_all(reader).await?;
        rows.iter().map(account).collect::<Result<Vec<_>, _>>()
    });
    read.await
}

/// A pattern of LIKE for what contains this text, in lower case.
fn containing(text: &str) -> String {
    let mut pattern = "%".to_owned();
    for character in text.to_lowercase().chars() {
        if matches!(character, '%' | '_' | '\\') {
            pattern.push('\\');
        }
        pattern.push(character);
    }
    pattern + "%"
}

/// The account of this id.
///
/// # Errors
/// When it cannot be read.
pub async fn get(database: &Database, id: String) -> Result<Option<Account>, AccountError> {
    if !is_storable(&id) {
        return Ok(None);
    }
    let read = database.read(async move |reader| load(reader, &id).await);
    read.await
}

async fn load(reader: &mut AnyConnection, id: &str) -> Result<Option<Account>, AccountError> {
    let query = format!("{COLUMNS} WHERE id = $1");
    let row = sqlx::query(sqlx::AssertSqlSafe(query))
        .bind(id)
        .fetch_optional(reader)
        .await?;
    row.as_ref().map(account).transpose()
}

/// Finds an account by its id or by its public key, in hex or base64.
async fn find(tx: &mut Tx, name: &str) -> Result<Option<Account>, AccountError> {
    if !is_storable(name) {
        return Ok(None);
    }
    if let Some(found) = load(tx.connection(), name).await? {
        return Ok(Some(found));
    }
    let Some(key) = PublicKey::read(name) else {
        return Ok(None);
    };
    let query = format!("{COLUMNS} WHERE public_key = $1");
    let row = sqlx::query(sqlx::AssertSqlSafe(query))
        .bind(key.to_hex())
        .fetch_optional(tx.connection())
        .await?;
    row.as_ref().map(account).transpose()
}

/// Lets an account in: one that waits, one that was blocked, or the id of one that was deleted,
/// whose tokens are good again. `name` is its id or its public key.
///
/// # Errors
/// [`AccountError::NotFound`], [`AccountError::BeingDeleted`], or those of the database.
pub async fn approve(database: &Database, name: String) -> Result<Account, AccountError> {
    let write = database.write(async move |tx| {
        let mut account = match find(tx, &name).await? {
            Some(account) => account,
            None if check_user_id(&name).is_err() => {
                return Err(AccountError::NotFound("account of this id or key"));
            }
            None => {
                let forget = sqlx::query("DELETE FROM deleted_accounts WHERE id = $1").bind(&name);
                if forget.execute(tx.connection()).await?.rows_affected() == 0 {
                    return Err(AccountError::NotFound("account of this id or key"));
                }
                insert(tx, &name).await?
            }
        };
        match account.status {
            Status::Deleting => return Err(AccountError::BeingDeleted),
            Status::Active | Status::Pending | Status::Blocked => {
                set_status(tx, &mut account, Status::Active).await?;
            }
        }
        Ok(account)
    });
    write.await
}

/// Refuses an account: its tokens, and its key. `name` is its id or its public key; the id of a user
/// whose tokens come from elsewhere need not be known yet. Who blocks on a running server closes the
/// account's connections too ([`super::Access::refuse`]).
///
/// # Errors
/// [`AccountError::NotFound`] for what no user can be called, or those of the database.
pub async fn block(database: &Database, name: String) -> Result<Account, AccountError> {
    let write = database.write(async move |tx| {
        let mut account = match find(tx, &name).await? {
            Some(account) => account,
            None if check_user_id(&name).is_ok() => insert(tx, &name).await?,
            None => return Err(AccountError::NotFound("account of this id or key")),
        };
        if account.status != Status::Deleting {
            set_status(tx, &mut account, Status::Blocked).await?;
        }
        Ok(account)
    });
    write.await
}

/// Refuses an account and marks it to be deleted; [`super::removal::remove`] does the rest.
///
/// # Errors
/// [`AccountError::NotFound`], or those of the database.
pub async fn begin_deletion(database: &Database, name: String) -> Result<Account, AccountError> {
    let write = database.write(async move |tx| {
        let found = find(tx, &name).await?;
        let mut account = found.ok_or(AccountError::NotFound("account of this id or key"))?;
        set_status(tx, &mut account, Status::Deleting).await?;
        Ok(account)
    });
    write.await
}

async fn insert(tx: &mut Tx, id: &str) -> Result<Account, AccountError> {
    let now = tx.now();
    let insert = "INSERT INTO accounts (id, created_at, updated_at) VALUES ($1, $2, $2)";
    let insert = sqlx::query(insert).bind(id).bind(now);
    insert.execute(tx.connection()).await?;
    Ok(Account {
        id: id.to_owned(),
        public_key: None,
        username: None,
        status: Status::Active,
        created_at: now,
        signed_in_at: None,
    })
}

async fn set_status(
    tx: &mut Tx,
    account: &mut Account,
    status: Status,
) -> Result<(), AccountError> {
    let version = next_version(tx).await?;
    sqlx::query("UPDATE accounts SET status = $1, access_version = $2 WHERE id = $3")
        .bind(status.as_str())
        .bind(version)
        .bind(&account.id)
        .execute(tx.connection())
        .await?;
    account.status = status;
    Ok(())
}
