//! `dormouse health`: is a running server ready? For container health checks, which have no curl.

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, ToSocketAddrs};
use std::time::Duration;

use super::{Failure, load};
use crate::cli::{HealthFlags, SettingFlags};

/// How long the server may take to answer.
const PATIENCE: Duration = Duration::from_secs(3);

/// Asks `/ready`; returns what to print when it is.
///
/// # Errors
/// When the server does not answer, or says that it is not ready.
pub fn run(health: &HealthFlags, flags: &SettingFlags) -> Result<String, Failure> {
    let address = match &health.address {
        Some(address) => address.to_socket_addrs().map_err(Failure::new)?.next(),
        None => {
            let settings = load(flags)?.settings;
            let first = settings.listen.first().map(ToSocketAddrs::to_socket_addrs);
            first
                .transpose()
                .map_err(Failure::new)?
                .and_then(|mut all| all.next())
        }
    };
    let address = reachable(address.ok_or_else(|| Failure::new("no address to ask"))?);
    let answer = ask(address).map_err(|err| Failure::new(format!("{address}: {err}")))?;
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    if head.split_ascii_whitespace().nth(1) == Some("200") {
        Ok(format!("{body}\n"))
    } else {
        Err(Failure::new(body))
    }
}

/// A server that listens on every address is asked on the loopback one.
fn reachable(mut address: SocketAddr) -> SocketAddr {
    if address.ip().is_unspecified() {
        address.set_ip(match address.ip() {
            IpAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
            IpAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
        });
    }
    address
}

fn ask(address: SocketAddr) -> std::io::Result<String> {
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    write!(
        stream,
        "GET /ready HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n"
    )?;
    let mut answer = String::new();
    stream.take(64 * 1024).read_to_string(&mut answer)?;
    Ok(answer)
}
