//! Subscribers' rules in action (contract events.md sections 6 to 8).

use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytestring::ByteString;
use dormouse_protocol::CloseCode;
use dormouse_protocol::events::frames::{self, EventForm};
use dormouse_protocol::events::{Pattern, Request, Since};
use dormouse_protocol::timestamp::iso;

use super::admin::STOPPING;
use super::{Worker, unix_ms};
use crate::command::Command;
use crate::event::Event;
use crate::event_log::{LogPage, LogUnavailable};
use crate::frame::Frame;
use crate::sockets::Lane;
use crate::subscriber::{Access, AccessRefused, NewSubscriber};
use crate::subscribers::{MOST_WAITING, Phase, Replay, Subscribers};
use crate::table::{Owner, SlotToken};
use crate::turn::FrameRef;

/// Events of one read of a replay: what a socket may have to take before the next is read.
const PAGE: usize = 256;
/// Frames posted to subscribers per turn, so that a burst of events to many does not hold the
/// worker: about a millisecond.
const POSTS_PER_TURN: usize = 4096;

/// Why a replay cannot begin, or go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
enum ReplayFault {
    #[error(
        "the log no longer holds all events since then; subscribe without since, or with \"0\""
    )]
    TooOld,
    #[error("since is ahead of the log; use a cursor of this tenant's events")]
    Ahead,
    #[error("a replay begins with an empty set; unsubscribe first, or open another connection")]
    NotFirst,
    #[error("the log cannot be read now; try again")]
    Unavailable,
}

impl ReplayFault {
    const fn code(self) -> &'static str {
        match self {
            Self::TooOld => "SINCE_TOO_OLD",
            Self::Ahead | Self::NotFirst => "BAD_SINCE",
            Self::Unavailable => "REPLAY_UNAVAILABLE",
        }
    }
}

impl Worker {
    /// Takes in a socket that wants to subscribe. What it sends before its key is verified waits.
    pub(super) fn admit_subscriber(&self, newcomer: NewSubscriber) {
        let NewSubscriber {
            mut slot,
            accept,
            verify,
            permit,
        } = newcomer;
        slot.set_owner(Owner::Subscriber);
        let token = {
            let mut sockets = self.sockets.borrow_mut();
            let token = match sockets.insert(slot) {
                Ok(token) => token,
                Err(err) => {
                    return tracing::error!(%err, "cannot watch a socket; its connection is dropped");
                }
            };
            sockets.send(token, Frame::raw(accept));
            self.subscribers.borrow_mut().enter(token, permit);
            if self.draining.get() {
                return sockets.close(token, CloseCode::GOING_AWAY, STOPPING);
            }
            token
        };
        let inbox = self.inbox();
        verify(Box::new(move |verdict| {
            // The worker may have stopped meanwhile.
            let _ = inbox.send(Command::SubscriberVerified(token, verdict));
        }));
    }

    /// The key of a subscriber is good, or not.
    pub(super) fn subscriber_verified(
        &self,
        token: SlotToken,
        verdict: Result<Access, AccessRefused>,
    ) {
        match verdict {
            Err(refused) => {
                let (code, reason) = refused.close();
                self.sockets.borrow_mut().close(token, code, reason);
            }
            Ok(access) => {
                {
                    let mut subscribers = self.subscribers.borrow_mut();
                    let Some(subscriber) = subscribers.get_mut(token) else {
                        return;
                    };
                    let connected = frames::connected(&access.tenant, &iso(unix_ms()));
                    subscriber.phase = Phase::Live(access);
                    self.sockets
                        .borrow_mut()
                        .send(token, Frame::text(&connected));
                }
                self.hear_waiting(token);
            }
        }
    }

