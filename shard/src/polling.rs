//! Socket.IO connections that poll (Socket.IO contract, section 2).
//!
//! Such a connection has a slot in its worker's table like any other, but no socket there. What is
//! sent to it goes to the outbox of its session, which held `GET`s drain; what `POST`s bring waits
//! in the session until its worker takes it. HTTP reaches the session by its id from any thread,
//! so it is behind a lock; connections with a socket never see one.
//!
//! Everything is bounded: the outbox by the limits of outboxes, the input by one `POST` at a time
//! and its largest body, the session's life by heartbeats.

mod sessions;

use std::collections::VecDeque;
use std::sync::{Arc, PoisonError, Weak};
#[cfg(not(feature = "shuttle"))]
use std::sync::{Mutex, MutexGuard};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
#[cfg(feature = "shuttle")]
use shuttle::sync::{Mutex, MutexGuard};
use tokio::sync::oneshot;

use crate::frame::{Frame, ServerFrame, server_frames};
use crate::mount::MountId;
use crate::outbox::{Outbox, OutboxLimits, Overflow};
use crate::table::{Slot, SlotToken};

pub use sessions::{PollSessions, SessionId};

/// Between the packets of a payload.
pub const SEPARATOR: char = '\u{1e}';

/// Where a change to WebSocket stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Change {
    #[default]
    None,
    /// A WebSocket is open for it.
    Tried,
    /// It has answered the probe: `GET`s are let go.
    Probed,
}

#[derive(Debug, Default)]
struct State {
    outbox: Outbox,
    held: Option<oneshot::Sender<Bytes>>,
    input: VecDeque<String>,
    is_posting: bool,
    /// The worker and slot, while it has one.
    place: Option<(usize, SlotToken)>,
    change: Change,
    /// The WebSocket that it has changed to, until its worker takes it.
    changed: Option<Box<Slot>>,
    /// HTTP wants the session closed.
    to_close: bool,
    has_ended: bool,
}

/// A connection that polls.
#[derive(Debug)]
pub struct PollSession {
    id: SessionId,
    mount: MountId,
    home: Weak<PollSessions>,
    state: Mutex<State>,
}

/// The one `POST` of a session; another may come once it is dropped.
#[derive(Debug)]
pub struct Posting(Arc<PollSession>);

impl Posting {
    /// Takes the packets of its body. The caller tells the worker.
    pub fn finish(self, payload: &str) {
        self.0.post(payload);
    }
}

impl Drop for Posting {
    fn drop(&mut self) {
        lock(&self.0.state).is_posting = false;
    }
}

/// What a `GET` gets.
#[derive(Debug)]
pub enum Poll {
    /// This body, now.
    Ready(Bytes),
    /// A body when there is one.
    Held(oneshot::Receiver<Bytes>),
}

