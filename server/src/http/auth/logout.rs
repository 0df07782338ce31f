//! `POST /v1/auth/logout` (REST contract, section 3.4).

use actix_web::web;
use dormouse_protocol::ErrorBody;

use super::Done;
use crate::accounts::revoked_tokens;
use crate::app_state::AppState;
use crate::http::credentials::UserIdentity;
use crate::http::errors::ApiError;

/// Revokes the caller's token and closes the connections that were opened with it (4001), those by a
/// ticket that was asked for with it too. The body is ignored.
#[utoipa::path(
    post, path = "/v1/auth/logout", tag = "auth", security(("userToken" = [])),
    responses(
        (status = 200, description = "The token is revoked", body = Done),
        (status = 401, description = "No token, or a bad one", body = ErrorBody),
        (status = 503, description = "The database is not available; nothing is revoked",
         body = ErrorBody),
    )
)]
pub async fn logout(
    user: UserIdentity,
    state: web::Data<AppState>,
) -> Result<web::Json<Done>, ApiError> {
    let identity = user.0;
    let closed = match state.verifier.forget_revocation_at(&identity) {
        Some(forget_at) => {
            // Durable first: what a client was told is revoked stays so.
            revoked_tokens::revoke(&state.database, &identity, forget_at).await?;
            let (user, hash) = (&identity.user, identity.token_hash);
            state.access.revoke(user, hash, forget_at).await
        }
        // The test token of a development server is everybody's, and there is no other.
        None => {
            state
                .workers
                .revoke(&identity.user, &identity.token_hash)
                .await
        }
    };
    tracing::info!(user = %identity.user, closed, "signed out");
    Ok(web::Json(Done::YES))
}
