//! Devices that take push messages (REST contract, section 14).

use actix_web::web;
use dormouse_protocol::ErrorBody;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::auth::Done;
use super::credentials::UserIdentity;
use super::endpoint::Endpoint;
use super::errors::ApiError;
use super::json_body::JsonBody;
use crate::app_state::AppState;
use crate::sync::push_tokens::{self, MAX_TOKEN_CHARS, PushToken};
use crate::sync::{Change, SyncError, limits};

/// The routes.
pub fn endpoints() -> Vec<Endpoint> {
    vec![
        Endpoint::at("/v1/push-tokens").get(list).post(register),
        Endpoint::at("/v1/push-tokens/{token}").delete(remove),
    ]
}

/// A device to register.
#[derive(Clone, Debug, Deserialize, ToSchema)]
pub struct PushTokenRequest {
    /// The token of the push service, 1 to 1000 characters.
    #[schema(min_length = 1, max_length = 1000)]
    token: String,
}

/// Registered devices.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct PushTokenList {
    /// Newest first.
    tokens: Vec<PushToken>,
}

/// The caller's devices.
#[utoipa::path(
    get, path = "/v1/push-tokens", operation_id = "list_push_tokens", tag = "push", security(("userToken" = [])),
    responses(
        (status = 200, description = "The devices", body = PushTokenList),
        (status = 401, description = "No token, or a bad one", body = ErrorBody),
        (status = 503, description = "The database is not available", body = ErrorBody),
    )
)]
pub async fn list(
    user: UserIdentity,
    state: web::Data<AppState>,
) -> Result<web::Json<PushTokenList>, ApiError> {
    let account = user.0.user;
    let read = state
        .database
        .read(async move |reader| push_tokens::list(reader, &account).await);
    Ok(web::Json(PushTokenList {
        tokens: read.await?,
    }))
}

/// Registers a device of the caller; again is no error. An account keeps the 100 newest.
#[utoipa::path(
    post, path = "/v1/push-tokens", operation_id = "register_push_token", tag = "push", security(("userToken" = [])),
    request_body = PushTokenRequest,
    responses(
        (status = 200, description = "It is registered", body = Done),
        (status = 400, description = "Not such a body", body = ErrorBody),
        (status = 401, description = "No token, or a bad one", body = ErrorBody),
        (status = 413, description = "The body is too large", body = ErrorBody),
        (status = 503, description = "The database is not available", body = ErrorBody),
    )
)]
pub async fn register(
    user: UserIdentity,
    state: web::Data<AppState>,
    body: JsonBody,
) -> Result<web::Json<Done>, ApiError> {
    let asked: PushTokenRequest = body.read()?;
    limits::filled("token", &asked.token, MAX_TOKEN_CHARS)?;
    let account = user.0.user;
    let write = state.database.write(async move |tx| {
        let mut change = Change::new(tx, account);
        push_tokens::register(&mut change, &asked.token).await?;
        change.finish(None);
        Ok::<_, SyncError>(())
    });
    write.await?;
    Ok(web::Json(Done::YES))
}

/// Removes a device of the caller; one that is not registered is no error.
#[utoipa::path(
    delete, path = "/v1/push-tokens/{token}", operation_id = "remove_push_token", tag = "push", security(("userToken" = [])),
    params(("token" = String, Path, description = "The token, percent-encoded")),
    responses(
        (status = 200, description = "It is not registered any more", body = Done),
        (status = 400, description = "No token can be like this", body = ErrorBody),
        (status = 401, description = "No token, or a bad one", body = ErrorBody),
        (status = 503, description = "The database is not available", body = ErrorBody),
    )
)]
pub async fn remove(
    user: UserIdentity,
    state: web::Data<AppState>,
    path: web::Path<String>,
) -> Result<web::Json<Done>, ApiError> {
    let token = path.into_inner();
    limits::filled("token", &token, MAX_TOKEN_CHARS)?;
    let account = user.0.user;
    let write = state.database.write(async move |tx| {
        let mut change = Change::new(tx, account);
        push_tokens::remove(&mut change, &token).await?;
        change.finish(None);
        Ok::<_, SyncError>(())
    });
    write.await?;
    Ok(web::Json(Done::YES))
}
