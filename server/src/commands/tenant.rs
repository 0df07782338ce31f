//! `dormouse tenant create|list|suspend|activate`: tenants of the event side.

use super::database::with_database;
use super::{Failure, load};
use crate::cli::{SettingFlags, TenantCommand};
use crate::database::{DatabaseError, new_id};
use crate::events::tenants::{self, Tenant, is_tenant_id};

/// Runs the command; returns what to print.
///
/// # Errors
/// When the configuration, the database or an argument cannot be used.
pub fn run(command: &TenantCommand, flags: &SettingFlags) -> Result<String, Failure> {
    match command {
        TenantCommand::Create { id, slug, name } => {
            create(id.as_deref(), slug.as_deref(), name.as_deref(), flags)
        }
        TenantCommand::List => list(flags),
        TenantCommand::Suspend { id } => set_active(id, false, flags),
        TenantCommand::Activate { id } => set_active(id, true, flags),
    }
}

fn create(
    id: Option<&str>,
    slug: Option<&str>,
    name: Option<&str>,
    flags: &SettingFlags,
) -> Result<String, Failure> {
    let settings = load(flags)?.settings;
    let id = id.map_or_else(new_id, str::to_owned);
    let slug = slug.unwrap_or(&id).to_owned();
    for text in [&id, &slug] {
        if !is_tenant_id(text) {
            return Err(Failure::new(format!(
                "{text:?} cannot be used: ids and slugs are 1 to 64 letters, digits, _ and -"
            )));
        }
    }
    let tenant = Tenant {
        id: id.clone(),
        name: name.unwrap_or(&slug).to_owned(),
        is_active: true,
        is_demo: slug == tenants::DEMO_SLUG,
        slug,
    };
    let made = with_database(&settings, async move |database| {
        let making = database.write(async move |tx| {
            if tenants::by_slug(tx.connection(), &tenant.slug)
                .await?
                .is_some()
            {
                return Ok(false);
            }
            tenants::create(tx, &tenant).await
        });
        making.await.map_err(|err: DatabaseError| Failure::new(err))
    })?;
    if made {
        Ok(format!("{id}\n"))
    } else {
        Err(Failure::new(
            "there is such a tenant; `dormouse tenant list` shows it",
        ))
    }
}

fn list(flags: &SettingFlags) -> Result<String, Failure> {
    let settings = load(flags)?.settings;
    let all = with_database(&settings, async move |database| {
        let reading = database.read(async |reader| tenants::list(reader).await);
        reading
            .await
            .map_err(|err: DatabaseError| Failure::new(err))
    })?;
    let mut text = format!(
        "{:<36}  {:<20}  {:<9}  {:<4}  name\n",
        "id", "slug", "status", "demo"
    );
    for tenant in all {
        let status = if tenant.is_active {
            "ACTIVE"
        } else {
            "SUSPENDED"
        };
        let demo = if tenant.is_demo { "yes" } else { "no" };
        text.push_str(&format!(
            "{:<36}  {:<20}  {status:<9}  {demo:<4}  {}\n",
            tenant.id, tenant.slug, tenant.name
        ));
    }
    Ok(text)
}

fn set_active(id: &str, is_active: bool, flags: &SettingFlags) -> Result<String, Failure> {
    let settings = load(flags)?.settings;
    let asked = id.to_owned();
    let found = with_database(&settings, async move |database| {
        let setting =
            database.write(async move |tx| tenants::set_active(tx, &asked, is_active).await);
        setting
            .await
            .map_err(|err: DatabaseError| Failure::new(err))
    })?;
    match (found, is_active) {
        (true, true) => Ok("active\n".to_owned()),
        (true, false) => Ok("suspended\n".to_owned()),
        (false, _) => Err(Failure::new(format!("there is no tenant {id:?}"))),
    }
}
