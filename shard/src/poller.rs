//! One epoll per worker that watches all its sockets; only its descriptor is known to tokio.
//!
//! A socket registered with the runtime would cost a scheduler entry and a waker each; here it
//! costs its slot. Registration is edge-triggered for input; output is asked for only while a
//! socket has refused a write.

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use rustix::event::Timespec;
use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};
use tokio::io::Interest;
use tokio::io::unix::{AsyncFd, AsyncFdReadyGuard};

use crate::table::SlotToken;

/// Events taken from the kernel at once.
pub const BATCH: usize = 256;

/// What a socket is ready for.
#[derive(Clone, Copy, Debug)]
pub struct Ready {
    /// Whose socket.
    pub token: SlotToken,
    /// There may be something to read, or the peer is gone.
    pub readable: bool,
    /// A refused write may be tried again.
    pub writable: bool,
    /// The peer has sent its FIN or is gone; bytes may still come before it.
    pub hang_up: bool,
}

/// The worker's epoll.
#[derive(Debug)]
pub struct Poller {
    epoll: AsyncFd<OwnedFd>,
}

impl Poller {
    /// A new epoll, registered with the runtime of this thread.
    ///
    /// # Errors
    /// When descriptors run out.
    pub fn new() -> io::Result<Self> {
        let epoll = epoll::create(CreateFlags::CLOEXEC)?;
        // SAFETY: the descriptor is owned by the `AsyncFd` and stays the same open file until both
        // are dropped together: the field is private and never replaced.
        // Needed: a runtime task per socket costs 839 bytes where this costs 213 at most.
        #[expect(unsafe_code)]
        let epoll = unsafe { AsyncFd::register_with_interest(epoll, Interest::READABLE) }?;
        Ok(Self { epoll })
    }

    /// Watches a socket for input.
    ///
    /// # Errors
    /// When the kernel's limit of watches is reached.
    pub fn add(&self, socket: impl AsFd, token: SlotToken) -> io::Result<()> {
        let data = EventData::new_u64(token.to_bits());
        Ok(epoll::add(self.epoll.get_ref(), socket, data, input())?)
    }

    /// Says whether the socket is to be reported when it takes output again.
    ///
    /// # Errors
    /// When the socket is not watched.
    pub fn watch_output(&self, socket: impl AsFd, token: SlotToken, on: bool) -> io::Result<()> {
        let flags = if on {
            input() | EventFlags::OUT
        } else {
            input()
        };
        let data = EventData::new_u64(token.to_bits());
        Ok(epoll::modify(self.epoll.get_ref(), socket, data, flags)?)
    }

    /// Stops watching a socket that goes to another worker.
    ///
    /// # Errors
    /// When the socket is not watched.
    pub fn delete(&self, socket: impl AsFd) -> io::Result<()> {
        Ok(epoll::delete(self.epoll.get_ref(), socket)?)
    }

    /// Waits until a socket may be ready. The guard is cleared when [`Poller::take`] has returned
    /// the last event; an event that comes later is an edge of its own.
    ///
    /// # Errors
    /// When the runtime is shutting down.
    pub async fn ready(&self) -> io::Result<AsyncFdReadyGuard<'_, OwnedFd>> {
        self.epoll.readable().await
    }

    /// Takes ready sockets without waiting. `false` means that more may be left.
    ///
    /// # Errors
    /// What the kernel says, except for an interruption.
    pub fn take(&self, ready: &mut Vec<Ready>) -> io::Result<bool> {
        let mut events: [std::mem::MaybeUninit<Event>; BATCH] =
            [const { std::mem::MaybeUninit::uninit() }; BATCH];
        let zero = Timespec {
            tv_sec: 0,
            tv_nsec: 0,
        };
        let (events, _) = match epoll::wait(self.epoll.get_ref(), &mut events[..], Some(&zero)) {
            Ok(events) => events,
            Err(rustix::io::Errno::INTR) => return Ok(false),
            Err(err) => return Err(err.into()),
        };
        ready.extend(events.iter().map(|event| {
            // Packed on x86-64: copy out before use.
            let (flags, data) = (event.flags, event.data);
            Ready {
                token: SlotToken::from_bits(data.u64()),
                readable: flags.intersects(EventFlags::IN | hang_up()),
                writable: flags.intersects(EventFlags::OUT | EventFlags::HUP | EventFlags::ERR),
                hang_up: flags.intersects(hang_up()),
            }
        }));
        Ok(events.len() < BATCH)
    }
}

fn hang_up() -> EventFlags {
    EventFlags::RDHUP | EventFlags::HUP | EventFlags::ERR
}

fn input() -> EventFlags {
    EventFlags::IN | EventFlags::RDHUP | EventFlags::ET
}