/// Why a request of a session is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PollFault {
    /// There is such a request of this session already; the session closes.
    #[error("another request of this kind is pending")]
    Overlap,
    /// The session is over.
    #[error("the session is over")]
    Over,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl PollSession {
    /// Its id.
    pub fn id(&self) -> SessionId {
        self.id
    }

    /// Its mount.
    pub fn mount(&self) -> MountId {
        self.mount
    }

    /// Takes a `GET`.
    ///
    /// # Errors
    /// [`PollFault`]: 400 for the client. The caller tells the worker.
    pub fn poll(&self) -> Result<Poll, PollFault> {
        let mut state = lock(&self.state);
        if state.held.as_ref().is_some_and(|held| !held.is_closed()) {
            state.to_close = true;
            return Err(PollFault::Overlap);
        }
        if !state.outbox.is_empty() {
            return Ok(Poll::Ready(state.drain()));
        }
        if state.has_ended {
            drop(state);
            return if self.forget() {
                Ok(Poll::Ready(Bytes::from_static(b"1")))
            } else {
                Err(PollFault::Over)
            };
        }
        if state.change == Change::Probed {
            return Ok(Poll::Ready(Bytes::from_static(b"6")));
        }
        let (sender, receiver) = oneshot::channel();
        state.held = Some(sender);
        Ok(Poll::Held(receiver))
    }

    /// Begins a `POST`, whose body has yet to be read.
    ///
    /// # Errors
    /// [`PollFault`]: 400 for the client. The caller tells the worker.
    pub fn begin_post(self: &Arc<Self>) -> Result<Posting, PollFault> {
        let mut state = lock(&self.state);
        if state.has_ended {
            return Err(PollFault::Over);
        }
        if std::mem::replace(&mut state.is_posting, true) {
            state.to_close = true;
            return Err(PollFault::Overlap);
        }
        drop(state);
        Ok(Posting(self.clone()))
    }

    /// Takes the packets of a `POST`. The caller tells the worker.
    fn post(&self, payload: &str) {
        let mut state = lock(&self.state);
        state
            .input
            .extend(payload.split(SEPARATOR).map(str::to_owned));
    }

    /// Lets a held `GET` go with nothing.
    pub(crate) fn release(&self) {
        lock(&self.state).answer_held(|_| Bytes::from_static(b"6"));
    }

    /// Whether a `GET` is held.
    pub fn is_held(&self) -> bool {
        lock(&self.state).held.is_some()
    }

    /// Begins a change to WebSocket; `false` when there is one already, or the session is over.
    pub fn begin_change(&self) -> bool {
        let mut state = lock(&self.state);
        let may = state.change == Change::None && !state.has_ended && !state.to_close;
        if may {
            state.change = Change::Tried;
        }
        may
    }

    /// The WebSocket of a change has ended before it was done: polling goes on.
    pub fn give_up_change(&self) {
        lock(&self.state).change = Change::None;
    }

    /// The WebSocket has been probed: a held `GET` is let go, and so are those that come.
    pub(crate) fn probed(&self) {
        let mut state = lock(&self.state);
        state.change = Change::Probed;
        state.answer_held(|_| Bytes::from_static(b"6"));
    }

    /// Keeps the WebSocket for the session's worker, which is then told. A session that has ended
    /// meanwhile gives it back, with its last words.
    pub(crate) fn change_to(&self, slot: Box<Slot>) -> Result<(), (Box<Slot>, Bytes)> {
        let mut state = lock(&self.state);
        if !state.has_ended {
            state.changed = Some(slot);
            return Ok(());
        }
        let outbox = std::mem::take(&mut state.outbox);
        drop(state);
        self.forget();
        let mut words = Vec::new();
        for frame in outbox.into_frames() {
            words.extend_from_slice(frame.bytes());
        }
        words.extend_from_slice(Frame::empty_close().bytes());
        Err((slot, words.into()))
    }

    /// Where the connection is; `None` on its way between workers.
    pub(crate) fn place(&self) -> Option<(usize, SlotToken)> {
        lock(&self.state).place
    }

    /// The connection has a place; what came meanwhile waits to be taken there.
    pub(crate) fn settle(&self, worker: usize, token: SlotToken) {
        lock(&self.state).place = Some((worker, token));
    }

    /// The connection leaves its place for another.
    pub(crate) fn depart(&self) {
        lock(&self.state).place = None;
    }

    /// Takes what has come for the worker.
    pub(crate) fn take(&self) -> Taken {
        let mut state = lock(&self.state);
        Taken {
            packets: std::mem::take(&mut state.input),
            is_to_close: state.to_close,
        }
    }

    /// Whether a WebSocket waits to be taken.
    pub(crate) fn has_changed(&self) -> bool {
        lock(&self.state).changed.is_some()
    }

    /// The WebSocket that the session has changed to, and all that waits to be sent: from now on
    /// the session is over and the WebSocket is the connection's.
    pub(crate) fn take_change(&self) -> Option<(Box<Slot>, Outbox)> {
        let mut state = lock(&self.state);
        let slot = state.changed.take()?;
        state.has_ended = true;
        state.answer_held(|_| Bytes::from_static(b"6"));
        let outbox = std::mem::take(&mut state.outbox);
        drop(state);
        self.forget();
        Some((slot, outbox))
    }

    /// Queues a frame and answers a held `GET`; returns how many ephemerals were dropped.
    pub(crate) fn push(
        &self,
        frames: impl Iterator<Item = Frame>,
        limits: OutboxLimits,
    ) -> Result<u32, Overflow> {
        let mut state = lock(&self.state);
        let mut result = Ok(());
        for frame in frames {
            if state.outbox.is_empty() {
                // Whatever its size: a message that may be sent may be fetched.
                state.outbox.push_unbounded(frame);
            } else if result.is_ok() {
                result = state.outbox.push(frame, limits);
            }
        }
        let dropped = state.outbox.take_dropped();
        if !state.outbox.is_empty() {
            state.answer_held(State::drain);
        }
        result.map(|()| dropped)
    }

    /// Ends the session: what is queued is fetched by the next `GET`, and the one after it hears of
    /// the close. In one body, clients would act on the close first.
    pub(crate) fn end(&self) {
        let mut state = lock(&self.state);
        if std::mem::replace(&mut state.has_ended, true) {
            return;
        }
        state.place = None;
        state.changed = None;
        if state.answer_held(|_| Bytes::from_static(b"1")) {
            drop(state);
            self.forget();
        }
    }

    /// Nobody finds the session any more; `false` when nobody did before.
    pub(crate) fn forget(&self) -> bool {
        let home = self.home.upgrade();
        home.is_some_and(|home| lock(&home.sessions).remove(&self.id).is_some())
    }

    /// Frames and bytes that wait.
    pub(crate) fn backlog(&self) -> (usize, usize) {
        let state = lock(&self.state);
        (state.outbox.frames(), state.outbox.bytes())
    }
}

impl State {
    /// Everything that waits, as one body.
    fn drain(&mut self) -> Bytes {
        let mut body = String::new();
        for frame in std::mem::take(&mut self.outbox).into_frames() {
            push_payload(&mut body, frame.bytes());
        }
        body.into()
    }

    /// Answers a held `GET`; `false` when there is none, or nobody waits for it any more.
    fn answer_held(&mut self, body: impl FnOnce(&mut Self) -> Bytes) -> bool {
        match self.held.take() {
            Some(held) if !held.is_closed() => {
                let body = body(self);
                // The client may have gone in this instant: it would have lost any answer.
                let _ = held.send(body);
                true
            }
            _ => false,
        }
    }
}

/// What has come for a worker.
pub(crate) struct Taken {
    /// Engine.IO packets, in order.
    pub packets: VecDeque<String>,
    /// Whether HTTP wants the session closed.
    pub is_to_close: bool,
}

/// Appends WebSocket frames as packets of a payload.
fn push_payload(body: &mut String, frames: &[u8]) {
    for frame in server_frames(frames) {
        if !body.is_empty() {
            body.push(SEPARATOR);
        }
        match frame {
            ServerFrame::Text(text) => body.push_str(text),
            ServerFrame::Binary(bytes) => {
                body.push('b');
                STANDARD.encode_string(bytes, body);
            }
        }
    }
}

#[cfg(test)]
#[cfg(feature = "shuttle")]
mod schedules;
#[cfg(test)]
#[cfg(not(feature = "shuttle"))]
mod tests;
