//! Whose request it is, when proxies stand in between.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use actix_http::header::HeaderMap;
use dormouse_config::IpNet;

/// The client's address: the peer's, or what trusted proxies say of it.
///
/// `X-Forwarded-For` is read from its end, where the nearest proxy has written, as long as the
/// writer is trusted; so a client cannot choose its own address.
pub fn client_address(peer: Option<SocketAddr>, headers: &HeaderMap, trusted: &[IpNet]) -> IpAddr {
    let mut address = peer.map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |peer| peer.ip());
    let is_trusted = |address: IpAddr| {
        let address = address.to_canonical();
        trusted.iter().any(|network| network.contains(&address))
    };
    let forwarded: Vec<&str> = headers
        .get_all("x-forwarded-for")
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .collect();
    for hop in forwarded.iter().rev() {
        if !is_trusted(address) {
            break;
        }
        match hop.trim().parse() {
            Ok(before) => address = before,
            Err(_) => break,
        }
    }
    address
}

#[cfg(test)]
mod tests {
    use actix_http::header::{HeaderName, HeaderValue};

    use super::*;

    fn address(peer: &str, forwarded: &str) -> String {
        let mut headers = HeaderMap::new();
        headers.insert(
            HeaderName::from_static("x-forwarded-for"),
            HeaderValue::from_str(forwarded).unwrap(),
        );
        let trusted = ["10.0.0.0/8".parse().unwrap()];
        client_address(Some(peer.parse().unwrap()), &headers, &trusted).to_string()
    }

    #[test]
    fn only_trusted_proxies_are_believed() {
        assert_eq!(address("203.0.113.5:1", "1.2.3.4"), "203.0.113.5");
        assert_eq!(address("10.0.0.1:1", "1.2.3.4"), "1.2.3.4");
        assert_eq!(
            address("10.0.0.1:1", "6.6.6.6, 1.2.3.4, 10.0.0.2"),
            "1.2.3.4"
        );
        assert_eq!(address("10.0.0.1:1", "nonsense"), "10.0.0.1");
    }
}