    /// A message of a subscriber.
    pub(super) fn hear_subscriber(&self, token: SlotToken, text: ByteString) {
        let mut subscribers = self.subscribers.borrow_mut();
        let Some(subscriber) = subscribers.get_mut(token) else {
            return;
        };
        let request = Request::parse(&text);
        let is_replaying = matches!(subscriber.phase, Phase::Replaying(..));
        let must_wait = match subscriber.phase {
            Phase::Live(_) => false,
            // A ping asks whether the server is there: it is.
            Phase::Replaying(..) => request != Ok(Request::Ping),
            Phase::Verifying => true,
        };
        if must_wait {
            if subscriber.waiting.len() < MOST_WAITING {
                subscriber.waiting.push(text);
            } else {
                let reason = if is_replaying {
                    "too many messages during a replay"
                } else {
                    "too many messages before authentication"
                };
                let mut sockets = self.sockets.borrow_mut();
                sockets.close(token, CloseCode::POLICY, reason);
            }
            return;
        }
        let answer = match request {
            Ok(Request::Ping) => frames::pong(&iso(unix_ms())),
            Ok(Request::Unsubscribe { channels }) => {
                subscribers.remove(token, &channels);
                let set = subscribers
                    .get_mut(token)
                    .map(|subscriber| &subscriber.channels);
                frames::unsubscribed(set.into_iter().flatten())
            }
            Ok(Request::Subscribe {
                channels,
                since: None,
            }) => match subscribers.add(token, channels) {
                Ok(()) => {
                    let set = subscribers
                        .get_mut(token)
                        .map(|subscriber| &subscriber.channels);
                    frames::subscribed(set.into_iter().flatten(), None)
                }
                Err(fault) => frames::error(&fault),
            },
            Ok(Request::Subscribe {
                channels,
                since: Some(since),
            }) => {
                drop(subscribers);
                match self.begin_replay(token, channels, since) {
                    Ok(()) => return,
                    Err(answer) => answer,
                }
            }
            Err(fault) => frames::error(&fault),
        };
        self.sockets.borrow_mut().send(token, Frame::text(&answer));
    }

    /// What came while there was no time for it.
    fn hear_waiting(&self, token: SlotToken) {
        loop {
            let next = {
                let mut subscribers = self.subscribers.borrow_mut();
                match subscribers.get_mut(token) {
                    // A replay among them makes the rest wait again, in order.
                    Some(subscriber)
                        if matches!(subscriber.phase, Phase::Live(_))
                            && !subscriber.waiting.is_empty() =>
                    {
                        subscriber.waiting.remove(0)
                    }
                    _ => return,
                }
            };
            self.hear_subscriber(token, next);
        }
    }

    /// Starts a replay, or says why not.
    fn begin_replay(
        &self,
        token: SlotToken,
        channels: Vec<Pattern>,
        since: Since,
    ) -> Result<(), String> {
        let mut subscribers = self.subscribers.borrow_mut();
        let Some(subscriber) = subscribers.get_mut(token) else {
            return Ok(());
        };
        if !subscriber.channels.is_empty() {
            return Err(fault_frame(ReplayFault::NotFirst));
        }
        let Phase::Live(access) = &subscriber.phase else {
            return Ok(());
        };
        // Before the entries: they count for live subscribers at once.
        subscriber.phase = Phase::Replaying(
            access.clone(),
            Replay {
                since,
                after: match since {
                    Since::After(after) => after,
                    Since::Now => u64::MAX,
                },
                is_answered: false,
                held: None,
            },
        );
        let added = subscribers.add(token, channels);
        if let Err(fault) = added {
            self.end_replay(&mut subscribers, token);
            return Err(frames::error(&fault));
        }
        if since == Since::Now {
            hold(&mut subscribers, token);
        }
        drop(subscribers);
        self.read_log(token);
        Ok(())
    }

    /// Asks for the next page of a replay.
    fn read_log(&self, token: SlotToken) {
        let mut subscribers = self.subscribers.borrow_mut();
        let Some(subscriber) = subscribers.get_mut(token) else {
            return;
        };
        let Phase::Replaying(access, replay) = &subscriber.phase else {
            return;
        };
        let (access, after) = (access.clone(), replay.after);
        drop(subscribers);
        let inbox = self.inbox();
        let done = Box::new(move |page| {
            // The worker may have stopped meanwhile.
            let _ = inbox.send(Command::LogRead(token, page));
        });
        access.log.read(&access.tenant, after, PAGE, done);
    }

