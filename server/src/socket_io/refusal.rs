//! Refusals of Engine.IO requests: JSON with a code, before any protocol is switched.

use bytes::Bytes;
use serde::Serialize;
use utoipa::ToSchema;

use crate::http::raw_response::RawResponse;

/// The body of a refusal.
#[derive(Debug, Serialize, ToSchema)]
pub struct EngineErrorBody {
    /// 0 to 5, as Engine.IO numbers them.
    pub code: u8,
    /// What it stands for.
    pub message: String,
}

/// Why a request is refused (Socket.IO contract, section 2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EngineRefusal {
    /// `transport` is missing or unknown.
    #[error("Transport unknown")]
    Transport,
    /// There is no session of this id.
    #[error("Session ID unknown")]
    Session,
    /// The first request of a session is not `GET`.
    #[error("Bad handshake method")]
    Method,
    /// Anything else that is wrong with the request.
    #[error("Bad request")]
    Request,
    /// Too many connections are before their CONNECT, or it is a page of another origin.
    #[error("Forbidden")]
    Forbidden,
    /// `EIO` is not 4.
    #[error("Unsupported protocol version")]
    Version,
}

impl EngineRefusal {
    /// The code in the body.
    pub const fn code(self) -> u8 {
        match self {
            Self::Transport => 0,
            Self::Session => 1,
            Self::Method => 2,
            Self::Request => 3,
            Self::Forbidden => 4,
            Self::Version => 5,
        }
    }

    /// The HTTP status.
    pub const fn status(self) -> u16 {
        match self {
            Self::Forbidden => 403,
            _ => 400,
        }
    }

    /// The body.
    pub fn body(self) -> String {
        let body = EngineErrorBody {
            code: self.code(),
            message: self.to_string(),
        };
        // A number and a text: there is nothing that cannot be written.
        serde_json::to_string(&body).unwrap_or_default()
    }

    /// The answer to an upgrade.
    pub fn render(self, request_id: &str) -> Bytes {
        let mut response = RawResponse::json(self.status(), self.body(), request_id);
        response.header("Access-Control-Allow-Origin", "*");
        response.into_bytes()
    }
}
