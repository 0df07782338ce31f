//! Addresses of the configuration: where to listen, which web origins and which proxies to trust.
//!
//! The server binds, compares and matches with these types. Parsing asks no name server: whether
//! an address can be reached from other machines must be known from its text alone.

use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs};
use std::str::FromStr;

use ipnet::IpNet;

use crate::faults::quote;
use crate::value::Element;

/// An address to listen on: an IP address or `localhost`, and a port (0: any free one).
///
/// Bind with [`ToSocketAddrs`]: `localhost` gives `127.0.0.1` and then `::1`, for hosts that have
/// only one of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ListenAddress(Form);

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Form {
    Ip(SocketAddr),
    Localhost(u16),
}

/// Why a text is no [`ListenAddress`], with the remedy.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ListenAddressError(String);

impl ListenAddress {
    /// The port; 0 asks the system for a free one.
    #[must_use]
    pub fn port(self) -> u16 {
        match self.0 {
            Form::Ip(address) => address.port(),
            Form::Localhost(port) => port,
        }
    }

    /// Whether only this machine can reach the address.
    #[must_use]
    pub fn is_loopback(self) -> bool {
        match self.0 {
            Form::Ip(address) => address.ip().to_canonical().is_loopback(),
            Form::Localhost(_) => true,
        }
    }
}

impl FromStr for ListenAddress {
    type Err = ListenAddressError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if let Ok(address) = text.parse() {
            return Ok(Self(Form::Ip(address)));
        }
        let given = quote(text);
        if let Ok(ip) = text.parse::<IpAddr>() {
            let example = SocketAddr::new(ip, 8787);
            return Err(ListenAddressError(format!(
                "{given} has no port: write \"{example}\""
            )));
        }
        let Some((host, port)) = text.rsplit_once(':') else {
            return Err(ListenAddressError(format!(
                "{given} has no port: write an address and a port, such as \"127.0.0.1:8787\""
            )));
        };
        let Ok(port) = port.parse() else {
            return Err(ListenAddressError(format!(
                "{given} has no port from 0 to 65535 after its last colon"
            )));
        };
        if host.eq_ignore_ascii_case("localhost") {
            return Ok(Self(Form::Localhost(port)));
        }
        Err(ListenAddressError(format!(
            "the host of {given} is neither an IP address nor localhost: write \"0.0.0.0:{port}\" \
             for every interface or \"127.0.0.1:{port}\" for this machine alone"
        )))
    }
}

impl fmt::Display for ListenAddress {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Form::Ip(address) => address.fmt(formatter),
            Form::Localhost(port) => write!(formatter, "localhost:{port}"),
        }
    }
}

impl ToSocketAddrs for ListenAddress {
    type Iter = std::vec::IntoIter<SocketAddr>;

    fn to_socket_addrs(&self) -> io::Result<Self::Iter> {
        let addresses = match self.0 {
            Form::Ip(address) => vec![address],
            Form::Localhost(port) => vec![
                SocketAddr::from((Ipv4Addr::LOCALHOST, port)),
                SocketAddr::from((Ipv6Addr::LOCALHOST, port)),
            ],
        };
        Ok(addresses.into_iter())
    }
}

impl Element for ListenAddress {
    const KIND: &'static str = "address:port";

    fn parse(text: &str) -> Result<Self, String> {
        text.parse()
            .map_err(|err: ListenAddressError| err.to_string())
    }

    fn text(&self) -> String {
        self.to_string()
    }
}

/// A web origin exactly as browsers send it in `Origin` (RFC 6454 section 6.2): compare bytes.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct CorsOrigin(String);

impl CorsOrigin {
    /// The origin, such as `https://app.example.com`.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Element for CorsOrigin {
    const KIND: &'static str = "web origins";

    fn parse(text: &str) -> Result<Self, String> {
        match origin_fault(text) {
            None => Ok(Self(text.to_owned())),
            Some(reason) => Err(format!(
                "{} {reason}: write the origin as browsers send it, such as \
                 \"https://app.example.com\" or \"http://localhost:3000\"",
                quote(text)
            )),
        }
    }

    fn text(&self) -> String {
        self.0.clone()
    }
}

/// Why no browser sends this text as an origin, which would make the entry match nothing.
fn origin_fault(text: &str) -> Option<&'static str> {
    let Some((scheme, authority)) = text.split_once("://") else {
        return Some(match text {
            "*" => "would allow every site; name each one",
            _ => "has no scheme",
        });
    };
    let named_by = |name: &str, more: &[u8]| {
        name.bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || more.contains(&byte))
    };
    // Schemes past http and https are those of apps with a web view, such as tauri://localhost.
    if !scheme.starts_with(|first: char| first.is_ascii_lowercase()) || !named_by(scheme, b"+-.") {
        return Some("has no scheme in lower case");
    }
    if authority.contains(['/', '?', '#']) {
        return Some("has a path; an origin ends after host and port, with no slash");
    }
    if authority.contains('@') {
        return Some("has a user name");
    }
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
        _ => (authority, None),
    };
    let bracketed = host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'));
    let host_is_good = match bracketed {
        Some(ip) => ip
            .parse::<Ipv6Addr>()
            .is_ok_and(|parsed| parsed.to_string() == ip),
        None => !host.is_empty() && named_by(host, b"-._"),
    };
    if !host_is_good {
        return Some("has no host name in lower-case ASCII");
    }
    match (scheme, port) {
        (_, None) => None,
        ("http", Some("80")) | ("https", Some("443")) => {
            Some("names the scheme's default port, which browsers leave out")
        }
        (_, Some(port)) => match port.parse::<u16>() {
            Ok(number) if number > 0 && number.to_string() == port => None,
            _ => Some("has a bad port"),
        },
    }
}

impl Element for IpNet {
    const KIND: &'static str = "IP addresses or networks";

    fn parse(text: &str) -> Result<Self, String> {
        text.parse::<Self>().or_else(|_| text.parse::<IpAddr>().map(Self::from)).map_err(|_| {
            format!(
                "{} is neither an IP address nor a network: write \"10.0.0.7\" or \"10.0.0.0/8\"",
                quote(text)
            )
        })
    }

    /// One address is written without its prefix length, as it is usually given.
    fn text(&self) -> String {
        if self.prefix_len() == self.max_prefix_len() {
            self.addr().to_string()
        } else {
            self.to_string()
        }
    }
}

#[cfg(test)]
mod tests;