    /// A page of a replay is here.
    pub(super) fn log_read(&self, token: SlotToken, page: Result<LogPage, LogUnavailable>) {
        let mut subscribers = self.subscribers.borrow_mut();
        let Some(subscriber) = subscribers.get_mut(token) else {
            return;
        };
        let Phase::Replaying(_, replay) = &mut subscriber.phase else {
            return;
        };
        let page = match judge(replay, page) {
            Ok(page) => page,
            Err(fault) => {
                let is_answered = replay.is_answered;
                let mut sockets = self.sockets.borrow_mut();
                if is_answered {
                    // What it was promised cannot be kept: it must begin anew, and know it.
                    sockets.close(token, CloseCode::INTERNAL, &fault.to_string());
                } else {
                    sockets.send(token, Frame::text(&fault_frame(fault)));
                    drop(sockets);
                    self.end_replay(&mut subscribers, token);
                    drop(subscribers);
                    self.hear_waiting(token);
                }
                return;
            }
        };
        if replay.since == Since::Now {
            replay.after = page.head;
        }
        {
            let mut sockets = self.sockets.borrow_mut();
            if !std::mem::replace(&mut replay.is_answered, true) {
                let answer = frames::subscribed(subscriber.channels.iter(), Some(replay.after));
                sockets.send(token, Frame::text(&answer));
            }
            for event in &page.events {
                replay.after = event.cursor;
                if subscriber
                    .channels
                    .iter()
                    .any(|pattern| pattern.matches(&event.name))
                {
                    let form = EventForm::Replayed(event.cursor);
                    let json = frames::event(&event.name, &event.payload, form);
                    sockets.send(token, Frame::text(&json));
                }
            }
        }
        let is_last = page.events.len() < PAGE;
        match (&replay.held, is_last) {
            (Some(_), true) => {
                self.go_live(&mut subscribers, token);
                drop(subscribers);
                self.hear_waiting(token);
            }
            // More came than fits: the seam is further on.
            (Some(_), false) => {
                replay.held = None;
                subscribers.remove_from_index(token);
                self.replaying.borrow_mut().push(token);
            }
            (None, true) => {
                hold(&mut subscribers, token);
                drop(subscribers);
                self.read_log(token);
            }
            (None, false) => self.replaying.borrow_mut().push(token),
        }
    }

    /// Reads on for those whose sockets have taken the last page.
    pub(super) fn go_on_replaying(&self) {
        if self.replaying.borrow().is_empty() {
            return;
        }
        let all = std::mem::take(&mut *self.replaying.borrow_mut());
        let (drained, waiting): (Vec<_>, Vec<_>) = {
            let sockets = self.sockets.borrow();
            all.into_iter()
                .partition(|token| sockets.is_drained(*token))
        };
        self.replaying.borrow_mut().extend(waiting);
        for token in drained {
            self.read_log(token);
        }
    }

    /// The replay has met the present: what was held follows, without what was replayed.
    fn go_live(&self, subscribers: &mut Subscribers, token: SlotToken) {
        let Some(subscriber) = subscribers.get_mut(token) else {
            return;
        };
        let phase = std::mem::replace(&mut subscriber.phase, Phase::Verifying);
        let Phase::Replaying(access, replay) = phase else {
            subscriber.phase = phase;
            return;
        };
        subscriber.replayed_to = Some(replay.after);
        subscriber.phase = Phase::Live(access);
        let mut sockets = self.sockets.borrow_mut();
        let mut delivered = 0;
        for event in replay.held.into_iter().flatten() {
            if event.cursor() > replay.after {
                delivered += u64::from(sockets.send(token, event.frame(true).clone()));
            }
        }
        self.count(|counters| counters.events_delivered += delivered);
    }

    /// A replay that could not begin: the set is empty again.
    fn end_replay(&self, subscribers: &mut Subscribers, token: SlotToken) {
        subscribers.remove_from_index(token);
        if let Some(subscriber) = subscribers.get_mut(token) {
            subscriber.channels.clear();
            let phase = std::mem::replace(&mut subscriber.phase, Phase::Verifying);
            subscriber.phase = match phase {
                Phase::Replaying(access, _) => Phase::Live(access),
                other => other,
            };
        }
    }

