//! Tokens of third parties that a user's agents share (REST contract, section 14), encrypted
//! before they are stored.

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
use crate::database::Reader;
use crate::sync::service_tokens::{self, MAX_TOKEN_CHARS};
use crate::sync::{Change, SyncError, limits};

/// The routes.
pub fn endpoints() -> Vec<Endpoint> {
    vec![
        Endpoint::at("/v1/connect/tokens").get(list),
        Endpoint::at("/v1/connect/{vendor}/register").post(register),
        Endpoint::at("/v1/connect/{vendor}/token").get(token),
        Endpoint::at("/v1/connect/{vendor}").delete(remove),
    ]
}

/// Whose tokens are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Vendor {
    /// OpenAI.
    Openai,
    /// Anthropic.
    Anthropic,
    /// Google's Gemini.
    Gemini,
}

impl Vendor {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Openai => "openai",
            Self::Anthropic => "anthropic",
            Self::Gemini => "gemini",
        }
    }

    fn parse(name: &str) -> Result<Self, ApiError> {
        let all = [Self::Openai, Self::Anthropic, Self::Gemini];
        let found = all.into_iter().find(|vendor| vendor.as_str() == name);
        found.ok_or_else(|| ApiError::validation("vendor must be openai, anthropic or gemini"))
    }
}

/// A token to be kept. It has no `Debug`, so that it is not logged.
#[derive(Deserialize, ToSchema)]
pub struct VendorTokenRequest {
    /// The token, 1 to 65,536 characters.
    #[schema(min_length = 1, max_length = 65_536)]
    token: String,
}

/// A vendor's token. It has no `Debug`, so that it is not logged.
#[derive(Serialize, ToSchema)]
pub struct VendorToken {
    /// Null if none is kept, or if it was encrypted with another server secret.
    token: Option<String>,
}

/// A vendor and its token. It has no `Debug`, so that it is not logged.
#[derive(Serialize, ToSchema)]
pub struct NamedVendorToken {
    /// The vendor.
    vendor: String,
    /// The token.
    token: String,
}

/// The tokens that are kept.
#[derive(Serialize, ToSchema)]
pub struct VendorTokenList {
    /// By the vendor's name.
    tokens: Vec<NamedVendorToken>,
}

/// What a token is bound to.
const fn place<'a>(account: &'a str, vendor: &'a str) -> [&'a str; 3] {
    ["service-token", account, vendor]
}

fn open(state: &AppState, account: &str, vendor: &str, sealed: &[u8]) -> Option<String> {
    let token = state.vault.open(sealed, &place(account, vendor));
    if token.is_none() {
        tracing::warn!(
            vendor,
            "a third party's token was encrypted with another secret"
        );
    }
    token
}

/// Keeps the caller's token of a vendor, in the place of an earlier one.
#[utoipa::path(
    post, path = "/v1/connect/{vendor}/register", operation_id = "register_vendor_token",
    tag = "account", security(("userToken" = [])),
    params(("vendor" = String, Path, description = "`openai`, `anthropic` or `gemini`")),
    request_body = VendorTokenRequest,
    responses(
        (status = 200, description = "It is kept", body = Done),
        (status = 400, description = "Not such a body, or another vendor", body = ErrorBody),
        (status = 401, description = "No token, or a bad one", body = ErrorBody),
        (status = 413, description = "The body is too large", body = ErrorBody),
        (status = 503, description = "The database is not available", body = ErrorBody),
    )
)]
pub async fn register(
    user: UserIdentity,
    state: web::Data<AppState>,
    vendor: web::Path<String>,
    body: JsonBody,
) -> Result<web::Json<Done>, ApiError> {
    let vendor = Vendor::parse(&vendor)?.as_str();
    let asked: VendorTokenRequest = body.read()?;
    limits::filled("token", &asked.token, MAX_TOKEN_CHARS)?;
    let account = user.0.user;
    let sealed = state.vault.seal(&asked.token, &place(&account, vendor));
    let sealed = sealed.map_err(|err| ApiError::internal(&err))?;
    let write = state.database.write(async move |tx| {
        let mut change = Change::new(tx, account);
        service_tokens::store(&mut change, vendor, sealed).await?;
        change.finish(None);
        Ok::<_, SyncError>(())
    });
    write.await?;
    Ok(web::Json(Done::YES))
}

