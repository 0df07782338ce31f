//! The key-value store (REST contract, section 9).

use actix_web::http::StatusCode;
use actix_web::{HttpRequest, web};
use dormouse_protocol::ErrorBody;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::credentials::UserIdentity;
use super::endpoint::Endpoint;
use super::errors::ApiError;
use super::json_body::{JsonBody, Object};
use super::query::Query;
use crate::app_state::AppState;
use crate::sync::kv::{self, Mutation, Outcome};
use crate::sync::{Change, SyncError, binary, limits};

/// Most characters of a key, and of a value in base64.
const KEY_CHARS: usize = 256;
const VALUE_CHARS: usize = 65_536;
/// Most keys of one request.
const MOST_KEYS: usize = 100;
/// How often a batch is tried that another server's write came between.
const TRIES: usize = 3;

/// The routes.
pub fn endpoints() -> Vec<Endpoint> {
    vec![
        Endpoint::at("/v1/kv").get(list).post(mutate),
        Endpoint::at("/v1/kv/bulk").post(bulk).get(get_bulk),
        Endpoint::at("/v1/kv/{key}").get(get),
    ]
}

/// A key with its value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct KvItem {
    /// The key.
    key: String,
    /// The value in base64.
    value: String,
    /// Its version, from 1.
    version: i64,
}

/// Items by key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct KvList {
    /// In the order of their keys.
    items: Vec<KvItem>,
}

/// Keys to look up.
#[derive(Clone, Debug, Deserialize, ToSchema)]
pub struct KvBulkRequest {
    /// 1 to 100 keys.
    #[schema(min_items = 1, max_items = 100)]
    keys: Vec<String>,
}

/// Those that exist.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct KvBulkAnswer {
    /// In the order asked for.
    values: Vec<KvItem>,
}

/// Writes to keys: all or none.
#[derive(Clone, Debug, Deserialize, ToSchema)]
pub struct KvMutateRequest {
    /// 1 to 100 writes, each to another key.
    #[schema(value_type = Vec<KvMutation>, min_items = 1, max_items = 100)]
    mutations: Vec<Object<KvMutation>>,
}

/// A write to a key.
#[derive(Clone, Debug, Deserialize, ToSchema)]
pub struct KvMutation {
    /// The key, 1 to 256 characters.
    #[schema(min_length = 1, max_length = 256)]
    key: String,
    /// The value in base64, at most 65536 characters; null deletes.
    #[serde(default)]
    #[schema(max_length = 65_536)]
    value: Option<String>,
    /// The version that is stored: 0 for a key that was never written; -1 for one that is absent or
    /// deleted.
    #[schema(minimum = -1)]
    version: i64,
}

/// The new version of a key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct KvVersion {
    /// The key.
    key: String,
    /// Its version now; 0 for one that was never written and was to be deleted.
    version: i64,
}

/// That a batch is stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct KvMutateAnswer {
    /// Always true.
    #[schema(example = true)]
    success: bool,
    /// In the order of the request.
    results: Vec<KvVersion>,
}

fn key(key: &str) -> Result<&str, ApiError> {
    Ok(limits::filled("key", key, KEY_CHARS)?)
}

fn item(item: kv::Item) -> KvItem {
    KvItem {
        key: item.key,
        value: binary::encode(&item.value.unwrap_or_default()),
        version: item.version,
    }
}

/// The value of a key.
#[utoipa::path(
    get, path = "/v1/kv/{key}", operation_id = "kv_get", tag = "kv", security(("userToken" = [])),
    params(("key" = String, Path, description = "The key, percent-encoded")),
    responses(
        (status = 200, description = "The key with its value", body = KvItem),
        (status = 400, description = "No key can be like this", body = ErrorBody),
        (status = 401, description = "No token, or a bad one", body = ErrorBody),
        (status = 404, description = "No such key, or it is deleted", body = ErrorBody),
        (status = 503, description = "The database is not available", body = ErrorBody),
    )
)]
pub async fn get(
    user: UserIdentity,
    state: web::Data<AppState>,
    path: web::Path<String>,
) -> Result<web::Json<KvItem>, ApiError> {
    let name = path.into_inner();
    key(&name)?;
    let account = user.0.user;
    let read = state
        .database
        .read(async move |reader| kv::get(reader, &account, &[&name]).await);
    let found = read.await?.into_iter().next();
    let found = found.ok_or_else(|| ApiError::not_found("there is no such key"))?;
    Ok(web::Json(item(found)))
}

/// The value of the key `bulk`, which is a key like others.
#[utoipa::path(
    get, path = "/v1/kv/bulk", operation_id = "kv_get_bulk", tag = "kv", security(("userToken" = [])),
    responses(
        (status = 200, description = "The key with its value", body = KvItem),
        (status = 401, description = "No token, or a bad one", body = ErrorBody),
        (status = 404, description = "No such key, or it is deleted", body = ErrorBody),
        (status = 503, description = "The database is not available", body = ErrorBody),
    )
)]
pub async fn get_bulk(
    user: UserIdentity,
    state: web::Data<AppState>,
) -> Result<web::Json<KvItem>, ApiError> {
    get(user, state, web::Path::from("bulk".to_owned())).await
}

