//! The opening handshake of a WebSocket (RFC 6455 section 4.2, realtime contract section 2):
//! what a request asks for, and why it may be refused. No I/O.

use actix_http::header::{self, HeaderMap};
use actix_http::{Method, Version};
use base64::Engine as _;
use dormouse_protocol::Labels;
use dormouse_protocol::attachment::LabelsError;

use crate::socket_io::refusal::EngineRefusal;

/// Longest `correlationId` that is noted, in characters.
const MAX_CORRELATION_CHARS: usize = 128;

/// How a client says who it is, in the contract's order of precedence (2.1).
#[derive(Clone, PartialEq, Eq)]
pub enum Credential {
    /// A single-use ticket in the query.
    Ticket(String),
    /// A token in the query or in `Authorization`.
    Token(String),
    /// An `Authorization` header that holds no token: as bad as a bad one.
    Unusable,
    /// Nothing: the first message will say.
    None,
}

impl std::fmt::Debug for Credential {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Ticket(_) => "Ticket",
            Self::Token(_) => "Token",
            Self::Unusable => "Unusable",
            Self::None => "None",
        })
    }
}

/// A request that is a proper handshake.
#[derive(Debug, PartialEq, Eq)]
pub struct Handshake {
    /// `Sec-WebSocket-Key`, as sent.
    pub key: String,
    /// How the client authenticates.
    pub credential: Credential,
    /// Client type and ids, or why they are refused. Judged after the credential.
    pub labels: Result<Labels, LabelsError>,
    /// For logs only.
    pub correlation_id: Option<String>,
}

/// Why a handshake is refused before the upgrade (2.3), in the order of the checks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HandshakeRefusal {
    /// The request is no upgrade to WebSocket.
    #[error("this is a WebSocket endpoint; send an upgrade request")]
    NotUpgrade,
    /// No or bad key, or `Connection` lacks `upgrade`.
    #[error("malformed WebSocket handshake: {0}")]
    Malformed(&'static str),
    /// `Sec-WebSocket-Version` is not 13.
    #[error("unsupported WebSocket version; use 13")]
    Version,
    /// The ticket is malformed, forged, expired or used.
    #[error("invalid, expired or used ticket; fetch a new one")]
    Ticket,
    /// The token is invalid, expired or revoked.
    #[error("invalid or expired token")]
    Token,
    /// Client type or ids are not usable.
    #[error(transparent)]
    Labels(#[from] LabelsError),
    /// Too many sockets have not authenticated.
    #[error("too many unauthenticated connections; authenticate in the URL or retry later")]
    Pending,
    /// The server is stopping.
    #[error("the server is stopping; reconnect in a moment")]
    Draining,
    /// A request of Engine.IO, which has refusals of its own.
    #[error(transparent)]
    Engine(#[from] EngineRefusal),
    /// No WebSocket is served there.
    #[error("no WebSocket endpoint at this path; use /v1/updates")]
    UnknownPath,
}

impl HandshakeRefusal {
    /// All words of [`Self::label`].
    pub const LABELS: [&'static str; 10] = [
        Self::NotUpgrade.label(),
        Self::Malformed("").label(),
        Self::Version.label(),
        Self::Ticket.label(),
        Self::Token.label(),
        Self::Labels(LabelsError::UnknownClientType).label(),
        Self::Pending.label(),
        Self::Draining.label(),
        Self::Engine(EngineRefusal::Request).label(),
        Self::UnknownPath.label(),
    ];

    /// The HTTP status.
    pub const fn status(self) -> u16 {
        match self {
            Self::NotUpgrade | Self::Version => 426,
            Self::Malformed(_) | Self::Labels(_) => 400,
            Self::Ticket | Self::Token => 401,
            Self::Pending => 429,
            Self::Draining => 503,
            Self::Engine(refusal) => refusal.status(),
            Self::UnknownPath => 404,
        }
    }

    /// A word for metrics, from a closed set.
    pub const fn label(self) -> &'static str {
        match self {
            Self::NotUpgrade => "not_upgrade",
            Self::Malformed(_) => "malformed",
            Self::Version => "version",
            Self::Ticket => "ticket",
            Self::Token => "token",
            Self::Labels(_) => "labels",
            Self::Pending => "pending_limit",
            Self::Draining => "draining",
            Self::Engine(_) => "engine_io",
            Self::UnknownPath => "unknown_path",
        }
    }

    /// Headers that belong to the status.
    pub const fn headers(self) -> &'static [(&'static str, &'static str)] {
        match self {
            Self::NotUpgrade => &[("Upgrade", "websocket")],
            Self::Version => &[("Sec-WebSocket-Version", "13")],
            Self::Pending => &[("Retry-After", "5")],
            Self::Draining => &[("Retry-After", "1")],
            _ => &[],
        }
    }
}