/// The caller's token of a vendor.
#[utoipa::path(
    get, path = "/v1/connect/{vendor}/token", operation_id = "vendor_token", tag = "account",
    security(("userToken" = [])),
    params(("vendor" = String, Path, description = "`openai`, `anthropic` or `gemini`")),
    responses(
        (status = 200, description = "The token", body = VendorToken),
        (status = 400, description = "Another vendor", body = ErrorBody),
        (status = 401, description = "No token, or a bad one", body = ErrorBody),
        (status = 503, description = "The database is not available", body = ErrorBody),
    )
)]
pub async fn token(
    user: UserIdentity,
    state: web::Data<AppState>,
    vendor: web::Path<String>,
) -> Result<web::Json<VendorToken>, ApiError> {
    let vendor = Vendor::parse(&vendor)?.as_str();
    let account = user.0.user.to_string();
    let owner = account.clone();
    let read = state
        .database
        .read(async move |reader: &mut Reader| service_tokens::find(reader, &owner, vendor).await);
    let sealed: Option<Vec<u8>> = read.await?;
    let token = sealed.and_then(|sealed| open(&state, &account, vendor, &sealed));
    Ok(web::Json(VendorToken { token }))
}

/// The caller's tokens of all vendors.
#[utoipa::path(
    get, path = "/v1/connect/tokens", operation_id = "vendor_tokens", tag = "account",
    security(("userToken" = [])),
    responses(
        (status = 200, description = "The tokens", body = VendorTokenList),
        (status = 401, description = "No token, or a bad one", body = ErrorBody),
        (status = 503, description = "The database is not available", body = ErrorBody),
    )
)]
pub async fn list(
    user: UserIdentity,
    state: web::Data<AppState>,
) -> Result<web::Json<VendorTokenList>, ApiError> {
    let account = user.0.user.to_string();
    let owner = account.clone();
    let read = state
        .database
        .read(async move |reader: &mut Reader| service_tokens::list(reader, &owner).await);
    let tokens = read.await?.into_iter().filter_map(|kept| {
        let token = open(&state, &account, &kept.vendor, &kept.sealed)?;
        let vendor = kept.vendor;
        Some(NamedVendorToken { vendor, token })
    });
    Ok(web::Json(VendorTokenList {
        tokens: tokens.collect(),
    }))
}

/// Forgets the caller's token of a vendor; one that is not kept is no error.
#[utoipa::path(
    delete, path = "/v1/connect/{vendor}", operation_id = "remove_vendor_token", tag = "account",
    security(("userToken" = [])),
    params(("vendor" = String, Path, description = "`openai`, `anthropic` or `gemini`")),
    responses(
        (status = 200, description = "It is not kept any more", body = Done),
        (status = 400, description = "Another vendor", body = ErrorBody),
        (status = 401, description = "No token, or a bad one", body = ErrorBody),
        (status = 503, description = "The database is not available", body = ErrorBody),
    )
)]
pub async fn remove(
    user: UserIdentity,
    state: web::Data<AppState>,
    vendor: web::Path<String>,
) -> Result<web::Json<Done>, ApiError> {
    let vendor = Vendor::parse(&vendor)?.as_str();
    let account = user.0.user;
    let write = state.database.write(async move |tx| {
        let mut change = Change::new(tx, account);
        service_tokens::remove(&mut change, vendor).await?;
        change.finish(None);
        Ok::<_, SyncError>(())
    });
    write.await?;
    Ok(web::Json(Done::YES))
}
