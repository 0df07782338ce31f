//! Responses written by hand: refusals of upgrades, which leave HTTP's own machinery behind.

use std::fmt::Write as _;

use actix_http::StatusCode;
use actix_http::header::HeaderMap;
use bytes::Bytes;
use dormouse_protocol::ErrorBody;
use serde_json::{Map, Value};

use crate::clock::iso_now;

/// The request's id: the inbound `X-Request-ID` if it is 1–128 visible ASCII, else 8 random hex
/// digits (REST contract, section 1.4).
pub fn request_id(headers: &HeaderMap) -> String {
    let inbound = headers
        .get("x-request-id")
        .and_then(|value| value.to_str().ok());
    match inbound {
        Some(id) if (1..=128).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_graphic()) => {
            id.to_owned()
        }
        _ => format!("{:08x}", rand::random::<u32>()),
    }
}

/// A response after which the connection is closed.
#[derive(Debug)]
pub struct RawResponse {
    head: String,
    body: String,
}

impl RawResponse {
    fn new(status: u16, content_type: &str, body: String, request_id: &str) -> Self {
        let reason = StatusCode::from_u16(status)
            .ok()
            .and_then(|status| status.canonical_reason());
        let mut head = String::with_capacity(256);
        // Writing to a string does not fail.
        let _ = write!(
            head,
            "HTTP/1.1 {status} {}\r\nConnection: close\r\nContent-Type: {content_type}\r\n\
             Content-Length: {}\r\nX-Request-ID: {request_id}\r\n\
             X-Content-Type-Options: nosniff\r\n",
            reason.unwrap_or(""),
            body.len(),
        );
        Self { head, body }
    }

    /// A short text, as the refusals of handshakes have it.
    pub fn text(status: u16, text: &str, request_id: &str) -> Self {
        Self::new(
            status,
            "text/plain; charset=utf-8",
            text.to_owned(),
            request_id,
        )
    }

    /// The common error body.
    pub fn error(
        status: u16,
        text: &str,
        code: Option<&str>,
        fields: Map<String, Value>,
        request_id: &str,
    ) -> Self {
        let body = ErrorBody {
            error: text.to_owned(),
            code: code.map(str::to_owned),
            request_id: request_id.to_owned(),
            timestamp: iso_now(),
            fields,
        };
        let json = serde_json::to_string(&body).unwrap_or_default();
        Self::new(status, "application/json", json, request_id)
    }

    /// A JSON body.
    pub fn json(status: u16, body: String, request_id: &str) -> Self {
        Self::new(status, "application/json", body, request_id)
    }

    /// Adds a header.
    pub fn header(&mut self, name: &str, value: &str) {
        let _ = write!(self.head, "{name}: {value}\r\n");
    }

    /// What goes on the wire.
    pub fn into_bytes(self) -> Bytes {
        format!("{}\r\n{}", self.head, self.body).into()
    }
}

#[cfg(test)]
mod tests {
    use actix_http::header::{HeaderName, HeaderValue};

    use super::*;

    #[test]
    fn request_ids_are_taken_over_only_when_they_are_harmless() {
        let id = |value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(
                HeaderName::from_static("x-request-id"),
                HeaderValue::from_str(value).unwrap(),
            );
            request_id(&headers)
        };
        assert_eq!(id("abc-1"), "abc-1");
        for bad in ["", "has space", &"x".repeat(129)] {
            let made = id(bad);
            assert!(
                made.len() == 8 && made.bytes().all(|b| b.is_ascii_hexdigit()),
                "{made}"
            );
        }
    }

    #[test]
    fn errors_have_the_common_shape() {
        let mut fields = Map::new();
        fields.insert("limit".into(), 20.into());
        let mut response = RawResponse::error(429, "full", Some("connection-limit"), fields, "r1");
        response.header("Retry-After", "5");
        let bytes = response.into_bytes();
        let text = std::str::from_utf8(&bytes).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("HTTP/1.1 429 Too Many Requests\r\n"));
        assert!(head.ends_with("Retry-After: 5"));
        assert!(head.contains(&format!("Content-Length: {}\r\n", body.len())));
        let body: Value = serde_json::from_str(body).unwrap();
        assert_eq!(body["error"], "full");
        assert_eq!(body["limit"], 20);
        assert_eq!(body["requestId"], "r1");
    }
}