/// Reads a request's head. WebSockets need HTTP/1.1 (RFC 6455 section 4.2.1): a proxy that speaks
/// 1.0 to the server would not pass the frames on.
///
/// # Errors
/// The first of [`HandshakeRefusal::NotUpgrade`], [`HandshakeRefusal::Malformed`] and
/// [`HandshakeRefusal::Version`] that applies. What comes after depends on secrets and counts.
pub fn read(
    method: &Method,
    version: Version,
    query: &str,
    headers: &HeaderMap,
) -> Result<Handshake, HandshakeRefusal> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let lists = |name: &str, word: &str| {
        let values = headers
            .get_all(name)
            .filter_map(|value| value.to_str().ok());
        values
            .flat_map(|value| value.split(','))
            .any(|item| item.trim().eq_ignore_ascii_case(word))
    };
    if !lists("upgrade", "websocket") {
        return Err(HandshakeRefusal::NotUpgrade);
    }
    if *method != Method::GET {
        return Err(HandshakeRefusal::Malformed("the method must be GET"));
    }
    if version != Version::HTTP_11 {
        let reason = "it must come in HTTP/1.1; for nginx, set proxy_http_version 1.1";
        return Err(HandshakeRefusal::Malformed(reason));
    }
    // Its bytes would be taken for frames.
    if text("content-length").is_some_and(|length| length.trim() != "0")
        || headers.contains_key(header::TRANSFER_ENCODING)
    {
        return Err(HandshakeRefusal::Malformed("it must have no body"));
    }
    if !lists("connection", "upgrade") {
        return Err(HandshakeRefusal::Malformed("Connection must hold Upgrade"));
    }
    let key = text("sec-websocket-key").unwrap_or_default().trim();
    let is_key = |key: &str| {
        let decoded = base64::engine::general_purpose::STANDARD.decode(key);
        decoded.is_ok_and(|bytes| bytes.len() == 16)
    };
    if !is_key(key) {
        let reason = "Sec-WebSocket-Key must be 16 bytes in base64";
        return Err(HandshakeRefusal::Malformed(reason));
    }
    if text("sec-websocket-version").map(str::trim) != Some("13") {
        return Err(HandshakeRefusal::Version);
    }
    let query = Query::read(query);
    // Query wins over header, field by field; empty counts as absent.
    let field = |from_query: Option<String>, header: &str| {
        from_query.or_else(|| {
            text(header)
                .filter(|text| !text.is_empty())
                .map(str::to_owned)
        })
    };
    let credential = match (
        query.ticket,
        query.token,
        headers.get(header::AUTHORIZATION),
    ) {
        (Some(ticket), _, _) => Credential::Ticket(ticket),
        (None, Some(token), _) => Credential::Token(token),
        (None, None, Some(value)) => match crate::auth::bearer::parse(value.as_bytes()) {
            Ok(token) => Credential::Token(token.to_owned()),
            Err(_) => Credential::Unusable,
        },
        (None, None, None) => Credential::None,
    };
    let client_type = field(query.client_type, "x-client-type");
    let session_id = field(query.session_id, "x-session-id");
    let machine_id = field(query.machine_id, "x-machine-id");
    let correlation_id = field(query.correlation_id, "x-correlation-id")
        .filter(|id| id.chars().nth(MAX_CORRELATION_CHARS).is_none());
    Ok(Handshake {
        key: key.to_owned(),
        credential,
        labels: Labels::new(
            client_type.as_deref(),
            session_id.as_deref(),
            machine_id.as_deref(),
        ),
        correlation_id,
    })
}

/// The API key of a handshake for `/ws/events`; in the query it counts before the header (contract
/// events.md section 2).
pub fn api_key(query: &str, headers: &HeaderMap) -> Option<String> {
    let in_query = form_urlencoded::parse(query.as_bytes())
        .find(|(name, value)| name == "apiKey" && !value.is_empty())
        .map(|(_, value)| value.into_owned());
    in_query.or_else(|| {
        let value = headers.get("x-api-key")?.to_str().ok()?.trim();
        (!value.is_empty()).then(|| value.to_owned())
    })
}

/// The `101` response that accepts a key.
pub fn accept(key: &str) -> Vec<u8> {
    let hash = actix_http::ws::hash_key(key.as_bytes());
    let mut response = Vec::with_capacity(160);
    response.extend_from_slice(
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
          Sec-WebSocket-Accept: ",
    );
    response.extend_from_slice(&hash);
    response.extend_from_slice(b"\r\n\r\n");
    response
}

#[derive(Default)]
struct Query {
    ticket: Option<String>,
    token: Option<String>,
    client_type: Option<String>,
    session_id: Option<String>,
    machine_id: Option<String>,
    correlation_id: Option<String>,
}

impl Query {
    /// The first non-empty value of each parameter counts.
    fn read(query: &str) -> Self {
        let mut read = Self::default();
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            let field = match &*name {
                "ticket" => &mut read.ticket,
                "token" => &mut read.token,
                "clientType" => &mut read.client_type,
                "sessionId" => &mut read.session_id,
                "machineId" => &mut read.machine_id,
                "correlationId" => &mut read.correlation_id,
                _ => continue,
            };
            if field.is_none() && !value.is_empty() {
                *field = Some(value.into_owned());
            }
        }
        read
    }
}

#[cfg(test)]
mod tests;
