//! `POST /admin/v1/try-it`: a token of a test user, for trying the server out.

use std::time::Duration;

use actix_web::http::header;
use actix_web::{HttpResponse, web};
use dormouse_protocol::ErrorBody;
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::ToSchema;

use super::audit::on_record;
use super::find_tier;
use crate::app_state::AppState;
use crate::audit::AuditAction;
use crate::auth::MintRequest;
use crate::clock::unix_ms;
use crate::http::credentials::AdminIdentity;
use crate::http::errors::ApiError;
use crate::http::json_body::JsonBody;

/// What the ids of test users begin with: an admin gets no token of anybody else.
const PREFIX: &str = "try-";
/// How long the token is valid. Connections that it opened stay open.
const LIFETIME: Duration = Duration::from_secs(300);

/// Which test user.
#[derive(Clone, Debug, Default, Deserialize, ToSchema)]
pub struct TryItRequest {
    /// A name, to which `try-` is put in front; `it`, if absent.
    #[schema(nullable = false, example = "it")]
    name: Option<String>,
    /// The user's tier; the default one, if absent.
    #[schema(nullable = false, example = "free")]
    tier: Option<String>,
}

/// A token of a test user. It has no `Debug`, so that none is logged.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct TryItAnswer {
    /// The test user's id.
    #[schema(example = "try-it")]
    user: String,
    /// A token of this user.
    token: String,
    /// For how many seconds it opens connections.
    expires_in: u64,
}

/// Makes a token of a test user, valid for five minutes. It opens sockets as any user's does.
#[utoipa::path(
    post, path = "/admin/v1/try-it", tag = "admin", security(("adminToken" = [])),
    request_body(content = Option<TryItRequest>, description = "May be absent"),
    responses(
        (status = 200, description = "A token", body = TryItAnswer),
        (status = 400, description = "A name that no user can have, or an unknown tier",
         body = ErrorBody),
        (status = 401, description = "No token, or a bad one", body = ErrorBody),
        (status = 403, description = "A user's token", body = ErrorBody),
        (status = 413, description = "The body is too large", body = ErrorBody),
        (status = 503, description = "The audit log cannot be written; nothing was done",
         body = ErrorBody),
    )
)]
pub async fn try_it(
    admin: AdminIdentity,
    state: web::Data<AppState>,
    body: JsonBody,
) -> Result<HttpResponse, ApiError> {
    let request: TryItRequest = body.read_or_default()?;
    if let Some(tier) = &request.tier {
        find_tier(&state.workers, tier)?;
    }
    let user = format!("{PREFIX}{}", request.name.as_deref().unwrap_or("it"));
    let mint = MintRequest {
        user: &user,
        tier: request.tier.as_deref(),
        ttl: Some(LIFETIME),
        ..MintRequest::default()
    };
    let minted = state.verifier.mint(&mint, unix_ms());
    let token = minted.map_err(|err| ApiError::validation(err.to_string()))?;
    let detail = json!({"tier": request.tier});
    let entry = on_record(&state, &admin, AuditAction::TryIt, &*user, detail).await?;
    entry.done(json!({})).await;
    tracing::info!(admin = %admin.0.user, user, "an admin made a token of a test user");
    Ok(HttpResponse::Ok()
        .insert_header((header::CACHE_CONTROL, "no-store"))
        .json(TryItAnswer {
            user,
            token: token.into_string(),
            expires_in: LIFETIME.as_secs(),
        }))
}
