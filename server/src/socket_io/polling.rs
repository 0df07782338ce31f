//! Long polling (Socket.IO contract, section 2): `GET`s that are held, `POST`s of payloads.

use actix_web::http::header::{self, HeaderValue};
use actix_web::http::{Method, StatusCode};
use actix_web::{HttpRequest, HttpResponse, web};
use dormouse_shard::mount::{Mount, MountId};
use dormouse_shard::polling::{Poll, PollFault};

use super::opening;
use super::refusal::EngineRefusal;
use super::request::EngineRequest;
use crate::app_state::AppState;
use crate::client_address::client_address;
use crate::clock::unix_ms;
use crate::handshake::HandshakeRefusal;

/// Answers a request that is no upgrade.
pub async fn answer(
    state: &AppState,
    mount_id: MountId,
    request: &HttpRequest,
    payload: web::Payload,
) -> HttpResponse {
    let Some(mount) = state.workers.mounts().get(mount_id) else {
        return refuse(state, EngineRefusal::Request);
    };
    let method = request.method();
    let is_upgrade = request.headers().contains_key(header::UPGRADE);
    let asked = EngineRequest::read(request.query_string(), *method == Method::GET, is_upgrade);
    let sid = match asked {
        Ok(asked) => asked.sid,
        Err(refusal) => return refuse(state, refusal),
    };
    let origin = request.headers().get(header::ORIGIN);
    let origin = origin.map(|origin| origin.to_str().unwrap_or("?"));
    if state.socket_io.is_foreign(mount_id, origin) {
        return refuse(state, EngineRefusal::Forbidden);
    }
    match sid {
        None => begin(state, mount_id, mount, request),
        Some(sid) if *method == Method::GET => hold(state, mount_id, &sid).await,
        Some(sid) if *method == Method::POST => {
            take(state, mount_id, mount, &sid, request, payload).await
        }
        Some(_) => refuse(state, EngineRefusal::Request),
    }
}

/// Opens a session.
fn begin(
    state: &AppState,
    mount_id: MountId,
    mount: &Mount,
    request: &HttpRequest,
) -> HttpResponse {
    if state.workers.is_draining() {
        let refusal = HandshakeRefusal::Draining;
        state.refused.count(refusal);
        return HttpResponse::ServiceUnavailable()
            .insert_header((header::RETRY_AFTER, "1"))
            .content_type("text/plain; charset=utf-8")
            .body(refusal.to_string());
    }
    let address = client_address(
        request.peer_addr(),
        request.headers(),
        &state.settings.http.trusted_proxies,
    );
    let Some(place) = state.socket_io.pending.take(address) else {
        return refuse(state, EngineRefusal::Forbidden);
    };
    let query = request.query_string();
    let session = state
        .workers
        .open_polling(mount_id, query, unix_ms(), Box::new(place));
    text(opening(mount, &session.id().to_string(), &["websocket"]))
}

/// Answers when there is something to say.
async fn hold(state: &AppState, mount: MountId, sid: &str) -> HttpResponse {
    let session = state.workers.find_polling(sid);
    let Some(session) = session.filter(|session| session.mount() == mount) else {
        return refuse(state, EngineRefusal::Session);
    };
    let body = match session.poll() {
        Ok(Poll::Ready(body)) => Ok(body),
        Ok(Poll::Held(body)) => body.await.map_err(|_| PollFault::Over),
        Err(fault) => Err(fault),
    };
    match body {
        Ok(body) => text(body),
        Err(PollFault::Over) => refuse(state, EngineRefusal::Session),
        Err(PollFault::Overlap) => {
            state.workers.polled(session);
            refuse(state, EngineRefusal::Request)
        }
    }
}

/// Takes packets.
async fn take(
    state: &AppState,
    mount_id: MountId,
    mount: &Mount,
    sid: &str,
    request: &HttpRequest,
    payload: web::Payload,
) -> HttpResponse {
    let session = state.workers.find_polling(sid);
    let Some(session) = session.filter(|session| session.mount() == mount_id) else {
        return refuse(state, EngineRefusal::Session);
    };
    let posting = match session.begin_post() {
        Ok(posting) => posting,
        Err(PollFault::Over) => return refuse(state, EngineRefusal::Session),
        Err(PollFault::Overlap) => {
            state.workers.polled(session);
            return refuse(state, EngineRefusal::Request);
        }
    };
    let kind = request.headers().get(header::CONTENT_TYPE);
    if kind.is_some_and(is_binary) {
        return refuse(state, EngineRefusal::Request);
    }
    let body = match payload.to_bytes_limited(mount.message_bytes).await {
        Ok(Ok(body)) => body,
        Ok(Err(_)) => return refuse(state, EngineRefusal::Request),
        Err(_) => {
            return HttpResponse::build(StatusCode::PAYLOAD_TOO_LARGE)
                .content_type("text/plain; charset=utf-8")
                .body(format!(
                    "the payload is larger than {} bytes; send less at once",
                    mount.message_bytes
                ));
        }
    };
    let Ok(payload) = std::str::from_utf8(&body) else {
        return refuse(state, EngineRefusal::Request);
    };
    posting.finish(payload);
    state.workers.polled(session);
    HttpResponse::Ok().content_type("text/html").body("ok")
}

fn is_binary(kind: &HeaderValue) -> bool {
    kind.as_bytes().starts_with(b"application/octet-stream")
}

fn text(body: impl Into<bytes::Bytes>) -> HttpResponse {
    HttpResponse::Ok()
        .content_type("text/plain; charset=UTF-8")
        .insert_header((header::CACHE_CONTROL, "no-store"))
        .body(body.into())
}

fn refuse(state: &AppState, refusal: EngineRefusal) -> HttpResponse {
    state.refused.count(HandshakeRefusal::Engine(refusal));
    let status = StatusCode::from_u16(refusal.status()).unwrap_or(StatusCode::BAD_REQUEST);
    HttpResponse::build(status)
        .content_type("application/json")
        .body(refusal.body())
}
