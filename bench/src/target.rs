//! The server under test: its address and how its endpoints are spelt.
//!
//! Every scenario makes its URLs here. Never prints a URL with its query: a token may be in it.

use url::{Position, Url};

use crate::mix::Role;
use crate::token::Token;

/// Base address of a server, `http` only (`ws` is taken for the same).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    base: Url,
}

/// Why a text is no base address.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TargetError {
    /// No URL at all. Not repeated: nobody knows what is in it.
    #[error("this is not a URL; write it as http://host:port")]
    Url,
    /// Another scheme than `http`.
    #[error(
        "this tool speaks plain http, not {0}; measure the server itself rather than the proxy \
         in front of it"
    )]
    Scheme(String),
    /// Something that would be lost or shown.
    #[error("the URL must be a bare address, without user name, query or fragment")]
    Extras,
}

impl Target {
    /// Reads a base address.
    ///
    /// # Errors
    /// Not an `http` URL with a host, or one with credentials, query or fragment.
    pub fn parse(text: &str) -> Result<Self, TargetError> {
        let mut url = Url::parse(text).map_err(|_| TargetError::Url)?;
        if url.scheme() == "ws" && url.set_scheme("http").is_err() {
            return Err(TargetError::Url);
        }
        if url.scheme() != "http" {
            return Err(match url.has_host() {
                true => TargetError::Scheme(url.scheme().to_owned()),
                false => TargetError::Url,
            });
        }
        let extras = url.query().is_some()
            || url.fragment().is_some()
            || !url.username().is_empty()
            || url.password().is_some();
        if extras {
            return Err(TargetError::Extras);
        }
        Ok(Self { base: url })
    }

    /// Host name or address, without brackets.
    pub fn host(&self) -> &str {
        self.base
            .host_str()
            .unwrap_or_default()
            .trim_matches(['[', ']'])
    }

    /// TCP port.
    pub fn port(&self) -> u16 {
        self.base.port_or_known_default().unwrap_or(80)
    }

    /// Host and port as they stand in a `Host` header.
    pub fn authority(&self) -> &str {
        &self.base[Position::BeforeHost..Position::AfterPort]
    }

    /// `http://host:port/prefix`, for reports and errors.
    pub fn shown(&self) -> &str {
        self.base.as_str().trim_end_matches('/')
    }

    /// The URL of an endpoint; `path` begins with a slash.
    pub fn http(&self, path: &str) -> Url {
        let mut url = self.base.clone();
        url.set_path(&format!("{}{path}", self.base.path().trim_end_matches('/')));
        url
    }

    /// Path and query of the WebSocket endpoint (realtime contract, section 2.2) for a connection
    /// that presents its token in the query.
    pub fn updates_path(&self, token: &Token, role: &Role) -> String {
        let url = self.updates(token, role);
        format!("{}?{}", url.path(), url.query().unwrap_or_default())
    }

    /// The same as a `ws` URL.
    pub fn updates_url(&self, token: &Token, role: &Role) -> String {
        let path = self.updates_path(token, role);
        let host = self.base.host_str().unwrap_or_default();
        format!("ws://{host}:{}{path}", self.port())
    }

    /// The `ws` URL of any other endpoint; `path` begins with a slash and may carry a query.
    pub fn websocket_url(&self, path: &str) -> String {
        let host = self.base.host_str().unwrap_or_default();
        let prefix = self.base.path().trim_end_matches('/');
        format!("ws://{host}:{}{prefix}{path}", self.port())
    }

    fn updates(&self, token: &Token, role: &Role) -> Url {
        let mut url = self.http("/v1/updates");
        {
            let mut query = url.query_pairs_mut();
            query.append_pair("token", token.expose());
            query.append_pair("clientType", role.client_type.as_str());
            for (name, id) in [("sessionId", &role.session), ("machineId", &role.machine)] {
                if let Some(id) = id {
                    query.append_pair(name, id);
                }
            }
        }
        url
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use dormouse_protocol::ClientType;

    #[test]
    fn endpoints_are_spelt_below_the_base() {
        let token = Token::new("a+b&c").unwrap();
        let role = Role {
            client_type: ClientType::SessionScoped,
            session: Some("s 1".into()),
            machine: None,
        };
        let target = Target::parse("http://127.0.0.1:8787/").unwrap();
        assert_eq!(target.http("/v1/x").as_str(), "http://127.0.0.1:8787/v1/x");
        assert_eq!(
            target.updates_url(&token, &role),
            "ws://127.0.0.1:8787/v1/updates?token=a%2Bb%26c&clientType=session-scoped&sessionId=s+1"
        );
        let socket = Target::parse("ws://127.0.0.1:8787").unwrap();
        assert_eq!(socket.shown(), "http://127.0.0.1:8787");
        let below = Target::parse("http://[::1]/api/").unwrap();
        assert_eq!(
            (below.host(), below.port(), below.authority()),
            ("::1", 80, "[::1]")
        );
        assert_eq!(target.authority(), "127.0.0.1:8787");
        assert_eq!(below.http("/v1/x").path(), "/api/v1/x");
        assert_eq!(below.shown(), "http://[::1]/api");
        assert!(
            below
                .updates_url(&token, &role)
                .starts_with("ws://[::1]:80/api/v1/updates?")
        );
    }

    #[test]
    fn what_is_no_plain_http_address_is_refused_with_the_reason() {
        let cases = [
            ("localhost:8787", "not a URL; write it as http://host:port"),
            ("", "not a URL"),
            ("https://example.org", "plain http, not https"),
            ("http://user:pw@example.org", "bare address"),
            ("http://example.org?token=x", "bare address"),
            ("http://example.org#x", "bare address"),
        ];
        for (text, expected) in cases {
            let err = Target::parse(text).unwrap_err().to_string();
            assert!(err.contains(expected), "{text}: {err}");
        }
    }
}
