//! Who calls: the extractors that handlers take as their first argument.
//!
//! Own the reading of `Authorization` and the choice of the answer. A refusal never says what is
//! wrong with a token (REST contract, section 1.2); logs do. Users and admins are different kinds
//! of callers: no token is both.

use std::future::{Ready, ready};

use actix_web::dev::Payload;
use actix_web::http::StatusCode;
use actix_web::http::header;
use actix_web::{FromRequest, HttpRequest, web};

use super::errors::ApiError;
use crate::app_state::AppState;
use crate::auth::{Identity, bearer};
use crate::clock::unix_ms;

/// A user who showed a good token in `Authorization`.
#[derive(Clone, Debug)]
pub struct UserIdentity(pub Identity);

/// An admin who showed an admin token in `Authorization`.
#[derive(Clone, Debug)]
pub struct AdminIdentity(pub Identity);

impl FromRequest for UserIdentity {
    type Error = ApiError;
    type Future = Ready<Result<Self, ApiError>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(user(request).map(Self))
    }
}

impl FromRequest for AdminIdentity {
    type Error = ApiError;
    type Future = Ready<Result<Self, ApiError>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(admin(request).map(Self))
    }
}

fn user(request: &HttpRequest) -> Result<Identity, ApiError> {
    let state = state(request)?;
    state.verify_user(token(request)?).map_err(|err| {
        tracing::debug!(%err, "token refused");
        bad_token()
    })
}

fn admin(request: &HttpRequest) -> Result<Identity, ApiError> {
    let state = state(request)?;
    let token = token(request).map_err(|_| token_needed())?;
    state
        .verifier
        .verify_admin(token, unix_ms())
        .map_err(|err| {
            tracing::debug!(%err, "admin token refused");
            if state.verify_user(token).is_ok() {
                not_an_admin()
            } else {
                bad_token()
            }
        })
}

fn state(request: &HttpRequest) -> Result<&AppState, ApiError> {
    request
        .app_data::<web::Data<AppState>>()
        .map(|state| &***state)
        .ok_or_else(|| ApiError::internal(&"a route without state"))
}

/// The token in the only `Authorization` header. With two of them, proxies and server may look at
/// different ones.
pub(super) fn token(request: &HttpRequest) -> Result<&str, ApiError> {
    let mut values = request.headers().get_all(header::AUTHORIZATION);
    match (values.next(), values.next()) {
        // The text that clients of this protocol know; `WWW-Authenticate` says what to send.
        (None, _) => Err(ApiError::unauthorized("Missing authorization header")),
        (Some(value), None) => bearer::parse(value.as_bytes()).map_err(|_| token_needed()),
        _ => Err(token_needed()),
    }
}

fn token_needed() -> ApiError {
    ApiError::unauthorized("a token is needed: send one header `Authorization: Bearer <token>`")
}

pub(super) fn bad_token() -> ApiError {
    ApiError::unauthorized("Invalid token")
}

fn not_an_admin() -> ApiError {
    let text = "a user's token does not open the admin side; use one made with \
                `dormouse token --user <name> --admin`";
    ApiError::new(StatusCode::FORBIDDEN, text).header(
        header::WWW_AUTHENTICATE,
        r#"Bearer error="insufficient_scope", scope="admin""#,
    )
}
