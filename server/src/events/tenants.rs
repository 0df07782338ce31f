//! Tenants: whose events, calls and reports are kept apart.

use sqlx::Row as _;

use crate::database::{DatabaseError, Reader, Tx};

/// The slug of the tenant that shows the product.
pub const DEMO_SLUG: &str = "demo";
/// Longest id and longest slug, bytes.
const MAX_ID: usize = 64;

/// Whether a text may be a tenant's id or slug: 1 to 64 of letters, digits, `-` and `_`, such as a
/// UUID.
pub fn is_tenant_id(id: &str) -> bool {
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    (1..=MAX_ID).contains(&id.len()) && id.bytes().all(is_allowed)
}

/// A tenant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tenant {
    /// The id.
    pub id: String,
    /// A short name for addresses; the id where none was given.
    pub slug: String,
    /// A name for people.
    pub name: String,
    /// Whether its keys are taken.
    pub is_active: bool,
    /// Whether other tenants may read its reports.
    pub is_demo: bool,
}

/// Makes a tenant unless there is one of this id; whether it was made.
///
/// # Errors
/// Those of the database; among them a slug that another tenant has.
pub async fn create(tx: &mut Tx, tenant: &Tenant) -> Result<bool, DatabaseError> {
    let now = tx.now();
    let done = sqlx::query(
        "INSERT INTO tenants (id, slug, name, status, is_demo, created_at, updated_at) \
         VALUES ($1, $2, $3, $4, $5, $6, $6) ON CONFLICT (id) DO NOTHING",
    )
    .bind(tenant.id.clone())
    .bind(tenant.slug.clone())
    .bind(tenant.name.clone())
    .bind(status(tenant.is_active))
    .bind(i64::from(tenant.is_demo))
    .bind(now)
    .execute(tx.connection())
    .await?;
    Ok(done.rows_affected() > 0)
}

/// Makes a tenant of which only the id is known, unless there is one.
///
/// # Errors
/// Those of the database.
pub async fn ensure(tx: &mut Tx, id: &str) -> Result<(), DatabaseError> {
    let tenant = Tenant {
        id: id.to_owned(),
        slug: id.to_owned(),
        name: id.to_owned(),
        is_active: true,
        is_demo: false,
    };
    create(tx, &tenant).await.map(drop)
}

/// Suspends a tenant or takes that back; whether there is one.
///
/// # Errors
/// Those of the database.
pub async fn set_active(tx: &mut Tx, id: &str, is_active: bool) -> Result<bool, DatabaseError> {
    let now = tx.now();
    let done = sqlx::query("UPDATE tenants SET status = $1, updated_at = $2 WHERE id = $3")
        .bind(status(is_active))
        .bind(now)
        .bind(id.to_owned())
        .execute(tx.connection())
        .await?;
    Ok(done.rows_affected() > 0)
}

/// Opens a tenant's reports to other tenants, or closes them.
///
/// # Errors
/// Those of the database.
pub async fn set_demo(tx: &mut Tx, id: &str, is_demo: bool) -> Result<(), DatabaseError> {
    let now = tx.now();
    sqlx::query("UPDATE tenants SET is_demo = $1, updated_at = $2 WHERE id = $3")
        .bind(i64::from(is_demo))
        .bind(now)
        .bind(id.to_owned())
        .execute(tx.connection())
        .await?;
    Ok(())
}

/// All tenants, by id.
///
/// # Errors
/// Those of the database.
pub async fn list(reader: &mut Reader) -> Result<Vec<Tenant>, DatabaseError> {
    let rows = sqlx::query("SELECT id, slug, name, status, is_demo FROM tenants ORDER BY id")
        .fetch_all(reader)
        .await?;
    rows.iter().map(read).collect()
}

/// The tenant of this id.
///
/// # Errors
/// Those of the database.
pub async fn by_id(reader: &mut Reader, id: &str) -> Result<Option<Tenant>, DatabaseError> {
    let row = sqlx::query("SELECT id, slug, name, status, is_demo FROM tenants WHERE id = $1")
        .bind(id.to_owned())
        .fetch_optional(reader)
        .await?;
    row.as_ref().map(read).transpose()
}

/// The tenant of this slug.
///
/// # Errors
/// Those of the database.
pub async fn by_slug(reader: &mut Reader, slug: &str) -> Result<Option<Tenant>, DatabaseError> {
    let row = sqlx::query("SELECT id, slug, name, status, is_demo FROM tenants WHERE slug = $1")
        .bind(slug.to_owned())
        .fetch_optional(reader)
        .await?;
    row.as_ref().map(read).transpose()
}

fn read(row: &sqlx::any::AnyRow) -> Result<Tenant, DatabaseError> {
    Ok(Tenant {
        id: row.try_get(0)?,
        slug: row.try_get(1)?,
        name: row.try_get(2)?,
        is_active: row.try_get::<String, _>(3)? == status(true),
        is_demo: row.try_get::<i64, _>(4)? != 0,
    })
}

const fn status(is_active: bool) -> &'static str {
    if is_active { "ACTIVE" } else { "SUSPENDED" }
}
