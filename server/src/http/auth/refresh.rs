//! `POST /v1/auth/refresh` (REST contract, section 3.4).

use actix_web::{HttpRequest, HttpResponse, web};
use dormouse_protocol::ErrorBody;
use serde::Serialize;
use utoipa::ToSchema;

use super::secret_answer;
use crate::app_state::AppState;
use crate::auth::{MintRequest, TokenError};
use crate::clock::unix_ms;
use crate::http::credentials;
use crate::http::errors::ApiError;

/// A new token. It has no `Debug`, so that none is logged.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct RefreshAnswer {
    /// Always true.
    #[schema(example = true)]
    success: bool,
    /// A token that says what the old one said.
    token: String,
    /// Seconds for which it is valid.
    #[schema(example = 2_592_000)]
    expires_in: u64,
}

/// Gives a new token for one that is valid or expired at most 7 days ago; the body is ignored.
///
/// The old token stays valid until its own end.
#[utoipa::path(
    post, path = "/v1/auth/refresh", tag = "auth", security(("userToken" = [])),
    responses(
        (status = 200, description = "A new token", body = RefreshAnswer),
        (status = 401, description = "`code` is `TOKEN_INVALID`, `TOKEN_EXPIRED` (too long ago) or \
         `TOKEN_REVOKED`; `success` is false", body = ErrorBody),
    )
)]
pub async fn refresh(
    request: HttpRequest,
    state: web::Data<AppState>,
) -> Result<HttpResponse, ApiError> {
    let now = unix_ms();
    let token = credentials::token(&request)
        .map_err(|err| refused(err, TokenError::Malformed.refresh_code()))?;
    let identity = state
        .verifier
        .verify_for_refresh(token, now)
        .map_err(|err| {
            tracing::debug!(%err, "a token is not refreshed");
            refused(credentials::bad_token(), err.refresh_code())
        })?;
    let token = state
        .verifier
        .mint(&MintRequest::renewing(&identity), now)
        .map_err(|err| ApiError::internal(&err))?;
    Ok(secret_answer(RefreshAnswer {
        success: true,
        expires_in: state.settings.auth.token_ttl.as_secs(),
        token: token.into_string(),
    }))
}

fn refused(err: ApiError, code: &'static str) -> ApiError {
    err.code(code).field("success", false)
}
