//! `dormouse tenant create|list|suspend|activate|seed`: tenants of the event side.

use super::database::with_database;
use super::{Failure, load};
use crate::cli::{SeedFlags, SettingFlags, TenantCommand};
use crate::clock::unix_ms;
use crate::database::{DatabaseError, new_id};
use crate::events::made_up_calls::MadeUpCalls;
use crate::events::rollup::DAY;
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
        TenantCommand::Seed(seed) => make_up(seed, flags),
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

fn make_up(seed: &SeedFlags, flags: &SettingFlags) -> Result<String, Failure> {
    let settings = load(flags)?.settings;
    let id = seed.id.as_ref().unwrap_or(&settings.events.default_tenant);
    if !is_tenant_id(id) {
        return Err(Failure::new(format!(
            "{id:?} cannot be used: ids are 1 to 64 letters, digits, _ and -"
        )));
    }
    let is_production = settings.is_production();
    let to = i64::try_from(unix_ms()).unwrap_or(i64::MAX);
    let calls = MadeUpCalls {
        tenant: id.as_str().into(),
        records: seed.records,
        from: to - i64::from(seed.days) * DAY,
        to,
        campaigns: seed.campaigns,
    };
    let began = std::time::Instant::now();
    with_database(&settings, async move |database| {
        let id = calls.tenant.clone();
        let preparing = database.write(async move |tx| {
            let known = tenants::by_id(tx.connection(), &id).await?;
            if is_production && !known.is_some_and(|tenant| tenant.is_demo) {
                return Ok(false);
            }
            tenants::ensure(tx, &id).await.map(|()| true)
        });
        let is_allowed = preparing
            .await
            .map_err(|err: DatabaseError| Failure::new(err))?;
        if !is_allowed {
            return Err(Failure::new(
                "in production only the demo tenant takes made-up records: make one with \
                 `dormouse tenant create --slug demo`",
            ));
        }
        calls.store(database).await.map_err(Failure::new)
    })?;
    Ok(format!(
        "{} records of {} days in {:.1} s\n",
        seed.records,
        seed.days,
        began.elapsed().as_secs_f64()
    ))
}
