//! Pairing agents and devices with an account (REST contract, sections 3.2 and 3.3).

use actix_web::{HttpRequest, HttpResponse, web};
use dormouse_protocol::ErrorBody;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::limits::address_of;
use super::{Done, MAX_BASE64_CHARS, public_key, secret_answer};
use crate::accounts::pairing::{self, Answer, Kind};
use crate::accounts::{AccountError, PublicKey};
use crate::app_state::AppState;
use crate::auth::MintRequest;
use crate::base64_text;
use crate::clock::unix_ms;
use crate::http::credentials::UserIdentity;
use crate::http::errors::ApiError;
use crate::http::json_body::JsonBody;
use crate::http::query::Query;

/// What an agent asks with.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct TerminalRequest {
    /// The X25519 public key that the agent shows, 32 bytes in base64.
    #[schema(min_length = 1)]
    public_key: String,
    /// Whether it reads the second form of answers; counts with the first call only.
    #[serde(default)]
    supports_v2: Option<bool>,
}

/// What a device asks with.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct DeviceRequest {
    /// The X25519 public key that the device shows, 32 bytes in base64.
    #[schema(min_length = 1)]
    public_key: String,
}

/// Whether somebody has answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum PairingState {
    /// Not yet: ask again in a second.
    Requested,
    /// Yes.
    Authorized,
}

/// How a request for pairing stands. It has no `Debug`, so that no token is logged.
#[derive(Serialize, ToSchema)]
pub struct PairingAnswer {
    /// Whether it is answered.
    state: PairingState,
    /// A token of the account that has answered.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    token: Option<String>,
    /// The ciphertext, as the app has stored it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    response: Option<String>,
}

/// How an app sees a request for pairing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum PairingStatus {
    /// There is none, or it is over.
    NotFound,
    /// It waits for an answer.
    Pending,
    /// It is answered.
    Authorized,
}

/// How an app sees a request for pairing, and what it may answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct StatusAnswer {
    /// Where it stands.
    status: PairingStatus,
    /// Whether the agent reads the second form of answers; false unless it waits for one.
    supports_v2: bool,
}

/// What an app answers.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct PairingResponse {
    /// The key of the request.
    #[schema(min_length = 1)]
    public_key: String,
    /// Ciphertext for whoever holds the key, in base64.
    #[schema(min_length = 1, max_length = 16_384)]
    response: String,
}

/// Asks for an agent to be let into an account; repeated until it is.
///
/// A request that nobody answers ends after 10 minutes; an answer can be fetched for 2 minutes after
/// the first time. Then the same call makes a new request.
#[utoipa::path(
    post, path = "/v1/auth/request", tag = "auth",
    request_body = TerminalRequest,
    responses(
        (status = 200, description = "Where the request stands", body = PairingAnswer),
        (status = 400, description = "Not such a body, or no base64", body = ErrorBody),
        (status = 401, description = "The key has not 32 bytes", body = ErrorBody),
        (status = 403, description = "The account that has answered is blocked", body = ErrorBody),
        (status = 413, description = "The body is too large", body = ErrorBody),
        (status = 429, description = "5 new requests a minute of one address, or 120 polls of one; \
         `retryAfter` has the seconds to the end of the minute", body = ErrorBody),
        (status = 503, description = "The database is not available", body = ErrorBody),
    )
)]
pub async fn request_terminal(
    request: HttpRequest,
    state: web::Data<AppState>,
    body: JsonBody,
) -> Result<HttpResponse, ApiError> {
    let asked: TerminalRequest = body.read()?;
    let supports_v2 = asked.supports_v2.unwrap_or(false);
    let key = public_key(&asked.public_key)?;
    poll(&state, &request, Kind::Terminal, key, supports_v2).await
}

/// Asks for a device to be let into an account; repeated until it is.
///
/// Ends as a request of an agent does.
#[utoipa::path(
    post, path = "/v1/auth/account/request", tag = "auth",
    request_body = DeviceRequest,
    responses(
        (status = 200, description = "Where the request stands", body = PairingAnswer),
        (status = 400, description = "Not such a body, or no base64", body = ErrorBody),
        (status = 401, description = "The key has not 32 bytes", body = ErrorBody),
        (status = 403, description = "The account that has answered is blocked", body = ErrorBody),
        (status = 413, description = "The body is too large", body = ErrorBody),
        (status = 429, description = "5 new requests a minute of one address, or 120 polls of one; \
         `retryAfter` has the seconds to the end of the minute", body = ErrorBody),
        (status = 503, description = "The database is not available", body = ErrorBody),
    )
)]
pub async fn request_device(
    request: HttpRequest,
    state: web::Data<AppState>,
    body: JsonBody,
) -> Result<HttpResponse, ApiError> {
    let asked: DeviceRequest = body.read()?;
    let key = public_key(&asked.public_key)?;
    poll(&state, &request, Kind::Device, key, false).await
}

