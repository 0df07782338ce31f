//! `dormouse apikey create|list|revoke`: keys of tenants, in the database.
//!
//! A running server takes a new key at once, and closes the connections of a revoked one within
//! seconds.

use super::database::with_database;
use super::{Failure, load};
use crate::cli::{ApiKeyCommand, NewApiKey, SettingFlags};
use crate::clock::{iso, unix_ms};
use crate::database::DatabaseError;
use crate::events::keys::{self, MAX_NAME_CHARS, NewKey};
use crate::events::tenants::is_tenant_id;

/// Runs the command; returns what to print.
///
/// # Errors
/// When the configuration, the database or an argument cannot be used.
pub fn run(command: &ApiKeyCommand, flags: &SettingFlags) -> Result<String, Failure> {
    match command {
        ApiKeyCommand::Create(new) => create(new, flags),
        ApiKeyCommand::List => list(flags),
        ApiKeyCommand::Revoke { key } => revoke(key, flags),
    }
}

fn create(new: &NewApiKey, flags: &SettingFlags) -> Result<String, Failure> {
    let settings = load(flags)?.settings;
    let tenant = new
        .tenant
        .clone()
        .unwrap_or(settings.events.default_tenant.clone());
    if !is_tenant_id(&tenant) {
        return Err(Failure::new(format!(
            "{tenant:?} is no tenant's id: use 1 to 64 letters, digits, _ and -, such as a UUID"
        )));
    }
    for text in new.scopes.iter().chain(&new.name) {
        if text.is_empty() || text.chars().nth(MAX_NAME_CHARS).is_some() || text.contains('\0') {
            return Err(Failure::new(format!(
                "names and scopes have 1 to {MAX_NAME_CHARS} characters, and {text:?} has not"
            )));
        }
    }
    let expires_at = new.ttl.map(|ttl| {
        let ttl = u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX);
        i64::try_from(unix_ms().saturating_add(ttl)).unwrap_or(i64::MAX)
    });
    let key = NewKey {
        tenant,
        name: new.name.clone().unwrap_or_else(|| "unnamed".to_owned()),
        scopes: new.scopes.clone(),
        rate_limit: new.rate_limit,
        expires_at,
    };
    let made = with_database(&settings, async move |database| {
        let making = database.write(async move |tx| keys::create(tx, &key).await);
        making.await.map_err(|err: DatabaseError| Failure::new(err))
    })?;
    // Alone on its line, so that scripts can take it.
    Ok(format!("{made}\n"))
}

fn list(flags: &SettingFlags) -> Result<String, Failure> {
    let settings = load(flags)?.settings;
    let now = i64::try_from(unix_ms()).unwrap_or(i64::MAX);
    let all = with_database(&settings, async move |database| {
        let reading = database.read(async move |reader| keys::list(reader, now, i64::MAX).await);
        reading
            .await
            .map_err(|err: DatabaseError| Failure::new(err))
    })?;
    let time = |at: Option<i64>| match at.and_then(|at| u64::try_from(at).ok()) {
        Some(at) => iso(at),
        None => "-".to_owned(),
    };
    let mut text = format!(
        "{:<32}  {:<8}  {:<7}  {:<36}  {:<24}  {:<24}  name\n",
        "id", "prefix", "status", "tenant", "expires", "last used"
    );
    for key in all {
        text.push_str(&format!(
            "{:<32}  {:<8}  {:<7}  {:<36}  {:<24}  {:<24}  {}\n",
            key.id,
            key.prefix,
            key.status,
            key.tenant,
            time(key.expires_at),
            time(key.last_used_at),
            key.name,
        ));
    }
    Ok(text)
}

fn revoke(key: &str, flags: &SettingFlags) -> Result<String, Failure> {
    let settings = load(flags)?.settings;
    let asked = key.to_owned();
    let found = with_database(&settings, async move |database| {
        let revoking = database.write(async move |tx| keys::revoke(tx, &asked).await);
        revoking
            .await
            .map_err(|err: DatabaseError| Failure::new(err))
    })?;
    match found {
        1 => Ok("revoked\n".to_owned()),
        0 => Err(Failure::new(format!(
            "no active key has the id or prefix {key:?}; `dormouse apikey list` shows them"
        ))),
        count => Err(Failure::new(format!(
            "{count} active keys begin with {key:?}; name one by its id"
        ))),
    }
}
