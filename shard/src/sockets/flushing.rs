//! From posted frames to writes: one per socket and turn.

use std::io::IoSlice;

use rustix::io::Errno;
use rustix::net::{SendAncillaryBuffer, SendFlags};

use super::Sockets;
use crate::outbox::Outbox;
use crate::table::{NONE, Owner, SlotToken};

/// Up to this many bytes, frames are copied together and sent by one `send`: cheaper than a
/// vectored write of small pieces (1.08 against 1.21 µs per frame).
const JOIN_BYTES: usize = 64 * 1024;
/// Slices of one vectored write.
const SLICES: usize = 64;

impl Sockets {
    /// Whether posted frames wait to be flushed.
    pub fn has_posted(&self) -> bool {
        !self.replies.is_empty() || !self.fanout.is_empty()
    }

    /// Flushes all answers; returns how many sockets were written to.
    pub fn flush_replies(&mut self) -> usize {
        let count = self.replies.len();
        while let Some(token) = self.replies.pop_front() {
            self.flush_one(token);
        }
        count
    }

    /// Flushes at most `most` sockets of the fan-out, so that a large one does not hold the worker
    /// (10,000 sockets take 40–50 ms).
    pub fn flush_fanout(&mut self, most: usize) {
        for _ in 0..most {
            let Some(token) = self.fanout.pop_front() else {
                self.turn.shrink();
                return;
            };
            self.flush_one(token);
        }
    }

    /// Writes what was posted to one connection; what the socket refuses goes to its outbox.
    pub(super) fn flush_one(&mut self, token: SlotToken) {
        let Some(slot) = self.table.get_mut(token) else {
            return;
        };
        let Some(first) = self.turn.list(slot.head).next() else {
            return;
        };
        let Some(socket) = &slot.socket else {
            return self.flush_polling(token);
        };
        let total: usize;
        let result = if slot.head == slot.tail {
            total = first.len();
            rustix::net::send(socket, first.bytes(), flags())
        } else {
            total = self.turn.list(slot.head).map(|frame| frame.len()).sum();
            if total <= JOIN_BYTES {
                self.joined.clear();
                for frame in self.turn.list(slot.head) {
                    self.joined.extend_from_slice(frame.bytes());
                }
                rustix::net::send(socket, &self.joined, flags())
            } else {
                let slices: Vec<IoSlice<'_>> = self
                    .turn
                    .list(slot.head)
                    .take(SLICES)
                    .map(|frame| IoSlice::new(frame.bytes()))
                    .collect();
                rustix::net::sendmsg(
                    socket,
                    &slices,
                    &mut SendAncillaryBuffer::default(),
                    flags(),
                )
            }
        };
        let written = match result {
            Ok(written) => written,
            Err(Errno::AGAIN | Errno::INTR) => 0,
            Err(_) => return self.write_failed(token),
        };
        self.io.writes += 1;
        self.io.bytes_out += written as u64;
        let mut unwritten = written;
        let mut outbox: Option<Outbox> = None;
        while let Some(held) = self.turn.pop(&mut slot.head, &mut slot.tail) {
            let frame = self.turn.frame(held);
            self.io.frames_out += 1;
            match &mut outbox {
                Some(outbox) => outbox.push_unbounded(frame.clone().queued(self.tick)),
                None if frame.len() <= unwritten => unwritten -= frame.len(),
                None => {
                    let frame = frame.clone().queued(self.tick);
                    outbox = Some(Outbox::starting_with(frame, unwritten));
                }
            }
            self.turn.release(held);
        }
        debug_assert_eq!(slot.head, NONE);
        let is_leaving = slot.owner() == Owner::Leaving;
        if written < total {
            slot.outbox = outbox.map(Box::new);
            self.backlogged += 1;
            self.watch_output(token, true);
        } else if is_leaving {
            self.finish_leaving(token);
        }
    }

    /// Writes on from the outbox of a socket that takes output again.
    pub fn write_on(&mut self, token: SlotToken) {
        loop {
            let Some(slot) = self.table.get_mut(token) else {
                return;
            };
            let (Some(outbox), Some(socket)) = (&mut slot.outbox, &slot.socket) else {
                return;
            };
            let result = {
                let mut slices = Vec::with_capacity(outbox.frames().min(SLICES));
                outbox.fill(&mut slices, SLICES);
                rustix::net::sendmsg(
                    socket,
                    &slices,
                    &mut SendAncillaryBuffer::default(),
                    flags(),
                )
            };
            match result {
                Ok(written) => {
                    self.io.writes += 1;
                    self.io.bytes_out += written as u64;
                    outbox.consume(written);
                }
                Err(Errno::AGAIN) => return,
                Err(Errno::INTR) => {}
                Err(_) => return self.write_failed(token),
            }
            if outbox.is_empty() {
                slot.outbox = None;
                let is_leaving = slot.owner() == Owner::Leaving;
                self.backlogged -= 1;
                if is_leaving {
                    return self.finish_leaving(token);
                }
                return self.watch_output(token, false);
            }
        }
    }
}

fn flags() -> SendFlags {
    SendFlags::NOSIGNAL | SendFlags::DONTWAIT
}
