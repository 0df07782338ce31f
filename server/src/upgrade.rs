//! Upgrades: from an HTTP request to a socket on its way to a shard.
//!
//! actix-http hands every upgrade request to this service instead of the application, with the
//! stream itself. Whatever the application does for a request (routes, authentication, logs,
//! headers of refusals) is done here for upgrades. The service never waits: to await anything
//! would keep the connection's HTTP buffers alive (2.5 KB instead of 0.2).

use std::borrow::Cow;
use std::future::{Ready, ready};
use std::net::IpAddr;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

use actix_codec::Framed;
use actix_http::{HttpMessage, Method, Request, Response, h1};
use actix_rt::net::TcpStream;
use bytes::Bytes;
use dormouse_protocol::{AuthState, ClientType, Labels, Rooms};
use dormouse_shard::arrival::{Arrival, Greeting, NewEcho, Newcomer, Refusal, fresh_slot};
use dormouse_shard::mount::MountId;
use dormouse_shard::polling::PollSession;
use dormouse_shard::subscriber::{AccessRefused, NewSubscriber};
use dormouse_shard::table::Slot;
use tokio::time::Instant;

use crate::app_state::{AppState, claim, claim_of_ticket};
use crate::client_address::client_address;
use crate::clock::unix_ms;
use crate::handshake::{self, Credential, Handshake, HandshakeRefusal};
use crate::http::raw_response::{RawResponse, request_id};
use crate::listeners::Surface;
use crate::live;
use crate::pending::PendingPlace;
use crate::socket_io;
use crate::socket_io::refusal::EngineRefusal;
use crate::socket_io::request::EngineRequest;

/// The error of the upgrade service; there is none, since a refusal is an answer too.
#[derive(Debug, thiserror::Error)]
#[error("upgrade failed")]
pub struct UpgradeError;

impl From<UpgradeError> for Response<actix_http::body::BoxBody> {
    fn from(_: UpgradeError) -> Self {
        Response::internal_server_error().map_into_boxed_body()
    }
}

