//! The head of an upgrade request: of the plain transport and of Engine.IO.
//!
//! Input: the query in the first line, header fields in the others.

use actix_http::header::{HeaderMap, HeaderName, HeaderValue};
use actix_http::{Method, Version};
use dormouse_server::handshake;
use dormouse_server::socket_io::request::EngineRequest;

/// Checks one input.
pub fn check(input: &[u8]) {
    let mut lines = input.split(|byte| *byte == b'\n');
    let Ok(query) = std::str::from_utf8(lines.next().unwrap_or_default()) else {
        return;
    };
    let mut headers = HeaderMap::new();
    for (name, value) in [
        ("upgrade", "websocket"),
        ("connection", "Upgrade"),
        ("sec-websocket-version", "13"),
        ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
    ] {
        headers.insert(
            HeaderName::from_static(name),
            HeaderValue::from_static(value),
        );
    }
    for line in lines {
        let colon = line
            .iter()
            .position(|byte| *byte == b':')
            .unwrap_or(line.len());
        let (name, value) = line.split_at(colon);
        let value = value.get(1..).unwrap_or_default().trim_ascii();
        if let (Ok(name), Ok(value)) =
            (HeaderName::from_bytes(name), HeaderValue::from_bytes(value))
        {
            // A field of the same name takes the place of a good one.
            headers.insert(name, value);
        }
    }
    if let Ok(read) = handshake::read(&Method::GET, Version::HTTP_11, query, &headers) {
        assert!(handshake::accept(&read.key).starts_with(b"HTTP/1.1 101 "));
    }
    let _ = handshake::api_key(query, &headers);
    for is_upgrade in [false, true] {
        let _ = EngineRequest::read(query, true, is_upgrade);
    }
}
