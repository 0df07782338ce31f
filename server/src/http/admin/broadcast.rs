//! `POST /admin/v1/broadcast`.

use actix_web::web;
use dormouse_protocol::{ClientType, ErrorBody};
use dormouse_shard::command::Audience;
use dormouse_shard::message::ShardDelivery;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use utoipa::ToSchema;

use super::audit::on_record;
use super::find_tier;
use crate::app_state::AppState;
use crate::audit::AuditAction;
use crate::http::credentials::AdminIdentity;
use crate::http::errors::ApiError;
use crate::http::json_body::{JsonBody, Object};
use crate::http::outgoing_message::{self, FilterFields, OutgoingMessage};

/// What to send, and to whom.
#[derive(Clone, Debug, Deserialize, ToSchema)]
pub struct AdminBroadcastRequest<'a> {
    /// The message.
    #[serde(borrow)]
    #[schema(value_type = OutgoingMessage<'_>)]
    message: Object<OutgoingMessage<'a>>,
    /// Which connections of each user; all, if absent.
    #[schema(value_type = Option<FilterFields>)]
    filter: Option<Value>,
    /// Whose connections.
    #[schema(value_type = Recipients)]
    to: Object<Recipients>,
}

/// Whose connections get a message: exactly one of the four.
#[derive(Clone, Debug, Default, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(min_properties = 1, max_properties = 1)]
pub struct Recipients {
    /// Those of this user.
    #[schema(nullable = false)]
    user: Option<String>,
    /// Those of users of this tier.
    #[schema(nullable = false)]
    tier: Option<String>,
    /// Those of this client type, whosever they are; a filter must match as well.
    #[schema(value_type = Option<ClientType>, nullable = false)]
    client_type: Option<String>,
    /// Everybody's; must be true.
    #[schema(nullable = false)]
    everyone: Option<bool>,
}

/// Whose connections, decided.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Target {
    User(String),
    Many(Audience),
}

impl Recipients {
    fn target(&self, workers: &dormouse_shard::Workers) -> Result<Target, ApiError> {
        let everyone = self.everyone.filter(|everyone| *everyone);
        match (&self.user, &self.tier, &self.client_type, everyone) {
            (Some(user), None, None, None) => Ok(Target::User(user.clone())),
            (None, Some(tier), None, None) => {
                Ok(Target::Many(Audience::Tier(find_tier(workers, tier)?)))
            }
            (None, None, Some(name), None) => match ClientType::parse(name) {
                Some(client_type) => Ok(Target::Many(Audience::ClientType(client_type))),
                None => Err(ApiError::validation(
                    "to.clientType must be user-scoped, session-scoped or machine-scoped",
                )),
            },
            (None, None, None, Some(_)) => Ok(Target::Many(Audience::Everyone)),
            _ => Err(ApiError::validation(
                "to must hold exactly one of user, tier, clientType and everyone (which is true)",
            )),
        }
    }

    /// For the log: what was asked for.
    fn described(&self) -> String {
        match (&self.user, &self.tier, &self.client_type) {
            (Some(user), ..) => format!("user {user:?}"),
            (_, Some(tier), _) => format!("tier {tier}"),
            (_, _, Some(client_type)) => format!("client type {client_type}"),
            _ => "everyone".to_owned(),
        }
    }
}

/// How many connections a message was handed to, in all and by shard.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct AdminBroadcastAnswer {
    /// Always true: that nobody was there is a success too.
    #[schema(example = true)]
    success: bool,
    /// Connections whose queue took the message.
    delivered: u64,
    /// Each shard that was asked.
    shards: Vec<ShardDelivered>,
}

/// Deliveries of one shard.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct ShardDelivered {
    /// The shard.
    shard: String,
    /// Its connections whose queue took the message.
    delivered: u64,
}

