//! `/admin/v1/api-keys`: the keys by which tenants publish and subscribe to call events.

use actix_web::http::header;
use actix_web::{HttpResponse, web};
use dormouse_protocol::ErrorBody;
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::ToSchema;

use super::audit::{ended, on_record};
use crate::app_state::AppState;
use crate::audit::AuditAction;
use crate::clock::unix_ms;
use crate::database::DatabaseError;
use crate::events::keys::{self, MAX_NAME_CHARS, NewKey, StoredKey};
use crate::events::tenants::is_tenant_id;
use crate::http::auth::Done;
use crate::http::credentials::AdminIdentity;
use crate::http::errors::ApiError;
use crate::http::events::database_error;
use crate::http::json_body::JsonBody;

/// Most keys of an answer.
const MOST: i64 = 1000;
/// Longest life of a key that has an end, seconds: ten years.
const MAX_LIFETIME_S: u64 = 3650 * 24 * 3600;

/// A key to make.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ApiKeyRequest {
    /// Whose it is: 1 to 64 letters, digits, `_` and `-`. Made if there is no such tenant.
    #[schema(pattern = "^[A-Za-z0-9_-]{1,64}$")]
    tenant: String,
    /// A name for people.
    #[serde(default)]
    #[schema(min_length = 1, max_length = 128)]
    name: Option<String>,
    /// Seconds for which it is good; for ever if absent.
    #[serde(default)]
    #[schema(minimum = 1, maximum = 315_360_000)]
    expires_in: Option<u64>,
}

/// A new key. It has no `Debug`, so that no key is logged.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct NewApiKey {
    /// The key; it is not shown again.
    key: String,
    /// Its first characters, by which it is told from others.
    prefix: String,
    /// Whose it is.
    tenant: String,
    /// When it ends, Unix milliseconds; null for never.
    expires_at: Option<i64>,
}

/// Keys that are stored, without the keys themselves.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ApiKeyList {
    /// By tenant and age.
    keys: Vec<StoredKey>,
    /// Whether there are more than are shown.
    has_more: bool,
}

/// Lists keys.
#[utoipa::path(
    get, path = "/admin/v1/api-keys", operation_id = "list_api_keys", tag = "admin",
    security(("adminToken" = [])),
    responses(
        (status = 200, description = "At most 1000, by tenant and age", body = ApiKeyList),
        (status = 401, description = "No token, or a bad one", body = ErrorBody),
        (status = 403, description = "A user's token", body = ErrorBody),
        (status = 503, description = "The database is not available", body = ErrorBody),
    )
)]
pub async fn list(
    _: AdminIdentity,
    state: web::Data<AppState>,
) -> Result<web::Json<ApiKeyList>, ApiError> {
    let now = i64::try_from(unix_ms()).unwrap_or(i64::MAX);
    let reading = state.database.read(async move |reader| {
        // One more than is shown says whether there are more.
        keys::list(reader, now, MOST + 1).await
    });
    let mut keys = reading
        .await
        .map_err(|err: DatabaseError| database_error(&err))?;
    let most = usize::try_from(MOST).unwrap_or(usize::MAX);
    let has_more = keys.len() > most;
    keys.truncate(most);
    Ok(web::Json(ApiKeyList { keys, has_more }))
}

