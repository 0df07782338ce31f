//! Whose request it is: the credential, what it asserts, and how often (contract events.md
//! sections 2 and 10).

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use actix_web::dev::Payload;
use actix_web::http::StatusCode;
use actix_web::http::header::{self, HeaderMap};
use actix_web::{FromRequest, HttpMessage as _, HttpRequest, web};

use crate::app_state::AppState;
use crate::auth::rate::WINDOW_MS;
use crate::auth::{TokenError, bearer};
use crate::client_address::client_address;
use crate::clock::{iso, unix_ms};
use crate::events::tenants::is_tenant_id;
use crate::events::{Credential, KeyFault, tenants};
use crate::http::errors::ApiError;
use crate::http::manners::RateStanding;
use crate::pending::network;

/// The tenant of a request that may write.
#[derive(Clone, Debug)]
pub struct Tenant(pub Arc<str>);

/// The tenant of a request that only reads: it may be the one that shows the product.
#[derive(Clone, Debug)]
pub struct ReadTenant(pub Arc<str>);

type Extracted<T> = Pin<Box<dyn Future<Output = Result<T, ApiError>>>>;

impl FromRequest for Tenant {
    type Error = ApiError;
    type Future = Extracted<Self>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let request = request.clone();
        Box::pin(async move { tenant(&request, false).await.map(Self) })
    }
}

impl FromRequest for ReadTenant {
    type Error = ApiError;
    type Future = Extracted<Self>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let request = request.clone();
        Box::pin(async move { tenant(&request, true).await.map(Self) })
    }
}

impl Tenant {
    /// Checks the `tenantId` of a body, which asserts the tenant.
    ///
    /// # Errors
    /// 403 for another one.
    pub fn check(&self, asserted: Option<&str>) -> Result<(), ApiError> {
        match asserted {
            Some(asserted) if *asserted != *self.0 => Err(mismatch("tenantId")),
            _ => Ok(()),
        }
    }
}

async fn tenant(request: &HttpRequest, only_reads: bool) -> Result<Arc<str>, ApiError> {
    let state = request
        .app_data::<web::Data<AppState>>()
        .cloned()
        .ok_or_else(|| ApiError::internal(&"a route without state"))?;
    let credential = match credential(request.headers(), &state).await {
        Ok(credential) => credential,
        Err(refusal) => return Err(refused(request, &state, refusal)),
    };
    let now = unix_ms();
    if let Some(limit) = credential.rate_limit {
        let rate = &state.events.key_rate;
        let admission = rate.admit_up_to(limit, &credential.id, now);
        request.extensions_mut().insert(RateStanding {
            limit,
            remaining: admission.remaining,
            resets_at: next_window(now),
        });
        if !admission.admitted {
            return Err(too_many(limit, admission.retry_after_s));
        }
    }
    asserted(request.headers(), &state, credential.tenant, only_reads).await
}

/// The credential of a request. A token counts before a key.
async fn credential(headers: &HeaderMap, state: &AppState) -> Result<Credential, Refusal> {
    if let Some(value) = headers.get(header::AUTHORIZATION) {
        let token = bearer::parse(value.as_bytes()).map_err(|_| Refusal::Token)?;
        return of_token(token, state).await;
    }
    let Some(key) = headers.get("x-api-key") else {
        return Err(Refusal::Nothing);
    };
    let key = key.to_str().unwrap_or_default().trim();
    if key.is_empty() {
        return Err(Refusal::Key(KeyFault::Missing));
    }
    state.events.keys.verify(key).await.map_err(Refusal::Key)
}