/// Sends a message to the connections of one user, a tier, a client type or everyone.
#[utoipa::path(
    post, path = "/admin/v1/broadcast", operation_id = "admin_broadcast", tag = "admin",
    security(("adminToken" = [])),
    request_body = AdminBroadcastRequest<'_>,
    responses(
        (status = 200, description = "Handed to the connections' queues",
         body = AdminBroadcastAnswer),
        (status = 400, description = "Not such a body, an unknown filter, tier or client type, or \
         not exactly one of the four recipients", body = ErrorBody),
        (status = 401, description = "No token, or a bad one", body = ErrorBody),
        (status = 403, description = "A user's token", body = ErrorBody),
        (status = 413, description = "The body, or the message, is too large", body = ErrorBody),
        (status = 503, description = "The audit log cannot be written; nothing was sent",
         body = ErrorBody),
    )
)]
pub async fn broadcast(
    admin: AdminIdentity,
    state: web::Data<AppState>,
    body: JsonBody,
) -> Result<web::Json<AdminBroadcastAnswer>, ApiError> {
    let request: AdminBroadcastRequest<'_> = body.read()?;
    let filter = outgoing_message::filter(request.filter.as_ref())?;
    let target = request.to.0.target(&state.workers)?;
    let frame = request.message.0.frame(state.settings.limits.message)?;
    let recipients = request.to.0.described();
    let detail = json!({
        "event": request.message.0.event(),
        "filter": request.filter,
        "bytes": frame.bytes().len(),
    });
    let entry = on_record(&state, &admin, AuditAction::Broadcast, &*recipients, detail).await?;
    let mut deliveries = match target {
        Target::User(user) => state.workers.deliver(&user, filter, frame).await,
        Target::Many(audience) => state.workers.deliver_to(audience, filter, frame).await,
    };
    deliveries.sort_unstable_by(|a, b| a.shard.cmp(&b.shard));
    let delivered = deliveries.iter().map(|shard| shard.delivered).sum();
    entry.done(json!({"delivered": delivered})).await;
    tracing::info!(admin = %admin.0.user, to = recipients, delivered, "an admin broadcast");
    let shards = deliveries
        .iter()
        .map(|ShardDelivery { shard, delivered }| ShardDelivered {
            shard: shard.to_string(),
            delivered: *delivered,
        });
    Ok(web::Json(AdminBroadcastAnswer {
        success: true,
        delivered,
        shards: shards.collect(),
    }))
}

/// Whom a message would be for.
#[derive(Clone, Debug, Deserialize, ToSchema)]
pub struct PreviewRequest {
    /// Which connections of each user; all, if absent.
    #[schema(value_type = Option<FilterFields>)]
    filter: Option<Value>,
    /// Whose connections.
    #[schema(value_type = Recipients)]
    to: Object<Recipients>,
}

/// How many connections a broadcast would be for now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct PreviewAnswer {
    /// Open connections that the filter chooses.
    connections: u64,
}

/// Counts the connections that a broadcast would be for, and sends nothing. Filters that ask for
/// a session, a machine or a connection wake the shards that they ask.
#[utoipa::path(
    post, path = "/admin/v1/broadcast/preview", tag = "admin", security(("adminToken" = [])),
    request_body = PreviewRequest,
    responses(
        (status = 200, description = "How many", body = PreviewAnswer),
        (status = 400, description = "Not such a body, an unknown filter, tier or client type, or \
         not exactly one of the four recipients", body = ErrorBody),
        (status = 401, description = "No token, or a bad one", body = ErrorBody),
        (status = 403, description = "A user's token", body = ErrorBody),
        (status = 413, description = "The body is too large", body = ErrorBody),
    )
)]
pub async fn preview(
    _: AdminIdentity,
    state: web::Data<AppState>,
    body: JsonBody,
) -> Result<web::Json<PreviewAnswer>, ApiError> {
    let request: PreviewRequest = body.read()?;
    let filter = outgoing_message::filter(request.filter.as_ref())?;
    let connections = match request.to.0.target(&state.workers)? {
        Target::User(user) => state.workers.count_of_user(&user, filter).await,
        Target::Many(audience) => state.workers.count_audience(audience, filter).await,
    };
    Ok(web::Json(PreviewAnswer { connections }))
}
