//! Listening sockets, bound before anything else starts so that faults are told at once.

use std::net::{SocketAddr, TcpListener, ToSocketAddrs};

use dormouse_config::ListenAddress;
use socket2::{Domain, Protocol, Socket, Type};

/// Which routes an address serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Surface {
    /// Clients, and admins unless they have an address of their own.
    Main,
    /// Admins only.
    Admin,
}

/// A bound address.
#[derive(Debug)]
pub struct Listener {
    /// Where it really listens: port 0 is resolved.
    pub address: SocketAddr,
    /// The socket.
    pub socket: TcpListener,
    /// What it serves.
    pub surface: Surface,
}

/// An address that cannot be bound.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address}: {source}; choose another with --listen, or stop what uses it")]
pub struct ListenError {
    address: String,
    source: std::io::Error,
}

/// Binds all addresses.
///
/// # Errors
/// [`ListenError`] names the first that failed; the others are released.
pub fn bind(
    addresses: &[ListenAddress],
    surface: Surface,
    backlog: u32,
) -> Result<Vec<Listener>, ListenError> {
    let mut listeners = Vec::new();
    for address in addresses {
        let failed = |source| ListenError {
            address: address.to_string(),
            source,
        };
        // localhost may be two addresses; a machine without IPv6 has one.
        let candidates: Vec<SocketAddr> = address.to_socket_addrs().map_err(failed)?.collect();
        let mut last_error = None;
        let mut bound = false;
        for candidate in candidates {
            match bind_one(candidate, backlog) {
                Ok(socket) => {
                    let address = socket.local_addr().map_err(failed)?;
                    listeners.push(Listener {
                        address,
                        socket,
                        surface,
                    });
                    bound = true;
                    break;
                }
                Err(err) => last_error = Some(err),
            }
        }
        if !bound {
            let none = || std::io::Error::other("the name has no address");
            return Err(failed(last_error.unwrap_or_else(none)));
        }
    }
    Ok(listeners)
}

fn bind_one(address: SocketAddr, backlog: u32) -> std::io::Result<TcpListener> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM,
        Some(Protocol::TCP),
    )?;
    // A restart must not wait for connections of the last process to time out.
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(i32::try_from(backlog).unwrap_or(i32::MAX))?;
    Ok(socket.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn port_0_is_resolved_and_a_taken_port_is_refused_by_name() {
        let any: ListenAddress = "127.0.0.1:0".parse().unwrap();
        let bound = bind(&[any, any], Surface::Main, 16).unwrap();
        assert!(bound.iter().all(|listener| listener.address.port() != 0));
        let taken: ListenAddress = bound[0].address.to_string().parse().unwrap();
        let err = bind(&[taken], Surface::Main, 16).unwrap_err().to_string();
        assert!(err.contains(&bound[0].address.to_string()), "{err}");
    }
}
