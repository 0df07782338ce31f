//! Which routes an address serves.

use std::sync::Arc;

use actix_web::{HttpRequest, HttpResponse, web};

use super::endpoint::Endpoint;
use super::errors::ApiError;
use super::{
    account, admin, admin_page, auth, connect, dashboard, events, feed, file_links, kv, openapi,
    push_tokens, service, sync, usage_limits, user, version,
};
use crate::app_state::AppState;
use crate::handshake::{self, HandshakeRefusal};
use crate::http::raw_response::request_id;
use crate::listeners::Surface;
use crate::live;
use crate::metrics;
use crate::socket_io::polling;

/// Registers everything for one surface.
pub fn routes(config: &mut web::ServiceConfig, state: &Arc<AppState>, surface: Surface) {
    let body = usize::try_from(state.settings.http.body.as_u64()).unwrap_or(usize::MAX);
    config
        .app_data(web::Data::from(state.clone()))
        .app_data(web::PayloadConfig::new(body))
        .default_service(web::to(unknown));
    let has_admin_address = !state.settings.admin.listen.is_empty();
    for endpoint in endpoints(surface, has_admin_address) {
        config.service(endpoint.into_service());
    }
}

/// Everything that a surface serves. Admins have the main one only if they have no address of
/// their own.
pub fn endpoints(surface: Surface, has_admin_address: bool) -> Vec<Endpoint> {
    let mut endpoints = service::endpoints();
    endpoints.extend(events::health::endpoints());
    endpoints.extend(metrics::route::endpoints(surface));
    endpoints.extend(openapi::endpoints());
    if surface == Surface::Main {
        endpoints.push(Endpoint::with_or_without_slash("/v1/updates").any(updates));
        endpoints.push(Endpoint::with_or_without_slash("/v1/websocket").any(not_an_upgrade));
        endpoints.push(Endpoint::with_or_without_slash("/socket.io").any(dashboard_socket));
        endpoints.extend(dashboard::endpoints());
        endpoints.extend(auth::endpoints());
        endpoints.extend(account::endpoints());
        endpoints.extend(kv::endpoints());
        endpoints.extend(feed::endpoints());
        endpoints.extend(push_tokens::endpoints());
        endpoints.extend(connect::endpoints());
        endpoints.extend(usage_limits::endpoints());
        endpoints.extend(version::endpoints());
        endpoints.push(Endpoint::with_or_without_slash("/ws/events").any(not_an_upgrade));
        endpoints.extend(user::endpoints());
        endpoints.extend(sync::endpoints());
        // After the paths that begin alike and have a word in the place of a file.
        endpoints.extend(file_links::endpoints());
        endpoints.extend(events::endpoints());
    }
    if surface == Surface::Admin || !has_admin_address {
        endpoints.extend(admin::endpoints());
        endpoints.extend(admin_page::endpoints());
        endpoints.push(Endpoint::at(live::PATH).any(not_an_upgrade));
    }
    endpoints
}

async fn unknown(request: HttpRequest) -> Result<HttpResponse, ApiError> {
    Err(ApiError::not_found(format!(
        "nothing is served at {}",
        request.path()
    )))
}

/// Long polling of Socket.IO, or no upgrade.
async fn updates(
    request: HttpRequest,
    payload: web::Payload,
    state: web::Data<AppState>,
) -> HttpResponse {
    let (path, query) = (request.path(), request.query_string());
    match state.socket_io.mount_of(Surface::Main, path, query) {
        Some(mount) => polling::answer(&state, mount, &request, payload).await,
        None => not_an_upgrade(request, state).await,
    }
}

/// Long polling of the dashboard, where there is one.
async fn dashboard_socket(
    request: HttpRequest,
    payload: web::Payload,
    state: web::Data<AppState>,
) -> HttpResponse {
    let (path, query) = (request.path(), request.query_string());
    match state.socket_io.mount_of(Surface::Main, path, query) {
        Some(mount) => polling::answer(&state, mount, &request, payload).await,
        None => {
            let headers: actix_http::header::HeaderMap = request.headers().clone();
            dashboard::absent().response_at(path, &request_id(&headers))
        }
    }
}

/// A WebSocket endpoint asked for without an upgrade that HTTP recognises as one.
async fn not_an_upgrade(request: HttpRequest, state: web::Data<AppState>) -> HttpResponse {
    let query = request.query_string();
    let headers: actix_http::header::HeaderMap = request.headers().clone();
    let refusal = match handshake::read(request.method(), request.version(), query, &headers) {
        Err(refusal) => refusal,
        Ok(_) => HandshakeRefusal::Malformed("the connection cannot be upgraded"),
    };
    state.refused.count(refusal);
    let mut response = HttpResponse::build(
        actix_web::http::StatusCode::from_u16(refusal.status())
            .unwrap_or(actix_web::http::StatusCode::BAD_REQUEST),
    );
    for header in refusal.headers() {
        response.insert_header(*header);
    }
    tracing::debug!(
        refusal = refusal.label(),
        request = request_id(&headers),
        "no upgrade"
    );
    response
        .content_type("text/plain; charset=utf-8")
        .body(refusal.to_string())
}