/// Items by the beginning of their key.
#[utoipa::path(
    get, path = "/v1/kv", operation_id = "kv_list", tag = "kv", security(("userToken" = [])),
    params(
        ("prefix" = Option<String>, Query, description = "What keys begin with, taken literally"),
        ("limit" = Option<u64>, Query, description = "1 to 1000; 100 if absent", minimum = 1,
         maximum = 1000),
    ),
    responses(
        (status = 200, description = "Items in the order of their keys", body = KvList),
        (status = 400, description = "A parameter that cannot be used", body = ErrorBody),
        (status = 401, description = "No token, or a bad one", body = ErrorBody),
        (status = 503, description = "The database is not available", body = ErrorBody),
    )
)]
pub async fn list(
    user: UserIdentity,
    state: web::Data<AppState>,
    request: HttpRequest,
) -> Result<web::Json<KvList>, ApiError> {
    let query = Query::new(request.query_string());
    let prefix = query.text("prefix")?.unwrap_or_default();
    let prefix = limits::text("prefix", prefix, KEY_CHARS)?.to_owned();
    let limit = query.number("limit", 1..=1000)?.unwrap_or(100);
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let account = user.0.user;
    let read = state
        .database
        .read(async move |reader| kv::list(reader, &account, &prefix, limit).await);
    Ok(web::Json(KvList {
        items: read.await?.into_iter().map(item).collect(),
    }))
}

/// The values of many keys.
#[utoipa::path(
    post, path = "/v1/kv/bulk", operation_id = "kv_get_many", tag = "kv", security(("userToken" = [])),
    request_body = KvBulkRequest,
    responses(
        (status = 200, description = "Those that exist", body = KvBulkAnswer),
        (status = 400, description = "Not such a body", body = ErrorBody),
        (status = 401, description = "No token, or a bad one", body = ErrorBody),
        (status = 413, description = "The body is too large", body = ErrorBody),
        (status = 503, description = "The database is not available", body = ErrorBody),
    )
)]
pub async fn bulk(
    user: UserIdentity,
    state: web::Data<AppState>,
    body: JsonBody,
) -> Result<web::Json<KvBulkAnswer>, ApiError> {
    let asked: KvBulkRequest = body.read()?;
    count("keys", asked.keys.len())?;
    for name in &asked.keys {
        key(name)?;
    }
    let account = user.0.user;
    let read = state.database.read(async move |reader| {
        let keys: Vec<&str> = asked.keys.iter().map(String::as_str).collect();
        kv::get(reader, &account, &keys).await
    });
    Ok(web::Json(KvBulkAnswer {
        values: read.await?.into_iter().map(item).collect(),
    }))
}

/// Writes keys: all of them, or none if one does not have the version that is expected of it.
#[utoipa::path(
    post, path = "/v1/kv", operation_id = "kv_mutate", tag = "kv", security(("userToken" = [])),
    request_body = KvMutateRequest,
    responses(
        (status = 200, description = "All is stored", body = KvMutateAnswer),
        (status = 400, description = "Not such a body, or a key is in it twice", body = ErrorBody),
        (status = 401, description = "No token, or a bad one", body = ErrorBody),
        (status = 409, description = "Nothing is stored; `errors` has `key`, `error`, `version` and \
         `value` of each key that has another version", body = ErrorBody),
        (status = 413, description = "The body is too large", body = ErrorBody),
        (status = 503, description = "The database is not available", body = ErrorBody),
    )
)]
pub async fn mutate(
    user: UserIdentity,
    state: web::Data<AppState>,
    body: JsonBody,
) -> Result<web::Json<KvMutateAnswer>, ApiError> {
    let asked: KvMutateRequest = body.read()?;
    count("mutations", asked.mutations.len())?;
    let mut mutations = Vec::with_capacity(asked.mutations.len());
    let mut seen = std::collections::HashSet::new();
    for Object(write) in asked.mutations {
        key(&write.key)?;
        if !seen.insert(write.key.clone()) {
            return Err(ApiError::validation("each key must be in a batch once"));
        }
        if write.version < -1 || write.version == i64::MAX {
            return Err(ApiError::validation("version must be -1 or more"));
        }
        let value = match write.value {
            None => None,
            Some(text) => {
                limits::text("value", &text, VALUE_CHARS)?;
                Some(binary::decode("value", &text)?)
            }
        };
        mutations.push(Mutation {
            key: write.key,
            value,
            version: write.version,
        });
    }
    match apply(&state, &user, mutations).await? {
        Outcome::Applied(versions) => Ok(web::Json(KvMutateAnswer {
            success: true,
            results: versions
                .into_iter()
                .map(|(key, version)| KvVersion { key, version })
                .collect(),
        })),
        Outcome::Mismatch(mismatches) => {
            let errors = mismatches.iter().map(|mismatch| {
                serde_json::json!({
                    "key": mismatch.key,
                    "error": "version-mismatch",
                    "version": mismatch.version,
                    "value": mismatch.value.as_deref().map(binary::encode),
                })
            });
            let errors: Vec<_> = errors.collect();
            Err(ApiError::new(StatusCode::CONFLICT, "version-mismatch")
                .field("success", false)
                .field("errors", errors))
        }
    }
}

async fn apply(
    state: &AppState,
    user: &UserIdentity,
    mutations: Vec<Mutation>,
) -> Result<Outcome, SyncError> {
    let mutations = std::sync::Arc::new(mutations);
    let mut tries = 1;
    loop {
        let (account, mutations) = (user.0.user.clone(), mutations.clone());
        let write = state.database.write(async move |tx| {
            let mut change = Change::new(tx, account);
            let outcome = kv::mutate(&mut change, &mutations).await?;
            change.finish(None);
            Ok::<_, SyncError>(outcome)
        });
        match write.await {
            Err(SyncError::Conflict(_)) if tries < TRIES => tries += 1,
            result => return result,
        }
    }
}

fn count(name: &str, count: usize) -> Result<(), ApiError> {
    if (1..=MOST_KEYS).contains(&count) {
        Ok(())
    } else {
        let text = format!("{name} must have 1 to {MOST_KEYS} entries");
        Err(ApiError::validation(text))
    }
}
