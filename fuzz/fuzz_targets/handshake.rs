//! The head of an upgrade request.
#![no_main]

use actix_http::header::{HeaderMap, HeaderName, HeaderValue};
use actix_http::{Method, Version};
use dormouse_server::handshake;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (&str, Vec<(&str, &[u8])>)| {
    let (query, fields) = input;
    let mut headers = HeaderMap::new();
    for (name, value) in [
        ("upgrade", "websocket"),
        ("connection", "Upgrade"),
        ("sec-websocket-version", "13"),
        ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
    ] {
        headers.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
    }
    for (name, value) in fields {
        if let (Ok(name), Ok(value)) = (name.parse::<HeaderName>(), HeaderValue::from_bytes(value)) {
            headers.append(name, value);
        }
    }
    if let Ok(read) = handshake::read(&Method::GET, Version::HTTP_11, query, &headers) {
        assert!(handshake::accept(&read.key).starts_with(b"HTTP/1.1 101 "));
    }
});
