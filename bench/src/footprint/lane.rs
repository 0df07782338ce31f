//! One kept-alive HTTP connection of the generator, with at most one request under way.
//!
//! Owned by `generator`.

use std::net::{SocketAddr, TcpStream};
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use rustix::event::epoll::EventFlags;

use super::generator::Ears;
use super::http1;
use super::socket::{self, Read};
use super::trouble::Trouble;

/// How long a lane may take to connect.
const CONNECT_WITHIN: Duration = Duration::from_secs(5);

/// An HTTP connection.
#[derive(Debug)]
pub(super) struct Lane {
    socket: OwnedFd,
    answer: Vec<u8>,
    unsent: Vec<u8>,
}

impl Lane {
    /// Connects.
    pub(super) fn open(to: SocketAddr) -> std::io::Result<Self> {
        let stream = TcpStream::connect_timeout(&to, CONNECT_WITHIN)?;
        stream.set_nodelay(true)?;
        stream.set_nonblocking(true)?;
        Ok(Self {
            socket: stream.into(),
            answer: Vec::new(),
            unsent: Vec::new(),
        })
    }

    /// The socket, to be watched.
    pub(super) fn socket(&self) -> &OwnedFd {
        &self.socket
    }

    /// Sends a request. The one before has been answered.
    pub(super) fn request(&mut self, request: &[u8]) -> Result<(), Trouble> {
        Ok(socket::write_or_keep(
            &self.socket,
            &mut self.unsent,
            request,
        )?)
    }

    /// Does what the socket is ready for.
    pub(super) fn ready(
        &mut self,
        number: usize,
        flags: EventFlags,
        scratch: &mut [u8],
        ears: &mut dyn Ears,
    ) -> Result<(), Trouble> {
        if flags.contains(EventFlags::OUT) {
            socket::flush(&self.socket, &mut self.unsent)?;
        }
        loop {
            match socket::read(&self.socket, scratch)? {
                Read::Bytes(count) => {
                    self.answer
                        .extend_from_slice(scratch.get(..count).unwrap_or_default());
                }
                Read::Later => return Ok(()),
                Read::End => return Err(Trouble::LaneClosed),
            }
            if let Some(head) = http1::parse_head(&self.answer)? {
                let whole = head.size..head.end()?;
                if let Some(body) = self.answer.get(whole) {
                    ears.answered(number, head.status, body, Instant::now());
                    self.answer.clear();
                }
            }
        }
    }
}
