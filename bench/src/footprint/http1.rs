//! HTTP/1.1 as far as the generator speaks it: the upgrade, requests with JSON on a kept-alive
//! connection, and answers with a length.
//!
//! Pure: bytes in, bytes out. Never prints a request: a token may be in it.

use crate::token::Token;

/// Key of every upgrade; RFC 6455's own example. A server need only echo its digest.
const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
/// Longest head taken.
const MAX_HEAD: usize = 16 << 10;
/// Most headers taken.
const MAX_HEADERS: usize = 64;
/// Longest body taken.
const MAX_BODY: usize = 1 << 20;

/// The head of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// The status.
    pub status: u16,
    /// Bytes of the head itself.
    pub size: usize,
    /// Bytes of body after it; `None` if it does not say.
    pub length: Option<usize>,
}

/// An answer that cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HttpError {
    /// Not HTTP/1.
    #[error("the answer is not HTTP/1.1")]
    Syntax,
    /// Head or body beyond all measure.
    #[error("the answer is too long")]
    TooLong,
    /// Chunked, no length at all, or none that can be read.
    #[error("the answer has no content-length, which this generator needs")]
    Length,
}

/// The upgrade of a connection. `path` carries the query.
pub fn upgrade(host: &str, path: &str) -> Vec<u8> {
    format!(
        "GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {KEY}\r\n\r\n"
    )
    .into_bytes()
}

/// `GET` with a bearer token.
pub fn get(host: &str, path: &str, token: &Token) -> Vec<u8> {
    let token = token.expose();
    format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {token}\r\n\r\n")
        .into_bytes()
}

/// `POST` of a JSON body with a bearer token.
pub fn post(host: &str, path: &str, token: &Token, body: &str) -> Vec<u8> {
    let (token, length) = (token.expose(), body.len());
    format!(
        "POST {path} HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {token}\r\n\
         Content-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
    )
    .into_bytes()
}

/// Reads the head of an answer at the start of `bytes`; `None` while it is incomplete.
///
/// # Errors
/// [`HttpError`].
pub fn parse_head(bytes: &[u8]) -> Result<Option<Head>, HttpError> {
    let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
    let mut response = httparse::Response::new(&mut headers);
    let size = match response.parse(bytes) {
        Ok(httparse::Status::Complete(size)) => size,
        Ok(httparse::Status::Partial) if bytes.len() < MAX_HEAD => return Ok(None),
        Ok(httparse::Status::Partial) => return Err(HttpError::TooLong),
        Err(_) => return Err(HttpError::Syntax),
    };
    let status = response.code.ok_or(HttpError::Syntax)?;
    let declared = response
        .headers
        .iter()
        .find(|header| header.name.eq_ignore_ascii_case("content-length"))
        .map(|header| {
            std::str::from_utf8(header.value)
                .ok()?
                .trim()
                .parse::<usize>()
                .ok()
        });
    let length = match declared {
        _ if matches!(status, 100..=199 | 204 | 304) => Some(0),
        Some(None) => return Err(HttpError::Length),
        Some(length) => length,
        None => None,
    };
    if length.is_some_and(|length| length > MAX_BODY) {
        return Err(HttpError::TooLong);
    }
    Ok(Some(Head {
        status,
        size,
        length,
    }))
}

impl Head {
    /// The end of head and body.
    ///
    /// # Errors
    /// The body's length is not declared.
    pub fn end(&self) -> Result<usize, HttpError> {
        self.length
            .map(|length| self.size + length)
            .ok_or(HttpError::Length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn answers_are_read_once_their_head_is_complete() {
        let text = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\nX: y\r\n\r\nbody";
        for end in 0..text.len() - 4 {
            assert_eq!(parse_head(&text[..end]), Ok(None), "{end}");
        }
        let head = Head {
            status: 200,
            size: text.len() - 4,
            length: Some(4),
        };
        assert_eq!(parse_head(text), Ok(Some(head)));
        let switching = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n\x81\x00";
        let head = Head {
            status: 101,
            size: switching.len() - 2,
            length: Some(0),
        };
        assert_eq!(parse_head(switching), Ok(Some(head)));
    }

    #[test]
    fn a_body_without_a_declared_length_has_no_known_end() {
        for text in ["", "Transfer-Encoding: chunked\r\n"] {
            let text = format!("HTTP/1.1 200 OK\r\n{text}\r\n");
            let head = parse_head(text.as_bytes()).unwrap().unwrap();
            assert_eq!(head.end(), Err(HttpError::Length));
        }
        let head = Head {
            status: 200,
            size: 10,
            length: Some(5),
        };
        assert_eq!(head.end(), Ok(15));
    }

    #[test]
    fn what_cannot_be_read_is_refused() {
        let cases: [(&[u8], HttpError); 4] = [
            (b"SSH-2.0-x\r\n", HttpError::Syntax),
            (
                b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
                HttpError::Length,
            ),
            (
                b"HTTP/1.1 200 OK\r\nContent-Length: 99999999\r\n\r\n",
                HttpError::TooLong,
            ),
            (
                &[b"HTTP/1.1 200 OK\r\nX: ".as_slice(), &[b'x'; MAX_HEAD]].concat(),
                HttpError::TooLong,
            ),
        ];
        for (bytes, expected) in cases {
            assert_eq!(parse_head(bytes), Err(expected));
        }
    }

    #[test]
    fn requests_are_what_servers_expect() {
        let token = Token::new("t").unwrap();
        let request = String::from_utf8(post("h:1", "/p", &token, "{\"a\":1}")).unwrap();
        assert!(
            request.starts_with("POST /p HTTP/1.1\r\nHost: h:1\r\n"),
            "{request}"
        );
        assert!(request.contains("Authorization: Bearer t\r\n"), "{request}");
        assert!(
            request.ends_with("Content-Length: 7\r\n\r\n{\"a\":1}"),
            "{request}"
        );
        for request in [
            get("h", "/x", &token),
            upgrade("h", "/x?y=z"),
            request.into_bytes(),
        ] {
            let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
            let parsed = httparse::Request::new(&mut headers)
                .parse(&request)
                .unwrap();
            assert!(parsed.is_complete());
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            if let Ok(Some(head)) = parse_head(&bytes) {
                prop_assert!(head.size <= bytes.len());
            }
        }
    }
}
