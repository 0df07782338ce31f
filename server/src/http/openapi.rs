//! The description of the HTTP API, generated from the handlers (OpenAPI 3.1).
//!
//! Served as `/openapi.json`. A test holds it equal to what is registered.

use std::sync::LazyLock;

use actix_web::HttpResponse;
use bytes::Bytes;
use dormouse_protocol::ErrorBody;
use utoipa::openapi::security::{ApiKey, ApiKeyValue, Http, HttpAuthScheme, SecurityScheme};
use utoipa::{Modify, OpenApi};

use super::endpoint::Endpoint;
use super::errors::ApiError;
use super::{
    account, admin, admin_page, auth, connect, dashboard, events, feed, file_links, kv,
    push_tokens, service, sync, usage_limits, user, version,
};
use crate::metrics;
use crate::socket_io::refusal::EngineErrorBody;

/// The route.
pub fn endpoints() -> Vec<Endpoint> {
    vec![Endpoint::at("/openapi.json").get(openapi)]
}

/// The API of the server, on all its addresses.
#[derive(Debug, OpenApi)]
#[openapi(
    info(
        title = "Dormouse",
        description = "A WebSocket connection server: one shard per user that owns the user's \
                       sockets, sleeps while they are idle and wakes when something happens."
    ),
    paths(
        service::root,
        service::health,
        service::ready,
        openapi,
        metrics::route::on_main,
        updates,
        websocket,
        dashboard_socket,
        dashboard::snapshot,
        dashboard::inject,
        dashboard::claude_events,
        dashboard::put_agent,
        dashboard::delete_agent,
        events::health::live,
        events::health::ready,
        subscribe,
        events::publish::publish,
        events::log::read,
        events::groups::definition::list,
        events::groups::definition::show,
        events::groups::definition::put,
        events::groups::definition::remove,
        events::groups::work::read,
        events::groups::work::acknowledge,
        events::groups::work::fail,
        events::groups::dead::list,
        events::groups::dead::retry,
        events::groups::dead::discard,
        events::calls::call,
        events::calls::sequence,
        events::demo::status,
        events::demo::toggle,
        events::demo::stats,
        events::reports::metrics,
        events::reports::calls,
        events::reports::campaign,
        user::stats::stats,
        user::broadcast::broadcast,
        user::ticket::ticket,
        sync::sessions::list,
        sync::sessions::page,
        sync::sessions::active,
        sync::sessions::create,
        sync::sessions::one,
        sync::sessions::delete,
        sync::session_archive::state,
        sync::session_archive::archive,
        sync::messages::list,
        sync::messages::page,
        sync::messages::create,
        sync::message_batches::list,
        sync::message_batches::create,
        sync::machines::list,
        sync::machines::register,
        sync::machines::one,
        sync::machines::status,
        sync::artifact_list::list,
        sync::artifacts::create,
        sync::artifacts::one,
        sync::artifacts::update,
        sync::artifacts::delete,
        sync::access_keys::one,
        sync::access_keys::create,
        sync::access_keys::update,
        sync::usage::query,
        auth::key_login::key_login,
        auth::pairing::request_terminal,
        auth::pairing::terminal_status,
        auth::pairing::answer_terminal,
        auth::pairing::request_device,
        auth::pairing::answer_device,
        auth::refresh::refresh,
        auth::logout::logout,
        account::account,
        account::account_profile,
        account::update_account,
        account::preferences,
        account::write_preferences,
        account::settings,
        account::write_settings,
        kv::get,
        kv::list,
        kv::bulk,
        kv::get_bulk,
        kv::mutate,
        feed::read,
        push_tokens::list,
        push_tokens::register,
        push_tokens::remove,
        sync::push_event::push_event,
        connect::list,
        connect::register,
        connect::token,
        connect::remove,
        sync::attachments::request_upload,
        sync::attachments::request_download,
        file_links::upload,
        file_links::download,
        usage_limits::limits,
        version::version,
        admin::accounts::accounts,
        admin::accounts::account,
        admin::accounts::approve,
        admin::accounts::block,
        admin::accounts::delete,
        admin::api_keys::list,
        admin::api_keys::create,
        admin::api_keys::revoke,
        admin::invites::list,
        admin::invites::create,
        admin::invites::revoke,
        admin::overview::overview,
        admin::shards::shards,
        admin::user_list::users,
        admin::users::user,
        admin::disconnect::disconnect_user,
        admin::tier::set_tier,
        admin::tier::clear_tier,
        admin::disconnect::close_connection,
        admin::broadcast::broadcast,
        admin::broadcast::preview,
        admin::drain::drain,
        admin::audit::audit,
        admin::try_it::try_it,
        live,
        admin_page::redirect,
        admin_page::page,
        admin_page::asset_of_page,
    ),
    tags(
        (name = "service", description = "State of the server; no authentication"),
        (name = "sockets", description = "WebSocket connections"),
        (name = "auth", description = "Signing in and out, pairing devices"),
        (name = "account", description = "A user's profile and preferences"),
        (name = "kv", description = "Values under keys"),
        (name = "feed", description = "What a user is told"),
        (name = "push", description = "Devices that take push messages"),
        (name = "usage", description = "What was used"),
        (name = "user", description = "A user's own connections"),
        (name = "sync", description = "Sessions, messages, machines, artifacts and what belongs to \
         them"),
        (name = "dashboard", description = "The agent dashboard, with a token of its user"),
        (name = "events", description = "Call events of a tenant, and reports over its calls"),
        (name = "admin", description = "For admins; on addresses of their own where \
         `admin.listen` names some"),
    ),
    modifiers(&BearerTokens)
)]
pub struct ApiDescription;