/// Handles one upgrade request.
pub fn upgrade(
    state: &Arc<AppState>,
    surface: Surface,
    request: Request,
    framed: Framed<TcpStream, h1::Codec>,
) -> Ready<Result<(), UpgradeError>> {
    let started = Instant::now();
    let parts = framed.into_parts();
    let id = request_id(request.headers());
    let address = client_address(
        request.peer_addr(),
        request.headers(),
        &state.settings.http.trusted_proxies,
    );
    // Answers to requests that came before this one on the connection go out before its own.
    let unsent = Bytes::copy_from_slice(&parts.write_buf);
    let outcome = if live::is_at(state, surface, request.path()) {
        match judge_page(state, &request, address) {
            Ok((key, place)) => {
                let answer = behind(&unsent, handshake::accept(&key).into());
                let read = Bytes::copy_from_slice(&parts.read_buf);
                let serves_users = surface == Surface::Main;
                live::open(state.clone(), place, serves_users, parts.io, answer, read);
                return ready(Ok(()));
            }
            Err(refusal) => Err(refusal),
        }
    } else {
        // The request pins its 8 KiB buffer: what is needed is copied here, the rest dropped.
        judge(state, surface, &request, address)
    };
    let path = request.path().to_owned();
    drop(request);
    let socket: OwnedFd = match parts.io.into_std() {
        Ok(stream) => stream.into(),
        Err(err) => {
            tracing::error!(%err, "cannot take a socket out of the runtime");
            return ready(Err(UpgradeError));
        }
    };
    // One write per message: waiting for more (Nagle) would only delay it.
    if let Err(err) = rustix::net::sockopt::set_tcp_nodelay(socket.as_fd(), true) {
        tracing::debug!(%err, "cannot set TCP_NODELAY");
    }
    let slot = fresh_slot(socket, &parts.read_buf);
    let connection = slot.id();
    let connected_at = unix_ms();
    match outcome {
        Ok(Judged::Known { key, arrival }) => {
            tracing::debug!(%connection, %path, request = id, "upgrade");
            let accept = behind(&unsent, handshake::accept(&key).into());
            let refuse =
                Box::new(move |refusal: &Refusal| behind(&unsent, render_refusal(refusal, &id)));
            state.workers.admit(Arrival {
                slot,
                claim: arrival.0,
                labels: arrival.1,
                rooms: Rooms::default(),
                auth_state: arrival.2,
                is_foreground: false,
                connected_at,
                started,
                greeting: Greeting::Upgrade { accept, refuse },
            });
        }
        Ok(Judged::Subscriber { key, api_key }) => {
            if state.workers.is_draining() {
                let response = refuse(state, HandshakeRefusal::Draining, &id);
                state.workers.refuse(slot, behind(&unsent, response));
            } else {
                tracing::debug!(%connection, %path, request = id, "subscriber");
                let accept = behind(&unsent, handshake::accept(&key).into());
                subscribe(state, slot, accept, api_key, address);
            }
        }
        // Whether the server is stopping is the last check; for users their first shard makes it.
        Ok(Judged::Unknown { key, labels }) => match state.pending.take(address) {
            Some(_) if state.workers.is_draining() => {
                let response = refuse(state, HandshakeRefusal::Draining, &id);
                state.workers.refuse(slot, behind(&unsent, response));
            }
            Some(place) => {
                tracing::debug!(%connection, %path, request = id, "upgrade without credentials");
                let accept = behind(&unsent, handshake::accept(&key).into());
                let permit = Box::new(place);
                state.workers.wait(Newcomer {
                    slot,
                    labels,
                    accept,
                    connected_at,
                    started,
                    permit,
                    socket_io: None,
                });
            }
            None => {
                let response = refuse(state, HandshakeRefusal::Pending, &id);
                state.workers.refuse(slot, behind(&unsent, response));
            }
        },
        Ok(Judged::SocketIo { key, mount, query }) => {
            let mounts = state.workers.mounts();
            match (state.socket_io.pending.take(address), mounts.get(mount)) {
                (Some(place), Some(options)) if !state.workers.is_draining() => {
                    tracing::debug!(%connection, %path, request = id, "Socket.IO");
                    state.workers.wait(Newcomer {
                        slot,
                        labels: Labels {
                            client_type: ClientType::UserScoped,
                            session_id: None,
                            machine_id: None,
                        },
                        accept: behind(&unsent, socket_io::accept(&key, options)),
                        connected_at,
                        started,
                        permit: Box::new(place),
                        socket_io: Some((mount, query)),
                    });
                }
                (place, _) => {
                    let refusal = match place {
                        Some(_) => HandshakeRefusal::Draining,
                        None => EngineRefusal::Forbidden.into(),
                    };
                    let response = refuse(state, refusal, &id);
                    state.workers.refuse(slot, behind(&unsent, response));
                }
            }
        }
        Ok(Judged::Echo { key, place }) => {
            tracing::debug!(%connection, request = id, "echo");
            state.workers.echo(NewEcho {
                slot,
                accept: behind(&unsent, handshake::accept(&key).into()),
                permit: Box::new(place),
            });
        }
        Ok(Judged::Change { key, session }) => {
            tracing::debug!(%connection, %path, request = id, "a change from polling");
            let accept = behind(&unsent, handshake::accept(&key).into());
            state.workers.probe(session, slot, accept);
        }
        Err(refusal) => {
            let response = refuse(state, refusal, &id);
            state.workers.refuse(slot, behind(&unsent, response));
        }
    }
    ready(Ok(()))
}

/// A response behind what is to be sent before it.
fn behind(unsent: &[u8], response: Bytes) -> Bytes {
    if unsent.is_empty() {
        response
    } else {
        [unsent, &response].concat().into()
    }
}

