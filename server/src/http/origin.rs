//! The origin under which a client reaches the server, for addresses that it is given.
//!
//! Clients send their token only where the origin is the one that they were told, so it is taken
//! from their own request (contract happy-client.md, section 7).

use actix_web::HttpRequest;
use actix_web::http::header::{self, HeaderName};
use dormouse_config::HttpSettings;

use super::errors::ApiError;

/// `http.public_url`, or what the request's `Host` says; the scheme is a trusted proxy's word.
///
/// # Errors
/// 400 for a request without a usable `Host`.
pub fn of(settings: &HttpSettings, request: &HttpRequest) -> Result<String, ApiError> {
    if let Some(url) = &settings.public_url {
        return Ok(url.clone());
    }
    let peer = request.peer_addr().map(|peer| peer.ip().to_canonical());
    let proxies = &settings.trusted_proxies;
    let is_proxy = peer.is_some_and(|peer| proxies.iter().any(|proxy| proxy.contains(&peer)));
    let forwarded = |name| {
        let text = text(request, name).filter(|_| is_proxy)?;
        // The first is what the client has said to the outermost proxy.
        text.split(',').next().map(str::trim)
    };
    let scheme = match forwarded(HeaderName::from_static("x-forwarded-proto")) {
        Some(proto) if proto.eq_ignore_ascii_case("https") => "https",
        _ => "http",
    };
    let host = forwarded(HeaderName::from_static("x-forwarded-host"))
        .or_else(|| text(request, header::HOST))
        .filter(|host| is_host(host));
    let host = host.ok_or_else(|| {
        let text = "the header Host does not name this server; send it, or have the operator set \
                    http.public_url";
        ApiError::validation(text)
    })?;
    Ok(format!("{scheme}://{host}"))
}

fn text(request: &HttpRequest, name: HeaderName) -> Option<&str> {
    request.headers().get(name)?.to_str().ok()
}

/// Whether a text can be a host with a port: nothing that would end the origin.
fn is_host(text: &str) -> bool {
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~:[]%".contains(&byte);
    !text.is_empty() && text.len() <= 255 && text.bytes().all(is_allowed)
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;
    use dormouse_config::Loader;

    use super::*;

    fn origin(
        flags: &[(&str, &str)],
        peer: &str,
        headers: &[(&str, &str)],
    ) -> Result<String, ApiError> {
        let loader = flags.iter().fold(Loader::new(), |loader, (key, value)| {
            loader.flag(*key, *value)
        });
        let settings = loader.load().unwrap().settings.http;
        let request = headers
            .iter()
            .fold(TestRequest::default(), |request, header| {
                request.insert_header(*header)
            })
            .peer_addr(peer.parse().unwrap());
        of(&settings, &request.to_http_request())
    }

    #[test]
    fn the_host_of_the_request_is_the_origin() {
        let (peer, host) = ("10.0.0.1:1", ("host", "Example.org:3005"));
        let is = |flags: &[_], headers: &[_], expected: &str| {
            assert_eq!(origin(flags, peer, headers).unwrap(), expected);
        };
        is(&[], &[host], "http://Example.org:3005");
        let (proto, name) = (
            ("x-forwarded-proto", "https"),
            ("x-forwarded-host", "h.example"),
        );
        is(&[], &[host, proto, name], "http://Example.org:3005");
        let trusted = [("http.trusted_proxies", "10.0.0.0/8")];
        is(&trusted, &[host, proto], "https://Example.org:3005");
        is(&trusted, &[host, proto, name], "https://h.example");
        let public = [("http.public_url", "https://public.example")];
        is(&public, &[host], "https://public.example");
        for bad in ["", "a/b", "a b", "a@b", "a?b", "a\"b"] {
            assert!(origin(&[], peer, &[("host", bad)]).is_err(), "{bad}");
        }
    }
}
