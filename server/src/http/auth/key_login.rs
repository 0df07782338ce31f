//! `POST /v1/auth` (REST contract, section 3.1).

use actix_web::{HttpRequest, HttpResponse, web};
use dormouse_protocol::ErrorBody;
use ed25519_dalek::{Signature, VerifyingKey};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::limits::address_of;
use super::{decode, secret_answer};
use crate::accounts::{PublicKey, key_login as accounts};
use crate::app_state::AppState;
use crate::auth::MintRequest;
use crate::clock::unix_ms;
use crate::http::errors::ApiError;
use crate::http::json_body::JsonBody;
use crate::http::query::Query;

/// A proof that the caller holds a key.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct LoginRequest {
    /// The Ed25519 public key, 32 bytes in base64.
    #[schema(min_length = 1)]
    public_key: String,
    /// Bytes of the caller's choice, in base64.
    #[schema(min_length = 1)]
    challenge: String,
    /// The signature of the challenge, 64 bytes in base64.
    #[schema(min_length = 1)]
    signature: String,
}

/// A token. It has no `Debug`, so that none is logged.
#[derive(Serialize, ToSchema)]
pub struct LoginAnswer {
    /// Always true.
    #[schema(example = true)]
    success: bool,
    /// A token of the key's account.
    token: String,
}

/// Signs in with a key; makes its account if `auth.signup` allows.
#[utoipa::path(
    post, path = "/v1/auth", tag = "auth",
    params(
        ("X-Invite-Code" = Option<String>, Header, description = "An invitation's code, for a key \
         without account"),
        ("invite" = Option<String>, Query, description = "The same, where no header can be sent"),
    ),
    request_body = LoginRequest,
    responses(
        (status = 200, description = "Signed in", body = LoginAnswer),
        (status = 400, description = "Not such a body, or no base64", body = ErrorBody),
        (status = 401, description = "The signature does not verify, or a length is wrong",
         body = ErrorBody),
        (status = 403, description = "The key is good, but has no account that is let in: `code` is \
         `ACCOUNT_PENDING` (with `accountId`), `ACCOUNT_BLOCKED`, `SIGNUP_CLOSED`, \
         `WAITING_LIST_FULL`, `INVITE_REQUIRED` or `INVITE_INVALID`", body = ErrorBody),
        (status = 413, description = "The body is too large", body = ErrorBody),
        (status = 429, description = "5 calls a minute with one key or 60 of one address; \
         `retryAfter` has the seconds to its end", body = ErrorBody),
        (status = 503, description = "The database is not available", body = ErrorBody),
    )
)]
pub async fn key_login(
    request: HttpRequest,
    state: web::Data<AppState>,
    body: JsonBody,
) -> Result<HttpResponse, ApiError> {
    let login: LoginRequest = body.read()?;
    let key = decode("publicKey", &login.public_key)?;
    let challenge = decode("challenge", &login.challenge)?;
    let signature = decode("signature", &login.signature)?;
    let key = PublicKey::from_bytes(&key);
    let address = address_of(&state, &request);
    state.auth_limits.login(address, key.as_ref())?;
    let key = key
        .filter(|key| is_signed(key, &challenge, &signature))
        .ok_or_else(|| ApiError::unauthorized("Invalid signature"))?;
    let invite = invite(&request)?;
    let signup = state.settings.resolved_signup();
    let user = accounts::sign_in(&state.database, key, signup, invite).await?;
    let request = MintRequest {
        user: &user,
        ..MintRequest::default()
    };
    let token = state
        .verifier
        .mint(&request, unix_ms())
        .map_err(|err| ApiError::internal(&err))?;
    Ok(secret_answer(LoginAnswer {
        success: true,
        token: token.into_string(),
    }))
}

/// Strict: keys of small order, for which anybody can sign, are refused.
fn is_signed(key: &PublicKey, challenge: &[u8], signature: &[u8]) -> bool {
    let (Ok(key), Ok(signature)) = (
        VerifyingKey::from_bytes(key.as_bytes()),
        Signature::from_slice(signature),
    ) else {
        return false;
    };
    key.verify_strict(challenge, &signature).is_ok()
}

/// The code that came with a request: the header wins.
fn invite(request: &HttpRequest) -> Result<Option<String>, ApiError> {
    let header = request.headers().get("x-invite-code");
    let header = header.and_then(|value| value.to_str().ok());
    if let Some(code) = header.filter(|code| !code.is_empty()) {
        return Ok(Some(code.to_owned()));
    }
    let query = Query::new(request.query_string());
    Ok(query.text("invite")?.map(str::to_owned))
}