/// Makes a key.
#[utoipa::path(
    post, path = "/admin/v1/api-keys", operation_id = "create_api_key", tag = "admin",
    security(("adminToken" = [])),
    request_body = ApiKeyRequest,
    responses(
        (status = 200, description = "The key, which is not shown again", body = NewApiKey),
        (status = 400, description = "Not such a body", body = ErrorBody),
        (status = 401, description = "No token, or a bad one", body = ErrorBody),
        (status = 403, description = "A user's token", body = ErrorBody),
        (status = 413, description = "The body is too large", body = ErrorBody),
        (status = 503, description = "The database is not available", body = ErrorBody),
    )
)]
pub async fn create(
    admin: AdminIdentity,
    state: web::Data<AppState>,
    body: JsonBody,
) -> Result<HttpResponse, ApiError> {
    let asked: ApiKeyRequest = body.read()?;
    if !is_tenant_id(&asked.tenant) {
        let text = "tenant must be 1 to 64 letters, digits, _ and -, such as a UUID";
        return Err(ApiError::validation(text));
    }
    let name = asked.name.filter(|name| !name.is_empty());
    let is_too_long = |name: &String| name.chars().nth(MAX_NAME_CHARS).is_some();
    if name
        .as_ref()
        .is_some_and(|name| is_too_long(name) || name.contains('\0'))
    {
        let text = format!("name has at most {MAX_NAME_CHARS} characters, and no U+0000");
        return Err(ApiError::validation(text));
    }
    if asked
        .expires_in
        .is_some_and(|seconds| !(1..=MAX_LIFETIME_S).contains(&seconds))
    {
        let text = format!("expiresIn must be 1 to {MAX_LIFETIME_S} seconds");
        return Err(ApiError::validation(text));
    }
    let expires_at = asked.expires_in.map(|seconds| {
        let end = unix_ms().saturating_add(seconds.saturating_mul(1000));
        i64::try_from(end).unwrap_or(i64::MAX)
    });
    let action = AuditAction::CreateApiKey;
    let detail = json!({"name": name, "expiresIn": asked.expires_in});
    let entry = on_record(&state, &admin, action, &*asked.tenant, detail).await?;
    let new = NewKey {
        tenant: asked.tenant.clone(),
        name: name.unwrap_or_else(|| "unnamed".to_owned()),
        scopes: Vec::new(),
        rate_limit: None,
        expires_at,
    };
    let writing = state
        .database
        .write(async move |tx| keys::create(tx, &new).await);
    let made = writing
        .await
        .map_err(|err: DatabaseError| database_error(&err));
    // The key is a secret; its first characters are not.
    let key = ended(
        entry,
        made,
        |key: &String| json!({"prefix": keys::prefix(key)}),
    )
    .await?;
    let prefix = keys::prefix(&key);
    tracing::info!(admin = %admin.0.user, tenant = asked.tenant, prefix, "an admin made a key");
    Ok(HttpResponse::Ok()
        .insert_header((header::CACHE_CONTROL, "no-store"))
        .json(NewApiKey {
            key,
            prefix,
            tenant: asked.tenant,
            expires_at,
        }))
}

/// Revokes a key. Its connections are closed within seconds.
#[utoipa::path(
    delete, path = "/admin/v1/api-keys/{id}", operation_id = "revoke_api_key", tag = "admin",
    security(("adminToken" = [])),
    params(("id" = String, Path, description = "The key's id")),
    responses(
        (status = 200, description = "It is refused from now on", body = Done),
        (status = 401, description = "No token, or a bad one", body = ErrorBody),
        (status = 403, description = "A user's token", body = ErrorBody),
        (status = 404, description = "No active key of this id", body = ErrorBody),
        (status = 503, description = "The database is not available", body = ErrorBody),
    )
)]
pub async fn revoke(
    admin: AdminIdentity,
    state: web::Data<AppState>,
    path: web::Path<String>,
) -> Result<web::Json<Done>, ApiError> {
    let id = path.into_inner();
    let action = AuditAction::RevokeApiKey;
    let entry = on_record(&state, &admin, action, &*id, json!({})).await?;
    let revoking = async {
        // PostgreSQL takes no such text.
        if id.contains('\0') {
            return Ok(0);
        }
        let asked = id.clone();
        let writing = state
            .database
            .write(async move |tx| keys::revoke(tx, &asked).await);
        writing
            .await
            .map_err(|err: DatabaseError| database_error(&err))
    };
    let revoked = revoking.await.and_then(|found| match found {
        1 => Ok(()),
        _ => Err(ApiError::not_found("there is no active key of this id")),
    });
    ended(entry, revoked, |()| json!({})).await?;
    tracing::info!(admin = %admin.0.user, key = id, "an admin revoked a key");
    Ok(web::Json(Done::YES))
}