async fn of_token(token: &str, state: &AppState) -> Result<Credential, Refusal> {
    let identity = state.verify_user(token).map_err(|err| {
        tracing::debug!(%err, "a token is refused");
        match err {
            TokenError::Blocked => Refusal::Account,
            _ => Refusal::Token,
        }
    })?;
    let extras = identity.extras.as_deref();
    let tenant = extras.and_then(|extras| extras.get("tenantId")?.as_str());
    // A good token that names no tenant opens nothing here.
    let tenant = tenant
        .filter(|tenant| is_tenant_id(tenant))
        .ok_or(Refusal::Token)?;
    let tenant: Arc<str> = tenant.into();
    match state.events.keys.is_tenant_active(&tenant).await {
        Ok(true) => Ok(Credential {
            tenant,
            id: identity.user,
            rate_limit: None,
        }),
        Ok(false) => Err(Refusal::Key(KeyFault::TenantNotActive)),
        Err(err) => {
            tracing::warn!(%err, "a tenant cannot be looked up");
            Err(Refusal::Key(KeyFault::Unavailable))
        }
    }
}

/// Why there is no credential.
enum Refusal {
    Nothing,
    Token,
    /// The token's user is blocked.
    Account,
    Key(KeyFault),
}

/// The answer to a request without a good credential; those are counted by address.
fn refused(request: &HttpRequest, state: &AppState, refusal: Refusal) -> ApiError {
    let text = match refusal {
        Refusal::Nothing => "Missing authentication (JWT token or API key)".to_owned(),
        Refusal::Token => "Invalid or expired token".to_owned(),
        Refusal::Account => {
            return ApiError::new(StatusCode::FORBIDDEN, "User account is not active");
        }
        Refusal::Key(KeyFault::TenantNotActive) => {
            return ApiError::new(StatusCode::FORBIDDEN, KeyFault::TenantNotActive.to_string());
        }
        Refusal::Key(KeyFault::Unavailable) => {
            return ApiError::unavailable(KeyFault::Unavailable.to_string());
        }
        Refusal::Key(fault) => fault.to_string(),
    };
    let proxies = &state.settings.http.trusted_proxies;
    let address = client_address(request.peer_addr(), request.headers(), proxies);
    let now = unix_ms();
    let admission = state.events.address_rate.admit(&network(address), now);
    request.extensions_mut().insert(RateStanding {
        limit: admission.limit,
        remaining: admission.remaining,
        resets_at: next_window(now),
    });
    if admission.admitted {
        ApiError::unauthorized(text)
    } else {
        too_many(admission.limit, admission.retry_after_s)
    }
}

fn too_many(limit: u32, seconds: u32) -> ApiError {
    let text = format!("{limit} requests a minute are the limit; try again in {seconds} s");
    ApiError::new(StatusCode::TOO_MANY_REQUESTS, text)
        .code("RATE_LIMIT_EXCEEDED")
        .field("retryAfter", seconds)
        .header(header::RETRY_AFTER, &seconds.to_string())
}

fn next_window(now: u64) -> String {
    iso((now / WINDOW_MS + 1).saturating_mul(WINDOW_MS))
}

/// Checks what headers assert. Who only reads may name the tenant that shows the product.
async fn asserted(
    headers: &HeaderMap,
    state: &AppState,
    tenant: Arc<str>,
    only_reads: bool,
) -> Result<Arc<str>, ApiError> {
    let named = |name: &'static str| {
        let values = headers
            .get_all(name)
            .map(|value| value.to_str().unwrap_or("?"));
        values
            .filter(|value| !value.is_empty() && **value != *tenant)
            .last()
    };
    if named("x-tenant-id").is_some() {
        return Err(mismatch("X-Tenant-Id"));
    }
    let Some(demo) = named("x-demo-tenant-id") else {
        return Ok(tenant);
    };
    if !only_reads || !is_tenant_id(demo) {
        return Err(mismatch("X-Demo-Tenant-Id"));
    }
    let demo: Arc<str> = demo.into();
    let asked = demo.clone();
    let found = state
        .database
        .read(async move |reader| tenants::by_id(reader, &asked).await)
        .await
        .map_err(|err| super::database_error(&err))?;
    match found {
        Some(found) if found.is_demo && found.is_active => Ok(demo),
        _ => Err(mismatch("X-Demo-Tenant-Id")),
    }
}

fn mismatch(what: &str) -> ApiError {
    let text = format!("{what} names another tenant than the credential; leave it out");
    ApiError::new(StatusCode::FORBIDDEN, text).code("TENANT_MISMATCH")
}
