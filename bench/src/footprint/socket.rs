//! Non-blocking TCP sockets as cheap as they come.
//!
//! Used by the generator and by the floor server. All safe, through `rustix`.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::fd::{AsFd, OwnedFd};

use rustix::event::epoll;
use rustix::io::{Errno, Result};
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, sockopt};

/// How many loopback addresses connections come from: one gives some 28,000 ports.
const SOURCES: usize = 16;

/// Begins to connect. Over loopback the connection comes from 127.0.0.2 and following, in turn.
///
/// # Errors
/// The system's: too many files, no port left, nobody there.
pub(super) fn connect(to: SocketAddr, turn: usize) -> Result<OwnedFd> {
    let family = if to.is_ipv4() {
        AddressFamily::INET
    } else {
        AddressFamily::INET6
    };
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    let socket = rustix::net::socket_with(family, SocketType::STREAM, flags, None)?;
    sockopt::set_tcp_nodelay(&socket, true)?;
    if let IpAddr::V4(address) = to.ip()
        && address.is_loopback()
    {
        let source = Ipv4Addr::new(127, 0, 0, 2 + (turn % SOURCES) as u8);
        rustix::net::bind(&socket, &SocketAddr::from((source, 0)))?;
    }
    match rustix::net::connect(&socket, &to) {
        Ok(()) | Err(Errno::INPROGRESS) => Ok(socket),
        Err(err) => Err(err),
    }
}

/// Watches a socket, edge-triggered, for everything.
///
/// # Errors
/// The system's.
pub(super) fn watch(epoll: &OwnedFd, socket: &OwnedFd, token: u64) -> Result<()> {
    let flags = epoll::EventFlags::IN
        | epoll::EventFlags::OUT
        | epoll::EventFlags::RDHUP
        | epoll::EventFlags::ET;
    epoll::add(epoll, socket, epoll::EventData::new_u64(token), flags)
}

/// What a read gave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Read {
    /// This many bytes; fewer than asked for means that there are no more now.
    Bytes(usize),
    /// Nothing now.
    Later,
    /// Nothing ever again.
    End,
}

/// Reads into `buffer`.
///
/// # Errors
/// The system's; a reset among them.
pub(super) fn read(socket: impl AsFd, buffer: &mut [u8]) -> Result<Read> {
    loop {
        return match rustix::net::recv(&socket, &mut *buffer, RecvFlags::empty()) {
            Ok((_, 0)) => Ok(Read::End),
            Ok((_, count)) => Ok(Read::Bytes(count)),
            Err(Errno::AGAIN) => Ok(Read::Later),
            Err(Errno::INTR) => continue,
            Err(err) => Err(err),
        };
    }
}

/// Writes as much as the socket takes and returns how much that was.
///
/// # Errors
/// The system's.
pub(super) fn write(socket: impl AsFd, bytes: &[u8]) -> Result<usize> {
    loop {
        return match rustix::net::send(&socket, bytes, SendFlags::NOSIGNAL) {
            Ok(count) => Ok(count),
            Err(Errno::AGAIN) => Ok(0),
            Err(Errno::INTR) => continue,
            Err(err) => Err(err),
        };
    }
}

/// Writes `bytes` after what is still waiting in `unsent`, and keeps there what the socket does
/// not take.
///
/// # Errors
/// The system's.
pub(super) fn write_or_keep(socket: impl AsFd, unsent: &mut Vec<u8>, bytes: &[u8]) -> Result<()> {
    if !unsent.is_empty() {
        unsent.extend_from_slice(bytes);
        return Ok(());
    }
    let written = write(socket, bytes)?;
    unsent.extend_from_slice(bytes.get(written..).unwrap_or_default());
    Ok(())
}

/// Writes what was kept, as far as the socket takes it.
///
/// # Errors
/// The system's.
pub(super) fn flush(socket: impl AsFd, unsent: &mut Vec<u8>) -> Result<()> {
    if !unsent.is_empty() {
        let written = write(socket, unsent)?;
        unsent.drain(..written);
    }
    Ok(())
}
