//! The worker's loop: wait, read, tell, flush.

use std::rc::Rc;

use tokio::sync::mpsc;
use tokio::time::Instant;

use super::{Common, Worker, unix_ms};
use crate::command::Command;
use crate::message::ShardMessage;
use crate::poller::{Poller, Ready};
use crate::sockets::{Inbound, Said, Sockets, TICK};
use crate::table::Owner;

/// Commands taken per turn.
const COMMANDS_PER_TURN: usize = 256;
/// Messages handed to sleeping shards per turn: about a millisecond, to wake one is 30 µs.
const WAKES_PER_TURN: usize = 32;
/// Sockets of a fan-out flushed per turn: about a millisecond.
const FANOUT_PER_TURN: usize = 256;

impl Worker {
    /// A worker on this thread, which must run an actix arbiter.
    ///
    /// # Errors
    /// When descriptors run out.
    pub(crate) fn new(index: usize, common: Common) -> std::io::Result<(Rc<Self>, Rc<Poller>)> {
        let poller = Rc::new(Poller::new()?);
        let sockets = Sockets::new(poller.clone(), &common.settings, &common.mounts, index);
        let worker = Rc::new(Self {
            index,
            common,
            sockets: sockets.into(),
            shards: Default::default(),
            wake_queue: Default::default(),
            lobby: Default::default(),
            subscribers: Default::default(),
            events: Default::default(),
            replaying: Default::default(),
            echoes: Default::default(),
            counters: Default::default(),
            posted: Default::default(),
            draining: Default::default(),
        });
        Ok((worker, poller))
    }

    /// Runs until the inbox is closed.
    pub(crate) async fn run(
        self: Rc<Self>,
        poller: Rc<Poller>,
        mut inbox: mpsc::UnboundedReceiver<Command>,
    ) {
        let mut ready: Vec<Ready> = Vec::with_capacity(crate::poller::BATCH);
        let mut messages: Vec<Inbound> = Vec::new();
        let (mut took_all_commands, mut saw_all_events) = (true, true);
        let mut next_tick = Instant::now() + TICK;
        let timer = tokio::time::sleep_until(next_tick);
        tokio::pin!(timer);
        loop {
            let mut guard = None;
            let is_busy = {
                let sockets = self.sockets.borrow();
                sockets.has_unread() || sockets.has_posted() || sockets.has_ended()
            } || !self.wake_queue.borrow().is_empty()
                || !self.events.borrow().is_empty()
                || !took_all_commands
                || !saw_all_events;
            if is_busy {
                // Others on this thread (actors, HTTP) get their turn, and the kernel is asked for
                // events: frames that they post now are joined with those that wait.
                tokio::task::yield_now().await;
            } else {
                let wake_at = self.next_wake(next_tick);
                if timer.deadline() != wake_at {
                    timer.as_mut().reset(wake_at);
                }
                tokio::select! {
                    biased;
                    command = inbox.recv() => match command {
                        Some(command) => self.obey(command),
                        None => return,
                    },
                    () = self.posted.notified() => {}
                    is_ready = poller.ready() => match is_ready {
                        Ok(is_ready) => guard = Some(is_ready),
                        Err(_) => return,
                    },
                    () = &mut timer => {}
                }
            }
            took_all_commands = false;
            for _ in 0..COMMANDS_PER_TURN {
                let Ok(command) = inbox.try_recv() else {
                    took_all_commands = true;
                    break;
                };
                self.obey(command);
            }
            let turn_began = Instant::now();
            let pings_before = self.sockets.borrow().io.pings;
            saw_all_events = self.read_sockets(&poller, &mut ready, &mut messages);
            if saw_all_events && let Some(mut guard) = guard {
                guard.clear_ready();
            }
            self.wake_some(WAKES_PER_TURN);
            self.distribute_events();
            self.sockets.borrow_mut().flush_replies();
            // Messages of shards are timed where they are handled.
            let pings = self.sockets.borrow().io.pings - pings_before;
            if pings > 0 {
                let elapsed = turn_began.elapsed();
                self.count(|counters| counters.message_latency.observe(elapsed, pings));
            }
            self.sockets.borrow_mut().flush_fanout(FANOUT_PER_TURN);
            if turn_began >= next_tick {
                // On the dot, so that ticks are time; but a stall is not made up for, else clients
                // that could not be heard meanwhile would count as silent.
                next_tick = (next_tick + TICK).max(turn_began);
                self.sockets.borrow_mut().sweep();
            }
            self.sockets.borrow_mut().end_lingering(turn_began);
            self.turn_away_overdue(turn_began);
            self.go_on_replaying();
            self.tell_ended();
        }
    }

    fn next_wake(&self, next_tick: Instant) -> Instant {
        self.lobby
            .borrow_mut()
            .next_deadline()
            .map_or(next_tick, |at| at.min(next_tick))
    }