type Placed = (dormouse_shard::arrival::Claim, Labels, AuthState);

enum Judged {
    Known {
        key: String,
        arrival: Placed,
    },
    Unknown {
        key: String,
        labels: Labels,
    },
    /// A new Socket.IO transport.
    SocketIo {
        key: String,
        mount: MountId,
        query: Box<str>,
    },
    /// A session that polls wants to change to this WebSocket.
    Change {
        key: String,
        session: Arc<PollSession>,
    },
    Subscriber {
        key: String,
        api_key: Option<String>,
    },
    /// One whose messages are sent back.
    Echo {
        key: String,
        place: PendingPlace,
    },
}

/// The checks of an Engine.IO upgrade.
fn judge_socket_io(
    state: &AppState,
    mount: MountId,
    query: &str,
    request: &Request,
) -> Result<Judged, HandshakeRefusal> {
    let is_get = *request.method() == Method::GET;
    let asked = EngineRequest::read(query, is_get, true)?;
    let origin = request.headers().get(actix_http::header::ORIGIN);
    let origin = origin.map(|origin| origin.to_str().unwrap_or("?"));
    if state.socket_io.is_foreign(mount, origin) {
        return Err(EngineRefusal::Forbidden.into());
    }
    let shaken = handshake::read(request.method(), request.version(), "", request.headers());
    let key = shaken.map_err(|_| EngineRefusal::Request)?.key;
    let Some(sid) = asked.sid else {
        return Ok(Judged::SocketIo {
            key,
            mount,
            query: query.into(),
        });
    };
    let session = state.workers.find_polling(&sid);
    let session = session
        .filter(|session| session.mount() == mount)
        .ok_or(EngineRefusal::Session)?;
    if !session.begin_change() {
        return Err(EngineRefusal::Request.into());
    }
    Ok(Judged::Change { key, session })
}

/// Brings a socket to a worker that verifies its key (contract events.md section 7): whatever is
/// wrong with the key is told by a close frame.
fn subscribe(
    state: &Arc<AppState>,
    slot: Slot,
    accept: Bytes,
    api_key: Option<String>,
    address: std::net::IpAddr,
) {
    let place = state.events.places.take(address);
    let is_full = place.is_none();
    let state_there = state.clone();
    state.workers.subscribe(NewSubscriber {
        slot,
        accept,
        verify: Box::new(move |verdict| {
            let state = state_there;
            let Some(api_key) = api_key else {
                return verdict(Err(AccessRefused::Unauthorized));
            };
            if is_full {
                return verdict(Err(AccessRefused::Full));
            }
            if let Some(known) = state.events.keys.remembered(&api_key) {
                return verdict(state.events.access(known));
            }
            actix_rt::spawn(async move {
                let verified = state.events.keys.verify(&api_key).await;
                verdict(state.events.access(verified));
            });
        }),
        permit: Box::new(place),
    });
}

/// The checks of an admin page's handshake: its key, and a place until it has authenticated.
fn judge_page(
    state: &AppState,
    request: &Request,
    address: IpAddr,
) -> Result<(String, PendingPlace), HandshakeRefusal> {
    let query = request.uri().query().unwrap_or_default();
    let (method, version) = (request.method(), request.version());
    let handshake = handshake::read(method, version, query, request.headers())?;
    let is_credential =
        |(name, _): (Cow<'_, str>, Cow<'_, str>)| matches!(&*name, "token" | "ticket");
    if form_urlencoded::parse(query.as_bytes()).any(is_credential) {
        let text = "a token does not belong into this URL; send it as the first message";
        return Err(HandshakeRefusal::Malformed(text));
    }
    let place = state
        .pending
        .take(address)
        .ok_or(HandshakeRefusal::Pending)?;
    Ok((handshake.key, place))
}