async fn poll(
    state: &AppState,
    request: &HttpRequest,
    kind: Kind,
    key: PublicKey,
    supports_v2: bool,
) -> Result<HttpResponse, ApiError> {
    state.auth_limits.poll(&key)?;
    let waiting = PairingAnswer {
        state: PairingState::Requested,
        token: None,
        response: None,
    };
    let Some(found) = pairing::find(&state.database, kind, key.clone()).await? else {
        state.auth_limits.pairing(address_of(state, request))?;
        pairing::create(&state.database, kind, key, supports_v2).await?;
        return Ok(secret_answer(waiting));
    };
    let Some(answer) = &found.answer else {
        return Ok(secret_answer(waiting));
    };
    if state.access.is_blocked(&answer.account) {
        return Err(AccountError::Blocked.into());
    }
    pairing::deliver(&state.database, &found).await?;
    let mut extras = serde_json::Map::new();
    extras.insert("session".to_owned(), found.id.clone().into());
    let mint = MintRequest {
        user: &answer.account,
        extras: (kind == Kind::Terminal).then_some(&extras),
        // Apps refresh their tokens, agents do not.
        ttl: (kind == Kind::Terminal).then_some(state.settings.auth.agent_token_ttl),
        ..MintRequest::default()
    };
    let token = state
        .verifier
        .mint(&mint, unix_ms())
        .map_err(|err| ApiError::internal(&err))?;
    Ok(secret_answer(PairingAnswer {
        state: PairingState::Authorized,
        token: Some(token.into_string()),
        response: Some(answer.response.clone()),
    }))
}

/// Where an agent's request stands, for the app that may answer it.
#[utoipa::path(
    get, path = "/v1/auth/request/status", tag = "auth",
    params(("publicKey" = Option<String>, Query, description = "The key of the request, in base64; \
            without a good one, nothing is found")),
    responses(
        (status = 200, description = "Where the request stands", body = StatusAnswer),
        (status = 400, description = "The key is given twice", body = ErrorBody),
        (status = 429, description = "120 looks a minute at one request; `retryAfter` has the \
         seconds to the end of the minute", body = ErrorBody),
        (status = 503, description = "The database is not available", body = ErrorBody),
    )
)]
pub async fn terminal_status(
    request: HttpRequest,
    state: web::Data<AppState>,
) -> Result<web::Json<StatusAnswer>, ApiError> {
    let query = Query::new(request.query_string());
    // A plus sign that was not encoded has become a space.
    let text = query
        .text("publicKey")?
        .unwrap_or_default()
        .replace(' ', "+");
    let bytes = base64_text::decode(&text).unwrap_or_default();
    let found = match PublicKey::from_bytes(&bytes) {
        Some(key) => {
            state.auth_limits.look(&key)?;
            pairing::find(&state.database, Kind::Terminal, key).await?
        }
        None => None,
    };
    let status = match &found {
        None => PairingStatus::NotFound,
        Some(request) if request.answer.is_none() => PairingStatus::Pending,
        Some(_) => PairingStatus::Authorized,
    };
    Ok(web::Json(StatusAnswer {
        status,
        supports_v2: status == PairingStatus::Pending
            && found.is_some_and(|request| request.supports_v2),
    }))
}

/// Lets an agent into the caller's account. The first answer counts; later ones change nothing.
#[utoipa::path(
    post, path = "/v1/auth/response", tag = "auth", security(("userToken" = [])),
    request_body = PairingResponse,
    responses(
        (status = 200, description = "The request is answered", body = Done),
        (status = 400, description = "Not such a body, or no base64", body = ErrorBody),
        (status = 401, description = "No token, a bad one, or a key that has not 32 bytes",
         body = ErrorBody),
        (status = 404, description = "No such request, or it is over", body = ErrorBody),
        (status = 413, description = "The body is too large", body = ErrorBody),
        (status = 503, description = "The database is not available", body = ErrorBody),
    )
)]
pub async fn answer_terminal(
    user: UserIdentity,
    state: web::Data<AppState>,
    body: JsonBody,
) -> Result<web::Json<Done>, ApiError> {
    answer(&user, &state, &body, Kind::Terminal).await
}

/// Lets a device into the caller's account. The first answer counts; later ones change nothing.
#[utoipa::path(
    post, path = "/v1/auth/account/response", tag = "auth", security(("userToken" = [])),
    request_body = PairingResponse,
    responses(
        (status = 200, description = "The request is answered", body = Done),
        (status = 400, description = "Not such a body, or no base64", body = ErrorBody),
        (status = 401, description = "No token, a bad one, or a key that has not 32 bytes",
         body = ErrorBody),
        (status = 404, description = "No such request, or it is over", body = ErrorBody),
        (status = 413, description = "The body is too large", body = ErrorBody),
        (status = 503, description = "The database is not available", body = ErrorBody),
    )
)]
pub async fn answer_device(
    user: UserIdentity,
    state: web::Data<AppState>,
    body: JsonBody,
) -> Result<web::Json<Done>, ApiError> {
    answer(&user, &state, &body, Kind::Device).await
}

async fn answer(
    user: &UserIdentity,
    state: &AppState,
    body: &JsonBody,
    kind: Kind,
) -> Result<web::Json<Done>, ApiError> {
    let given: PairingResponse = body.read()?;
    let key = public_key(&given.public_key)?;
    let length = given.response.len();
    if !(1..=MAX_BASE64_CHARS).contains(&length) || given.response.contains('\0') {
        let text = format!("response must have 1 to {MAX_BASE64_CHARS} characters, and no U+0000");
        return Err(ApiError::validation(text));
    }
    let answer = Answer {
        account: user.0.user.to_string(),
        response: given.response,
    };
    pairing::answer(&state.database, kind, key, answer).await?;
    Ok(web::Json(Done::YES))
}