    /// Takes the kernel's events and hands what was read to its owners; `false` when the kernel
    /// may have more. While too much waits for shards to wake, nothing is taken.
    fn read_sockets(
        self: &Rc<Self>,
        poller: &Poller,
        ready: &mut Vec<Ready>,
        messages: &mut Vec<Inbound>,
    ) -> bool {
        if self.wake_queue.borrow().is_full() {
            return false;
        }
        let now = unix_ms();
        let read_at = Instant::now();
        self.sockets.borrow_mut().read_again(now, messages);
        let saw_all = match poller.take(ready) {
            Ok(saw_all) => saw_all,
            Err(err) => {
                tracing::error!(%err, "cannot ask the kernel for events");
                true
            }
        };
        {
            let mut sockets = self.sockets.borrow_mut();
            for event in ready.drain(..) {
                if event.hang_up {
                    sockets.note_hang_up(event.token);
                }
                if event.writable {
                    sockets.write_on(event.token);
                }
                if event.readable {
                    sockets.read(event.token, now, messages);
                }
            }
        }
        for inbound in messages.drain(..) {
            let Inbound {
                token,
                owner,
                wire,
                said,
            } = inbound;
            match owner {
                Owner::Shard(index) => {
                    let Said::Message(text) = said else {
                        continue;
                    };
                    self.tell(
                        index,
                        ShardMessage::Inbound {
                            token,
                            wire,
                            text,
                            read_at,
                        },
                    );
                }
                Owner::Lobby => self.hear_guest(token, wire, said),
                Owner::Subscriber => {
                    if let Said::Message(text) = said {
                        self.hear_subscriber(token, text);
                    }
                }
                Owner::Echo | Owner::Leaving => {}
            }
        }
        saw_all
    }

    fn tell_ended(self: &Rc<Self>) {
        if !self.sockets.borrow().has_ended() {
            return;
        }
        let ended = self.sockets.borrow_mut().take_ended();
        for ended in ended {
            match ended.owner {
                Owner::Shard(index) => self.tell(index, ShardMessage::Ended(ended.token)),
                Owner::Lobby => self.left_lobby(ended.token),
                Owner::Subscriber => self.subscribers.borrow_mut().leave(ended.token),
                Owner::Echo => drop(self.echoes.borrow_mut().remove(&ended.token)),
                Owner::Leaving => {}
            }
        }
    }

    fn obey(self: &Rc<Self>, command: Command) {
        match command {
            Command::Admit(arrival) => self.admit(arrival),
            Command::Attach {
                arrival,
                number,
                tier,
            } => self.attach_sibling(arrival, number, tier),
            Command::Wait(newcomer) => self.wait(*newcomer),
            Command::Subscribe(newcomer) => self.admit_subscriber(*newcomer),
            Command::Echo(newcomer) => self.admit_echo(*newcomer),
            Command::SubscriberVerified(token, verdict) => {
                self.subscriber_verified(token, verdict);
            }
            Command::LogRead(token, page) => self.log_read(token, page),
            Command::Events(events) => self.take_events(&events),
            Command::CloseSubscribers(key) => self.close_subscribers(&key),
            Command::Refuse(slot, bytes) => self.say_last(*slot, bytes),
            Command::Verified(token, claim) => self.verified(token, claim),
            Command::Judged(token, outcome) => self.judged(token, outcome),
            Command::Polled(session) => self.polled(session),
            Command::Probe {
                session,
                slot,
                accept,
            } => self.probe(session, *slot, accept),
            Command::Left {
                user,
                number,
                labels,
            } => self.discount(&user, number, &labels),
            Command::Lost {
                user,
                number,
                lost,
                kept,
            } => self.lose(&user, number, lost, &kept),
            Command::Hub { user, to, message } => self.route(&user, to, message),
            Command::Tell {
                user,
                number,
                message,
            } => self.tell_if_known(&user, number, message),
            Command::Stored(index, result) => self.deliver_stored(index, result),
            Command::Stats {
                user,
                number,
                reply,
            } => self.tell_stats(&user, number, reply),
            Command::Report { busiest, reply } => {
                // The asker may have given up, here and below.
                let _ = reply.send(self.report(busiest));
            }
            Command::List(query, reply) => {
                let _ = reply.send(self.list(&query));
            }
            Command::Broadcast {
                audience,
                filter,
                frame,
                reply,
            } => {
                self.broadcast(audience, filter, frame, reply);
            }
            Command::CountAudience {
                audience,
                filter,
                reply,
            } => self.count_audience(audience, &filter, &reply),
            Command::CloseConnection {
                id,
                code,
                reason,
                reply,
            } => {
                if self.close_connection(id, code, &reason) {
                    let _ = reply.send(());
                }
            }
            Command::Reclaim {
                user,
                number,
                claimed,
            } => self.reclaim(&user, number, claimed),
            Command::RetierUser { user } => self.retier(&user),
            Command::Drain(over) => self.drain(over),
            Command::Stop { within, done } => self.stop(within, done),
        }
    }
}