/// The two kinds of token.
struct BearerTokens;

impl Modify for BearerTokens {
    fn modify(&self, openapi: &mut utoipa::openapi::OpenApi) {
        let components = openapi.components.get_or_insert_default();
        for (name, description) in [
            (
                "userToken",
                "A user's token: signed by this server, or by an issuer that it is configured to \
                 trust.",
            ),
            (
                "adminToken",
                "A token of this server with scope `admin`: `dormouse token --user NAME --admin`.",
            ),
        ] {
            let mut scheme = Http::new(HttpAuthScheme::Bearer);
            scheme.bearer_format = Some("JWT".to_owned());
            scheme.description = Some(description.to_owned());
            components.add_security_scheme(name, SecurityScheme::Http(scheme));
        }
        let description = "A tenant's key: `dormouse apikey create`.";
        let key = ApiKeyValue::with_description("X-API-Key", description);
        components.add_security_scheme("apiKey", SecurityScheme::ApiKey(ApiKey::Header(key)));
    }
}

/// This description.
#[utoipa::path(
    get, path = "/openapi.json", tag = "service",
    responses((status = 200, description = "The API description, OpenAPI 3.1", body = Object))
)]
async fn openapi() -> Result<HttpResponse, ApiError> {
    static TEXT: LazyLock<Result<Bytes, String>> = LazyLock::new(|| {
        let json = ApiDescription::openapi().to_json();
        json.map(Bytes::from).map_err(|err| err.to_string())
    });
    match &*TEXT {
        Ok(json) => Ok(HttpResponse::Ok()
            .content_type("application/json")
            .body(json.clone())),
        Err(err) => Err(ApiError::internal(err)),
    }
}

macro_rules! describe_sockets {
    ($name:ident, $path:literal, $summary:literal) => {
        #[doc = $summary]
        ///
        /// Credentials are a ticket, a token in the query, or a token in `Authorization`, in this
        /// order; without any, the first message must be `auth`. Client type and ids may also be
        /// given in the headers `X-Client-Type`, `X-Session-Id` and `X-Machine-Id`.
        #[utoipa::path(
            get, path = $path, tag = "sockets", security((), ("userToken" = [])),
            params(
                ("ticket" = Option<String>, Query, description = "A ticket, used once"),
                ("token" = Option<String>, Query, description = "A token"),
                ("clientType" = Option<dormouse_protocol::ClientType>, Query,
                 description = "`user-scoped`, if absent"),
                ("sessionId" = Option<String>, Query,
                 description = "Needed for `session-scoped`; at most 128 characters"),
                ("machineId" = Option<String>, Query,
                 description = "Needed for `machine-scoped`; at most 128 characters"),
                ("correlationId" = Option<String>, Query, description = "For logs only"),
            ),
            responses(
                (status = 101, description = "The connection is a WebSocket now"),
                (status = 400, description = "A malformed handshake, or an unusable client type \
                 or id", body = String, content_type = "text/plain"),
                (status = 401, description = "A bad ticket or token", body = String,
                 content_type = "text/plain"),
                (status = 426, description = "No upgrade to WebSocket, or not its version 13",
                 body = String, content_type = "text/plain"),
                (status = 429, description = "At the limit of the user's tier (fields `tier`, \
                 `limit`, `connections`, `retryAfter`), or too many connections without \
                 credentials (plain text)",
                 content(
                    (ErrorBody = "application/json"),
                    (String = "text/plain"),
                 ),
                 headers(("Retry-After" = u32, description = "Seconds"))),
                (status = 503, description = "The server is stopping", body = String,
                 content_type = "text/plain",
                 headers(("Retry-After" = u32, description = "Seconds"))),
            )
        )]
        #[expect(dead_code, reason = "describes the handshake, which is no handler")]
        fn $name() {}
    };
}