/// All checks that need no count of connections, in the contract's order (2.3).
fn judge(
    state: &AppState,
    surface: Surface,
    request: &Request,
    address: IpAddr,
) -> Result<Judged, HandshakeRefusal> {
    let query = request.uri().query().unwrap_or_default();
    if let Some(mount) = state.socket_io.mount_of(surface, request.path(), query) {
        return judge_socket_io(state, mount, query, request);
    }
    let path = request.path().trim_end_matches('/');
    let is_for_events = path == "/ws/events";
    if surface == Surface::Main && path == "/debug/echo" && state.settings.debug.echo {
        let (method, version) = (request.method(), request.version());
        let key = handshake::read(method, version, "", request.headers())?.key;
        // Nobody has authenticated there, ever.
        let place = state.pending.take(address);
        let place = place.ok_or(HandshakeRefusal::Pending)?;
        return Ok(Judged::Echo { key, place });
    }
    if surface != Surface::Main
        || !(is_for_events || matches!(path, "/v1/updates" | "/v1/websocket"))
    {
        return Err(HandshakeRefusal::UnknownPath);
    }
    let Handshake {
        key,
        credential,
        labels,
        correlation_id,
    } = handshake::read(
        request.method(),
        request.version(),
        query,
        request.headers(),
    )?;
    if let Some(correlation_id) = correlation_id {
        tracing::debug!(correlation_id, "handshake");
    }
    if is_for_events {
        let api_key = handshake::api_key(query, request.headers());
        return Ok(Judged::Subscriber { key, api_key });
    }
    let (claim, auth_state) = match credential {
        Credential::Ticket(ticket) => match state.tickets.redeem(&ticket, unix_ms()) {
            Ok(holder) => (claim_of_ticket(&holder), AuthState::Authenticated),
            Err(err) => {
                tracing::debug!(%err, "ticket refused");
                return Err(HandshakeRefusal::Ticket);
            }
        },
        Credential::Token(token) => match state.verify_user(&token) {
            Ok(identity) => (claim(&identity), AuthState::Legacy),
            Err(err) => {
                tracing::debug!(%err, "token refused");
                return Err(HandshakeRefusal::Token);
            }
        },
        Credential::Unusable => return Err(HandshakeRefusal::Token),
        Credential::None => {
            return Ok(Judged::Unknown {
                key,
                labels: labels?,
            });
        }
    };
    Ok(Judged::Known {
        key,
        arrival: (claim, labels?, auth_state),
    })
}

/// A refusal of this service: counted, and answered with short text.
fn refuse(state: &AppState, refusal: HandshakeRefusal, request_id: &str) -> Bytes {
    state.refused.count(refusal);
    render(refusal, request_id)
}

fn render(refusal: HandshakeRefusal, request_id: &str) -> Bytes {
    if let HandshakeRefusal::Engine(refusal) = refusal {
        return refusal.render(request_id);
    }
    let mut response = RawResponse::text(refusal.status(), &refusal.to_string(), request_id);
    for (name, value) in refusal.headers() {
        response.header(name, value);
    }
    response.into_bytes()
}

/// A refusal of the user's first shard, whose worker has counted it: the common error body.
fn render_refusal(refusal: &Refusal, request_id: &str) -> Bytes {
    match refusal {
        Refusal::Limit {
            tier,
            limit,
            connections,
        } => {
            let mut fields = serde_json::Map::new();
            fields.insert("tier".into(), tier.to_string().into());
            fields.insert("limit".into(), (*limit).into());
            fields.insert("connections".into(), (*connections).into());
            fields.insert("retryAfter".into(), 5.into());
            let text = format!(
                "connection limit of tier {tier} reached ({limit}); close a connection or ask for \
                 another tier"
            );
            let mut response =
                RawResponse::error(429, &text, Some("connection-limit"), fields, request_id);
            response.header("Retry-After", "5");
            response.into_bytes()
        }
        Refusal::Draining => render(HandshakeRefusal::Draining, request_id),
        Refusal::Revoked => render(HandshakeRefusal::Token, request_id),
    }
}
