//! `POST /v1/websocket/ticket` (realtime contract, section 3).

use actix_web::http::header;
use actix_web::{HttpResponse, web};
use dormouse_protocol::ErrorBody;
use serde::Serialize;
use utoipa::ToSchema;

use crate::app_state::AppState;
use crate::clock::unix_ms;
use crate::http::credentials::UserIdentity;
use crate::http::errors::{ApiError, RATE_LIMIT, RATE_REMAINING};

/// A ticket. It has no `Debug`, so that none is logged.
#[derive(Serialize, ToSchema)]
pub struct TicketAnswer {
    /// Opaque; admits one connection within 30 s, as the query parameter `ticket`.
    ticket: String,
}

/// Issues a ticket for one connection of the caller; the body is ignored.
#[utoipa::path(
    post, path = "/v1/websocket/ticket", tag = "user", security(("userToken" = [])),
    responses(
        (status = 200, description = "A ticket", body = TicketAnswer, headers(
            ("X-RateLimit-Limit" = u32, description = "Tickets per minute"),
            ("X-RateLimit-Remaining" = u32, description = "Tickets left in this minute"),
        )),
        (status = 401, description = "No token, or a bad one", body = ErrorBody),
        (status = 429, description = "Too many tickets in this minute; `retryAfter` has the \
         seconds to its end", body = ErrorBody, headers(
            ("Retry-After" = u32, description = "Seconds to the end of the minute"),
            ("X-RateLimit-Limit" = u32, description = "Tickets per minute"),
            ("X-RateLimit-Remaining" = u32, description = "0"),
        )),
        (status = 500, description = "The ticket could not be made", body = ErrorBody),
    )
)]
pub async fn ticket(
    user: UserIdentity,
    state: web::Data<AppState>,
) -> Result<HttpResponse, ApiError> {
    let identity = user.0;
    let now = unix_ms();
    let admission = state.ticket_rate.admit(&identity.user, now);
    if !admission.admitted {
        return Err(ApiError::too_many("tickets", admission));
    }
    let ticket = state
        .tickets
        .issue(
            &identity.user,
            identity.tier.as_deref(),
            Some(&identity.token_hash),
            now,
        )
        .map_err(|err| ApiError::internal(&err))?;
    Ok(HttpResponse::Ok()
        .insert_header((header::CACHE_CONTROL, "no-store"))
        .insert_header((RATE_LIMIT, admission.limit))
        .insert_header((RATE_REMAINING, admission.remaining))
        .json(TicketAnswer {
            ticket: ticket.into_string(),
        }))
}
