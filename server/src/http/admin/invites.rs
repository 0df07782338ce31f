//! `/admin/v1/invites`: codes that make one account each.

use actix_web::http::header;
use actix_web::{HttpResponse, web};
use dormouse_protocol::ErrorBody;
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::ToSchema;

use super::audit::{ended, on_record};
use crate::accounts::invites::{
    self, DEFAULT_LIFETIME_MS, Invite, MAX_LIFETIME_MS, MAX_NOTE_CHARS,
};
use crate::app_state::AppState;
use crate::audit::AuditAction;
use crate::http::auth::Done;
use crate::http::credentials::AdminIdentity;
use crate::http::errors::ApiError;
use crate::http::json_body::JsonBody;

/// An invitation to make; the body may be empty.
#[derive(Clone, Debug, Default, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct InviteRequest {
    /// What it is for.
    #[schema(max_length = 200)]
    note: Option<String>,
    /// Seconds for which it is good; a week if absent.
    #[schema(minimum = 1, maximum = 31_536_000)]
    expires_in: Option<u64>,
}

/// A new invitation. It has no `Debug`, so that no code is logged.
#[derive(Serialize, ToSchema)]
pub struct NewInvite {
    /// The code; it is not shown again.
    code: String,
    /// The invitation.
    invite: Invite,
}

/// All invitations that are remembered.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct InviteList {
    /// Newest first.
    invites: Vec<Invite>,
}

/// Makes an invitation.
#[utoipa::path(
    post, path = "/admin/v1/invites", operation_id = "create_invite", tag = "admin", security(("adminToken" = [])),
    request_body = InviteRequest,
    responses(
        (status = 200, description = "The invitation with its code", body = NewInvite),
        (status = 400, description = "Not such a body", body = ErrorBody),
        (status = 401, description = "No token, or a bad one", body = ErrorBody),
        (status = 403, description = "A user's token", body = ErrorBody),
        (status = 413, description = "The body is too large", body = ErrorBody),
        (status = 503, description = "The database is not available", body = ErrorBody),
    )
)]
pub async fn create(
    admin: AdminIdentity,
    state: web::Data<AppState>,
    body: JsonBody,
) -> Result<HttpResponse, ApiError> {
    let asked: InviteRequest = body.read_or_default()?;
    let note = asked.note.filter(|note| !note.is_empty());
    if note
        .as_deref()
        .is_some_and(|note| note.chars().nth(MAX_NOTE_CHARS).is_some() || note.contains('\0'))
    {
        let text = format!("note has at most {MAX_NOTE_CHARS} characters, and no U+0000");
        return Err(ApiError::validation(text));
    }
    let most = MAX_LIFETIME_MS / 1000;
    let lifetime_ms = match asked.expires_in {
        None => DEFAULT_LIFETIME_MS,
        Some(seconds) if (1..=most).contains(&seconds) => seconds * 1000,
        Some(_) => {
            let text = format!("expiresIn must be 1 to {most} seconds");
            return Err(ApiError::validation(text));
        }
    };
    let detail = json!({"note": note, "expiresIn": lifetime_ms / 1000});
    let action = AuditAction::CreateInvite;
    let entry = on_record(&state, &admin, action, "accounts", detail).await?;
    let created = invites::create(&state.database, note, lifetime_ms).await;
    // The code is a secret; the id is not.
    let (invite, code) = ended(
        entry,
        created.map_err(Into::into),
        |(invite, _)| json!({"invite": invite.id}),
    )
    .await?;
    tracing::info!(admin = %admin.0.user, invite = invite.id, "an admin made an invitation");
    Ok(HttpResponse::Ok()
        .insert_header((header::CACHE_CONTROL, "no-store"))
        .json(NewInvite { code, invite }))
}

/// Lists invitations, without their codes.
#[utoipa::path(
    get, path = "/admin/v1/invites", operation_id = "list_invites", tag = "admin", security(("adminToken" = [])),
    responses(
        (status = 200, description = "The newest 1000", body = InviteList),
        (status = 401, description = "No token, or a bad one", body = ErrorBody),
        (status = 403, description = "A user's token", body = ErrorBody),
        (status = 503, description = "The database is not available", body = ErrorBody),
    )
)]
pub async fn list(
    _: AdminIdentity,
    state: web::Data<AppState>,
) -> Result<web::Json<InviteList>, ApiError> {
    let invites = invites::list(&state.database).await?;
    Ok(web::Json(InviteList { invites }))
}

/// Makes an invitation useless. The account that it has made stays.
#[utoipa::path(
    delete, path = "/admin/v1/invites/{id}", operation_id = "revoke_invite", tag = "admin", security(("adminToken" = [])),
    params(("id" = String, Path, description = "The invitation's id")),
    responses(
        (status = 200, description = "It is of no use any more", body = Done),
        (status = 401, description = "No token, or a bad one", body = ErrorBody),
        (status = 403, description = "A user's token", body = ErrorBody),
        (status = 404, description = "No such invitation", body = ErrorBody),
        (status = 503, description = "The database is not available", body = ErrorBody),
    )
)]
pub async fn revoke(
    admin: AdminIdentity,
    state: web::Data<AppState>,
    path: web::Path<String>,
) -> Result<web::Json<Done>, ApiError> {
    let id = path.into_inner();
    let action = AuditAction::RevokeInvite;
    let entry = on_record(&state, &admin, action, &*id, json!({})).await?;
    let revoked = invites::revoke(&state.database, id.clone()).await;
    ended(entry, revoked.map_err(Into::into), |_| json!({})).await?;
    tracing::info!(admin = %admin.0.user, invite = id, "an admin revoked an invitation");
    Ok(web::Json(Done::YES))
}
