//! `PUT` and `DELETE /admin/v1/users/{id}/tier`.

use actix_web::http::StatusCode;
use actix_web::web;
use dormouse_protocol::ErrorBody;
use dormouse_shard::store::StoreError;
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::ToSchema;

use super::audit::on_record;
use super::find_tier;
use crate::app_state::AppState;
use crate::audit::AuditAction;
use crate::auth::identity::check_user_id;
use crate::http::credentials::AdminIdentity;
use crate::http::errors::ApiError;
use crate::http::json_body::JsonBody;

/// The tier to give.
#[derive(Clone, Debug, Deserialize, ToSchema)]
pub struct TierRequest {
    /// Name of a configured tier.
    #[schema(example = "pro")]
    tier: String,
}

/// What is in force now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct TierAnswer {
    /// Always true.
    #[schema(example = true)]
    success: bool,
    /// The account id.
    user: String,
    /// The override; null when there is none, and the user's tokens or the default decide.
    tier: Option<String>,
    /// Connections that the override allows; null without one.
    limit: Option<u32>,
}

/// Gives a user a tier over what tokens say.
///
/// Holds for connections to come, also after a restart; open ones stay open.
#[utoipa::path(
    put, path = "/admin/v1/users/{id}/tier", tag = "admin", security(("adminToken" = [])),
    params(("id" = String, Path, description = "The account id")),
    request_body = TierRequest,
    responses(
        (status = 200, description = "Stored and in force", body = TierAnswer),
        (status = 400, description = "Not such a body, an unknown tier, or an id that no user can \
         have", body = ErrorBody),
        (status = 401, description = "No token, or a bad one", body = ErrorBody),
        (status = 403, description = "A user's token", body = ErrorBody),
        (status = 413, description = "The body is too large", body = ErrorBody),
        (status = 503, description = "The store or the audit log cannot keep it; nothing has changed",
         body = ErrorBody),
    )
)]
pub async fn set_tier(
    admin: AdminIdentity,
    state: web::Data<AppState>,
    path: web::Path<String>,
    body: JsonBody,
) -> Result<web::Json<TierAnswer>, ApiError> {
    let user = checked_user(path)?;
    let request: TierRequest = body.read()?;
    let tier = find_tier(&state.workers, &request.tier)?;
    let detail = json!({"tier": request.tier});
    let entry = on_record(&state, &admin, AuditAction::SetTier, &*user, detail).await?;
    if let Err(err) = state.workers.set_tier(&user, Some(tier)).await {
        entry.failed(&err).await;
        return Err(not_stored(&err));
    }
    let limit = state.workers.tiers().get(tier).limit();
    entry.done(json!({"limit": limit})).await;
    tracing::info!(admin = %admin.0.user, user, tier = request.tier, "an admin set a tier");
    Ok(web::Json(TierAnswer {
        success: true,
        user,
        tier: Some(request.tier),
        limit: Some(limit),
    }))
}

/// Takes a user's override back. Without one, nothing changes.
#[utoipa::path(
    delete, path = "/admin/v1/users/{id}/tier", tag = "admin", security(("adminToken" = [])),
    params(("id" = String, Path, description = "The account id")),
    responses(
        (status = 200, description = "There is no override (any more)", body = TierAnswer),
        (status = 400, description = "An id that no user can have", body = ErrorBody),
        (status = 401, description = "No token, or a bad one", body = ErrorBody),
        (status = 403, description = "A user's token", body = ErrorBody),
        (status = 503, description = "The store or the audit log cannot keep it; nothing has changed",
         body = ErrorBody),
    )
)]
pub async fn clear_tier(
    admin: AdminIdentity,
    state: web::Data<AppState>,
    path: web::Path<String>,
) -> Result<web::Json<TierAnswer>, ApiError> {
    let user = checked_user(path)?;
    let entry = on_record(&state, &admin, AuditAction::ClearTier, &*user, json!({})).await?;
    if let Err(err) = state.workers.set_tier(&user, None).await {
        entry.failed(&err).await;
        return Err(not_stored(&err));
    }
    entry.done(json!({})).await;
    tracing::info!(admin = %admin.0.user, user, "an admin cleared a tier");
    Ok(web::Json(TierAnswer {
        success: true,
        user,
        tier: None,
        limit: None,
    }))
}

fn checked_user(path: web::Path<String>) -> Result<String, ApiError> {
    let user = path.into_inner();
    match check_user_id(&user) {
        Ok(()) => Ok(user),
        Err(err) => Err(ApiError::validation(err.to_string())),
    }
}

fn not_stored(err: &StoreError) -> ApiError {
    tracing::error!(%err, "cannot store a tier override");
    let text = format!(
        "the override cannot be stored, and nothing has changed: {err}; make room in the data \
         folder or repair it, then try again"
    );
    ApiError::new(StatusCode::SERVICE_UNAVAILABLE, text)
}