/// The agent dashboard for Socket.IO clients, by WebSocket or long polling (Engine.IO 4).
#[utoipa::path(
    get, path = "/socket.io", tag = "sockets",
    params(
        ("EIO" = Option<String>, Query, description = "4"),
        ("transport" = Option<String>, Query, description = "`websocket` or `polling`"),
        ("sid" = Option<String>, Query, description = "The session that a request belongs to"),
        ("orgSlug" = Option<String>, Query, description = "The organisation to look at; the \
         dashboard as a whole, if absent"),
    ),
    responses(
        (status = 101, description = "The connection is a WebSocket now"),
        (status = 200, description = "Packets", body = String, content_type = "text/plain"),
        (status = 400, description = "Not such a request, with a code", body = EngineErrorBody),
        (status = 403, description = "A page of another origin, or too many clients that have \
         not connected", body = EngineErrorBody),
        (status = 404, description = "There is no dashboard", body = ErrorBody),
        (status = 413, description = "The payload is too large", body = String,
         content_type = "text/plain"),
        (status = 503, description = "The server is stopping", body = String,
         content_type = "text/plain",
         headers(("Retry-After" = u32, description = "Seconds"))),
    )
)]
#[expect(dead_code, reason = "describes the handshake, which is no handler")]
fn dashboard_socket() {}

describe_sockets!(updates, "/v1/updates", "Opens a WebSocket.");
describe_sockets!(
    websocket,
    "/v1/websocket",
    "Opens a WebSocket; the same as `/v1/updates`."
);

/// Opens the live feed of the admin page, a WebSocket.
///
/// The first message must be `{"event":"auth","data":{"token":"<admin token>"}}`. The server then
/// sends `history` (the last 15 minutes) and, at most once a second, `update`. No token is taken
/// in the URL or in a header.
#[utoipa::path(
    get, path = "/admin/v1/live", tag = "admin",
    responses(
        (status = 101, description = "The connection is a WebSocket now"),
        (status = 400, description = "A malformed handshake, or a token in the URL", body = String,
         content_type = "text/plain"),
        (status = 426, description = "No upgrade to WebSocket, or not its version 13",
         body = String, content_type = "text/plain"),
        (status = 429, description = "Too many connections that have not authenticated",
         body = String, content_type = "text/plain",
         headers(("Retry-After" = u32, description = "Seconds"))),
    )
)]
#[expect(dead_code, reason = "describes the handshake, which is no handler")]
fn live() {}

/// Opens a WebSocket that gets a tenant's events.
///
/// The upgrade is answered first; a bad key is told by close code 1008. Frames are those of the
/// events contract: `subscribe`, `unsubscribe` and `ping` one way, `connected`, `subscribed`,
/// `event` and the others back.
#[utoipa::path(
    get, path = "/ws/events", tag = "sockets", operation_id = "subscribe_to_events", security(("apiKey" = []), ()),
    params(("apiKey" = Option<String>, Query,
            description = "A tenant's key; counts before the header `X-API-Key`")),
    responses(
        (status = 101, description = "The connection is a WebSocket now"),
        (status = 400, description = "A malformed handshake", body = String,
         content_type = "text/plain"),
        (status = 426, description = "No upgrade to WebSocket, or not its version 13",
         body = String, content_type = "text/plain"),
        (status = 503, description = "The server is stopping", body = String,
         content_type = "text/plain",
         headers(("Retry-After" = u32, description = "Seconds"))),
    )
)]
#[expect(dead_code, reason = "describes the handshake, which is no handler")]
fn subscribe() {}

#[cfg(test)]
mod tests;
