//! `POST /v1/websocket/broadcast`.

use actix_web::web;
use dormouse_protocol::ErrorBody;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use crate::app_state::AppState;
use crate::http::credentials::UserIdentity;
use crate::http::errors::ApiError;
use crate::http::json_body::{JsonBody, Object};
use crate::http::outgoing_message::{self, FilterFields, OutgoingMessage};

/// What to send to the caller's connections.
#[derive(Clone, Debug, Deserialize, ToSchema)]
pub struct BroadcastRequest<'a> {
    /// The message.
    #[serde(borrow)]
    #[schema(value_type = OutgoingMessage<'_>)]
    message: Object<OutgoingMessage<'a>>,
    /// Which connections; all, if absent.
    #[schema(value_type = Option<FilterFields>)]
    filter: Option<Value>,
}

/// How many connections a message was handed to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct BroadcastAnswer {
    /// Always true: that nobody was there is a success too.
    #[schema(example = true)]
    success: bool,
    /// Connections whose queue took the message.
    delivered: u64,
}

/// Sends a message to the caller's own connections.
#[utoipa::path(
    post, path = "/v1/websocket/broadcast", tag = "user", security(("userToken" = [])),
    request_body = BroadcastRequest<'_>,
    responses(
        (status = 200, description = "Handed to the connections' queues", body = BroadcastAnswer),
        (status = 400, description = "Not such a body, an unknown filter, or one without its id",
         body = ErrorBody),
        (status = 401, description = "No token, or a bad one", body = ErrorBody),
        (status = 413, description = "The body, or the message, is too large", body = ErrorBody),
    )
)]
pub async fn broadcast(
    user: UserIdentity,
    state: web::Data<AppState>,
    body: JsonBody,
) -> Result<web::Json<BroadcastAnswer>, ApiError> {
    let request: BroadcastRequest<'_> = body.read()?;
    let filter = outgoing_message::filter(request.filter.as_ref())?;
    let frame = request.message.0.frame(state.settings.limits.message)?;
    let deliveries = state.workers.deliver(&user.0.user, filter, frame).await;
    Ok(web::Json(BroadcastAnswer {
        success: true,
        delivered: deliveries.iter().map(|shard| shard.delivered).sum(),
    }))
}
