//! One WebSocket connection of the generator, from `connect` to the end.
//!
//! Owned by `generator`, which tells it when its socket is ready.

use std::os::fd::OwnedFd;
use std::time::Instant;

use rustix::event::epoll::EventFlags;
use rustix::net::sockopt;

use super::dialect::{Dialect, Heard};
use super::frame::{Decoder, FrameError, Opcode, client_frame};
use super::generator::{Ears, Reply};
use super::http1;
use super::socket::{self, Read};
use super::trouble::Trouble;

/// A connection and how far it has come.
#[derive(Debug)]
pub(super) struct Connection {
    socket: OwnedFd,
    phase: Phase,
    decoder: Decoder,
    /// The head of the answer to the upgrade, while it is incomplete.
    head: Vec<u8>,
    /// What the socket did not take.
    unsent: Vec<u8>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Connecting,
    Upgrading,
    Greeting,
    Open,
    Closing,
}

/// What an event brought about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Progress {
    /// Nothing that others must know.
    None,
    /// The connection is open and greeted.
    Opened,
    /// The connection has ended as it was told to.
    Closed,
}

/// The frames that every connection sends, made once.
#[derive(Debug)]
pub(super) struct Frames {
    pub(super) ping: Vec<u8>,
    pub(super) waking_ping: Vec<u8>,
    pub(super) close: Vec<u8>,
    pub(super) beat: Vec<u8>,
}

impl Frames {
    pub(super) fn of(dialect: &Dialect) -> Self {
        let normal = 1000_u16.to_be_bytes();
        Self {
            ping: dialect.ping(),
            waking_ping: dialect.waking_ping(),
            close: client_frame(Opcode::Close, &normal, [9, 8, 7, 6]),
            beat: dialect.beat(),
        }
    }
}

impl Connection {
    /// A connection whose `connect` is under way.
    pub(super) fn new(socket: OwnedFd) -> Self {
        Self {
            socket,
            phase: Phase::Connecting,
            decoder: Decoder::default(),
            head: Vec::new(),
            unsent: Vec::new(),
        }
    }

    /// Sends a ping.
    pub(super) fn ping(&mut self, frames: &Frames) -> Result<(), Trouble> {
        self.write(&frames.ping)
    }

    /// Sends a ping that wakes the shard.
    pub(super) fn waking_ping(&mut self, frames: &Frames) -> Result<(), Trouble> {
        self.write(&frames.waking_ping)
    }

    fn write(&mut self, frame: &[u8]) -> Result<(), Trouble> {
        Ok(socket::write_or_keep(
            &self.socket,
            &mut self.unsent,
            frame,
        )?)
    }

    /// Begins to close: the server answers and hangs up (RFC 6455, section 7.1.1).
    pub(super) fn close(&mut self, frames: &Frames) -> Result<(), Trouble> {
        self.phase = Phase::Closing;
        Ok(socket::write_or_keep(
            &self.socket,
            &mut self.unsent,
            &frames.close,
        )?)
    }

    /// Does what the socket is ready for. `number` is this connection's, for `ears`.
    pub(super) fn ready(
        &mut self,
        number: usize,
        flags: EventFlags,
        upgrade: &[u8],
        frames: &Frames,
        scratch: &mut [u8],
        ears: &mut dyn Ears,
    ) -> Result<Progress, Trouble> {
        if flags.contains(EventFlags::OUT) {
            if self.phase == Phase::Connecting {
                sockopt::socket_error(&self.socket)??;
                self.phase = Phase::Upgrading;
                socket::write_or_keep(&self.socket, &mut self.unsent, upgrade)?;
            } else {
                socket::flush(&self.socket, &mut self.unsent)?;
            }
        }
        let input = EventFlags::IN | EventFlags::RDHUP | EventFlags::HUP | EventFlags::ERR;
        if !flags.intersects(input) {
            return Ok(Progress::None);
        }
        let before = self.phase;
        loop {
            match socket::read(&self.socket, scratch)? {
                Read::Bytes(count) => {
                    let bytes = scratch.get(..count).unwrap_or_default();
                    self.take(number, bytes, frames, ears)?;
                    // A hang-up is only seen by reading on to the end.
                    let hung_up = flags.intersects(EventFlags::RDHUP | EventFlags::HUP);
                    if count < scratch.len() && !hung_up {
                        break;
                    }
                }
                Read::Later => break,
                Read::End if self.phase == Phase::Closing => return Ok(Progress::Closed),
                Read::End => return Err(Trouble::Dropped(number)),
            }
        }
        let opened = before != Phase::Open && self.phase == Phase::Open;
        Ok(if opened {
            Progress::Opened
        } else {
            Progress::None
        })
    }

    fn take(
        &mut self,
        number: usize,
        bytes: &[u8],
        frames: &Frames,
        ears: &mut dyn Ears,
    ) -> Result<(), Trouble> {
        if matches!(self.phase, Phase::Connecting | Phase::Upgrading) {
            self.head.extend_from_slice(bytes);
            let Some(head) = http1::parse_head(&self.head)? else {
                return Ok(());
            };
            let answer = std::mem::take(&mut self.head);
            let rest = answer.get(head.size..).unwrap_or_default();
            if head.status != 101 {
                return Err(Trouble::refused(head.status, rest));
            }
            self.phase = Phase::Greeting;
            return self.frames(number, rest, frames, ears);
        }
        self.frames(number, bytes, frames, ears)
    }

    fn frames(
        &mut self,
        number: usize,
        bytes: &[u8],
        frames: &Frames,
        ears: &mut dyn Ears,
    ) -> Result<(), Trouble> {
        let now = Instant::now();
        let (mut pings, mut pongs, mut ended) = (0, Vec::new(), false);
        let phase = &mut self.phase;
        let read: Result<(), FrameError> =
            self.decoder.push(bytes, |opcode, payload| match opcode {
                Opcode::Ping => pongs.extend(client_frame(Opcode::Pong, payload, [1, 2, 3, 4])),
                Opcode::Close => ended = true,
                Opcode::Pong => {}
                _ if payload == b"2" => pongs.extend(&frames.beat),
                _ if *phase == Phase::Greeting => {
                    // Presence and the like may come before it is this connection's turn.
                    if Dialect::hear(payload) == Heard::Greeting {
                        *phase = Phase::Open;
                    }
                }
                _ => pings += usize::from(ears.heard(number, payload, now) == Reply::Ping),
            });
        read?;
        if ended && self.phase != Phase::Closing {
            return Err(Trouble::Dropped(number));
        }
        if !pongs.is_empty() {
            ears.pinged(number);
            socket::write_or_keep(&self.socket, &mut self.unsent, &pongs)?;
        }
        for _ in 0..pings {
            self.ping(frames)?;
        }
        Ok(())
    }
}
