//! Signing in and out (REST contract, section 3).
//!
//! These routes are open to strangers, so each has a rate limit that is asked before anything that
//! costs: cryptography, and the database. Tokens go out in answers that no cache may keep, and
//! nowhere else.

pub mod key_login;
pub mod limits;
pub mod logout;
pub mod pairing;
pub mod refresh;

use actix_web::HttpResponse;
use actix_web::http::header;
use serde::Serialize;
use utoipa::ToSchema;

use super::endpoint::Endpoint;
use super::errors::ApiError;
use crate::accounts::PublicKey;
use crate::base64_text;

/// Most characters of a base64 field of these requests.
const MAX_BASE64_CHARS: usize = 16_384;

/// The routes.
pub fn endpoints() -> Vec<Endpoint> {
    vec![
        Endpoint::at("/v1/auth").post(key_login::key_login),
        Endpoint::at("/v1/auth/request").post(pairing::request_terminal),
        Endpoint::at("/v1/auth/request/status").get(pairing::terminal_status),
        Endpoint::at("/v1/auth/response").post(pairing::answer_terminal),
        Endpoint::at("/v1/auth/account/request").post(pairing::request_device),
        Endpoint::at("/v1/auth/account/response").post(pairing::answer_device),
        Endpoint::at("/v1/auth/refresh").post(refresh::refresh),
        Endpoint::at("/v1/auth/logout").post(logout::logout),
    ]
}

/// That something was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Done {
    /// Always true.
    #[schema(example = true)]
    success: bool,
}

impl Done {
    /// It was done.
    pub const YES: Self = Self { success: true };
}

/// The bytes of a base64 field.
///
/// # Errors
/// 400, naming the field.
fn decode(name: &str, text: &str) -> Result<Vec<u8>, ApiError> {
    let fault = if text.is_empty() {
        "must not be empty"
    } else if text.len() > MAX_BASE64_CHARS {
        "is too long"
    } else {
        match base64_text::decode(text) {
            Ok(bytes) => return Ok(bytes),
            Err(_) => "must be base64",
        }
    };
    Err(ApiError::validation(format!("{name} {fault}")))
}

/// The public key of a base64 field.
///
/// # Errors
/// 400 for what is no base64, 401 for a wrong length.
fn public_key(text: &str) -> Result<PublicKey, ApiError> {
    let bytes = decode("publicKey", text)?;
    PublicKey::from_bytes(&bytes).ok_or_else(|| ApiError::unauthorized("Invalid public key"))
}

/// An answer that holds a token.
fn secret_answer(body: impl Serialize) -> HttpResponse {
    HttpResponse::Ok()
        .insert_header((header::CACHE_CONTROL, "no-store"))
        .json(body)
}