    /// Takes note of events; they are handed out in the order in which they came.
    pub(super) fn take_events(&self, events: &[Arc<Event>]) {
        // Whoever subscribes later gets later ones.
        if !self.subscribers.borrow().has_no_entries() {
            self.events.borrow_mut().extend(events.iter().cloned());
        } else {
            self.handed_out(events.len());
        }
    }

    /// Hands events to subscribers, as many as fit into a turn.
    pub(super) fn distribute_events(self: &Rc<Self>) {
        let mut posts = 0;
        while posts < POSTS_PER_TURN {
            let next = self.events.borrow_mut().pop_front();
            let Some(event) = next else {
                return;
            };
            posts += self.distribute(&event) + 1;
            self.handed_out(1);
        }
    }

    fn handed_out(&self, events: usize) {
        self.common
            .events_waiting
            .fetch_sub(events, Ordering::Relaxed);
    }

    /// Hands one event to all who subscribe to it; returns how many that are.
    fn distribute(&self, event: &Arc<Event>) -> usize {
        let mut subscribers = self.subscribers.borrow_mut();
        let mut sockets = self.sockets.borrow_mut();
        // Plain, and with the cursor.
        let mut frames: [Option<FrameRef>; 2] = [None, None];
        let (mut delivered, mut dropped) = (0_u64, 0_u64);
        subscribers.each_recipient(event, |subscriber| {
            if let Phase::Replaying(_, replay) = &mut subscriber.phase {
                if let Some(held) = &mut replay.held {
                    held.push(event.clone());
                }
                return;
            }
            // Its replay can be ahead of what workers are told.
            if subscriber.replayed_to >= Some(event.cursor()) {
                return;
            }
            let with_cursor = subscriber.replayed_to.is_some();
            let frame = match frames[usize::from(with_cursor)] {
                Some(frame) => frame,
                None => {
                    let frame = sockets.hold(event.frame(with_cursor).clone());
                    frames[usize::from(with_cursor)] = Some(frame);
                    frame
                }
            };
            if sockets.post(subscriber.token, frame, Lane::Fanout) {
                delivered += 1;
            } else {
                dropped += 1;
            }
        });
        for frame in frames.into_iter().flatten() {
            sockets.release(frame);
        }
        if delivered + dropped > 0 {
            let elapsed = event.accepted_at().elapsed();
            self.count(|counters| {
                counters.events_delivered += delivered;
                counters.events_dropped += dropped;
                counters.event_delivery.observe(elapsed, delivered);
            });
        }
        (delivered + dropped) as usize
    }

    /// Closes the connections that came with a key.
    pub(super) fn close_subscribers(&self, key: &str) {
        let (code, reason) = AccessRefused::Unauthorized.close();
        let mut sockets = self.sockets.borrow_mut();
        for token in self.subscribers.borrow().of_key(key) {
            sockets.close(token, code, reason);
        }
    }
}

/// Has live events kept for a subscriber until its last page is here.
fn hold(subscribers: &mut Subscribers, token: SlotToken) {
    if let Some(subscriber) = subscribers.get_mut(token)
        && let Phase::Replaying(_, replay) = &mut subscriber.phase
    {
        replay.held = Some(Vec::new());
        subscribers.add_to_index(token);
    }
}

/// Whether a page continues the replay.
fn judge(replay: &Replay, page: Result<LogPage, LogUnavailable>) -> Result<LogPage, ReplayFault> {
    let page = page.map_err(|LogUnavailable| ReplayFault::Unavailable)?;
    if replay.since == Since::Now && !replay.is_answered {
        return Ok(page);
    }
    if replay.after > page.head {
        return Err(ReplayFault::Ahead);
    }
    // Whoever asks for the whole log gets what is left of it.
    let is_whole = replay.since == Since::After(0) && !replay.is_answered;
    let begins_right = match page.events.first() {
        Some(first) => first.cursor == replay.after + 1,
        None => page.head == replay.after,
    };
    if begins_right || is_whole {
        Ok(page)
    } else {
        Err(ReplayFault::TooOld)
    }
}

fn fault_frame(fault: ReplayFault) -> String {
    frames::fault_frame(fault.code(), &fault.to_string())
}
