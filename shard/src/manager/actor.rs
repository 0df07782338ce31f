//! The actor around a shard's state: receives, calls, sends; falls asleep when nothing happens.

use std::rc::Rc;

use actix::prelude::*;
use dormouse_protocol::{CloseCode, Filter};
use tokio::time::Instant;

use super::outlet::Outlet;
use super::state::{Deferred, State, ack, delivered_ack};
use crate::application::{EventOutcome, EventReply};
use crate::command::Command;
use crate::message::{HubMessage, Replies, ShardDelivery, ShardMessage};
use crate::mount::Wire;
use crate::table::SlotToken;
use crate::worker::Worker;

/// One shard of a user, awake: an actor on the thread that owns the shard's sockets.
///
/// Created by its worker when there is something to tell it; it stops when it falls asleep or
/// when its last connection is gone.
pub struct ConnectionManager {
    /// The shard's index on its worker.
    index: u32,
    worker: Rc<Worker>,
    state: State,
    /// Events so far; a save that was begun before another event does not lead to sleep.
    events: u64,
    last_event: Instant,
    /// Set while attachments are being stored: the number of events at that time.
    saving: Option<u64>,
    /// Work that will come back to this actor.
    pending: u32,
    calls_timer: Option<(Instant, SpawnHandle)>,
}

impl std::fmt::Debug for ConnectionManager {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ConnectionManager")
            .field("shard", self.state.name())
            .finish_non_exhaustive()
    }
}

impl ConnectionManager {
    /// The actor of a shard with what is known of its connections.
    pub(crate) fn new(index: u32, worker: Rc<Worker>, state: State) -> Self {
        Self {
            index,
            worker,
            state,
            events: 0,
            last_event: Instant::now(),
            saving: None,
            pending: 0,
            calls_timer: None,
        }
    }

    fn watch_for_silence(&mut self, ctx: &mut Context<Self>) {
        let after = self.worker.settings().hibernate_after;
        let left = (self.last_event + after).saturating_duration_since(Instant::now());
        ctx.run_later(
            left.max(std::time::Duration::from_millis(1)),
            Self::consider_sleep,
        );
    }

    /// Begins to fall asleep if nothing has happened for long enough.
    fn consider_sleep(&mut self, ctx: &mut Context<Self>) {
        if self.end_if_over(ctx) {
            return;
        }
        let silent = self.last_event.elapsed() >= self.worker.settings().hibernate_after;
        if !silent || self.pending > 0 || !self.state.may_sleep() || self.saving.is_some() {
            if silent {
                // Something is open that no event announces the end of: look again in a while.
                self.last_event = Instant::now();
            }
            return self.watch_for_silence(ctx);
        }
        let changes = {
            let out = self.worker.outlet(self.index);
            self.state.changes_to_store(&out)
        };
        self.saving = Some(self.events);
        if changes.is_empty() {
            return self.stored(Ok(()), ctx);
        }
        let (index, inbox) = (self.index, self.worker.inbox());
        self.worker.store().save(changes, move |result| {
            // The worker may have stopped meanwhile.
            let _ = inbox.send(Command::Stored(index, result));
        });
    }

    fn stored(&mut self, result: Result<(), crate::store::StoreError>, ctx: &mut Context<Self>) {
        let Some(begun_at) = self.saving.take() else {
            return;
        };
        if result.is_err() {
            self.state.nothing_was_stored();
            self.worker.count(|counters| counters.sleep_failures += 1);
            self.last_event = Instant::now();
        }
        // The last of the user's other shards may have gone meanwhile, without an event here.
        if self.end_if_over(ctx) {
            return;
        }
        let is_quiet = result.is_ok() && begun_at == self.events && self.pending == 0;
        if is_quiet && self.worker.fall_asleep(self.index) {
            return ctx.stop();
        }
        self.watch_for_silence(ctx);
    }

    fn receive(
        &mut self,
        from: SlotToken,
        wire: Wire,
        text: &str,
        read_at: Instant,
        ctx: &mut Context<Self>,
    ) {
        let deferred = {
            let mut out = self.worker.outlet(self.index);
            let application = self.worker.application();
            self.state.receive(
                from,
                wire,
                text,
                self.worker.settings(),
                application,
                &mut out,
            )
        };
        self.worker.count(|counters| {
            counters.messages += 1;
            counters.message_latency.observe(read_at.elapsed(), 1);
        });
        if let Some(deferred) = deferred {
            self.defer(deferred, ctx);
        }
    }

    fn defer(&mut self, deferred: Deferred, ctx: &mut Context<Self>) {
        match deferred {
            Deferred::Application { from, request } => {
                let reply_to = request.reply_to.as_ref();
                let correlation = reply_to.map(|to| to.correlation.clone());
                match self.worker.application().handle(request) {
                    EventReply::Now(outcome) => {
                        self.conclude(from, correlation.as_deref(), outcome);
                    }
                    EventReply::Later(future) => {
                        self.pending += 1;
                        ctx.spawn(future.into_actor(self).map(move |outcome, this, _| {
                            this.pending -= 1;
                            this.last_event = Instant::now();
                            this.conclude(from, correlation.as_deref(), outcome);
                        }));
                    }
                    EventReply::Published => {}
                }
            }
            Deferred::Delivered {
                from,
                correlation,
                here,
                mut others,
            } => {
                self.pending += 1;
                let count = async move {
                    let mut delivered = here;
                    while let Some(there) = others.recv().await {
                        delivered += there.delivered;
                    }
                    delivered
                };
                ctx.spawn(count.into_actor(self).map(move |delivered, this, _| {
                    this.pending -= 1;
                    let mut out = this.worker.outlet(this.index);
                    ack(
                        from,
                        Some(&correlation),
                        &delivered_ack(delivered),
                        &mut out,
                    );
                }));
            }
            Deferred::Call {
                call,
                here,
                mut others,
            } => {
                self.pending += 1;
                let find = async move {
                    let mut found: Vec<_> = here.into_iter().collect();
                    while let Some(there) = others.recv().await {
                        found.push(there);
                    }
                    found
                };
                ctx.spawn(find.into_actor(self).map(move |found, this, ctx| {
                    this.pending -= 1;
                    {
                        let mut out = this.worker.outlet(this.index);
                        this.state.place_call(
                            call.request(),
                            found.into_iter(),
                            this.worker.settings(),
                            &mut out,
                        );
                    }
                    this.watch_calls(ctx);
                }));
            }
        }
    }

    fn conclude(
        &mut self,
        from: SlotToken,
        correlation: Option<&serde_json::value::RawValue>,
        outcome: EventOutcome,
    ) {
        let mut out = self.worker.outlet(self.index);
        self.state.conclude(from, correlation, outcome, &mut out);
    }

    fn hub_message(&mut self, message: HubMessage) {
        let mut out = self.worker.outlet(self.index);
        match message {
            HubMessage::Deliver {
                filter,
                frame,
                asked_at,
                reply,
            } => {
                let delivered = self.state.deliver(&filter, frame, &mut out);
                drop(out);
                self.delivered(delivered, asked_at, reply.as_ref());
            }
            HubMessage::Publish {
                publication,
                asked_at,
            } => {
                self.state.publish(&publication, &mut out);
                drop(out);
                if !publication.deliveries.is_empty() {
                    self.worker
                        .count(|counters| counters.broadcast_time.observe(asked_at.elapsed(), 1));
                }
            }
            HubMessage::DeliverToType {
                client_type,
                filter,
                frame,
                asked_at,
                reply,
            } => {
                let delivered = self
                    .state
                    .deliver_to_type(client_type, &filter, frame, &mut out);
                drop(out);
                self.delivered(delivered, asked_at, Some(&reply));
            }
            HubMessage::Direct { connections, frame } => {
                // Whoever was asked and has gone since cannot answer: the caller's shard is told.
                for missing in self.state.deliver_direct(&connections, frame, &mut out) {
                    out.tell_siblings(HubMessage::Gone(missing));
                }
            }
            HubMessage::RpcFind {
                method,
                ask_users,
                reply,
            } => {
                if let Some(found) = self.state.find_targets(&method, ask_users, None) {
                    let _ = reply.send(found);
                }
            }
            HubMessage::RpcAnswer { id, from, value } => {
                let value = value.and_then(|json| {
                    serde_json::value::RawValue::from_string(String::from(&*json)).ok()
                });
                self.state
                    .take_answer(&id, from, value.as_deref(), &mut out);
            }
            HubMessage::Ask {
                connection,
                event,
                data,
                deadline,
                reply,
            } => {
                let data = data.as_deref();
                self.state
                    .ask(connection, &event, data, deadline, reply, &mut out);
            }
            HubMessage::Gone(connection) => self.state.target_gone(connection, &mut out),
            HubMessage::Count {
                client_type,
                filter,
                reply,
            } => {
                let _ = reply.send(self.state.count(client_type, &filter));
            }
            HubMessage::Registered { method, found } => {
                let settings = self.worker.settings();
                self.state
                    .place_waiting(&method, &found, settings, &mut out);
            }
            HubMessage::Inspect(reply) => {
                let _ = reply.send(self.state.attachments(&out));
            }
            HubMessage::Disconnect {
                filter,
                opened_with,
                code,
                reason,
                reply,
            } => {
                let delivered = self.disconnect(&filter, opened_with, code, &reason, &mut out);
                let shard = self.state.name().clone();
                let _ = reply.send(ShardDelivery { shard, delivered });
            }
        }
    }

    /// Counts a delivery to this shard and tells whoever asked.
    fn delivered(&self, delivered: u64, asked_at: Instant, reply: Option<&Replies<ShardDelivery>>) {
        self.worker.count_delivery(self.index, asked_at.elapsed());
        if let Some(reply) = reply {
            let shard = self.state.name().clone();
            // The asker may have given up.
            let _ = reply.send(ShardDelivery { shard, delivered });
        }
    }

    fn disconnect(
        &self,
        filter: &Filter,
        opened_with: Option<[u8; 16]>,
        code: CloseCode,
        reason: &str,
        out: &mut impl Outlet,
    ) -> u64 {
        let mut closed = 0;
        self.state.members().select(filter, |member| {
            if opened_with.is_none() || member.attachment.token_hash == opened_with {
                out.kick(member.token, code, reason);
                closed += 1;
            }
        });
        closed
    }

    /// Ends the actor once the shard has no connection and nothing is on its way to it.
    fn end_if_over(&mut self, ctx: &mut Context<Self>) -> bool {
        let is_over =
            // While attachments are being stored, the outcome is on its way to this index.
            self.state.members().is_empty()
                && self.pending == 0
                && self.saving.is_none()
                && self.worker.forget(self.index);
        if is_over {
            let changes = {
                let out = self.worker.outlet(self.index);
                self.state.changes_to_store(&out)
            };
            if !changes.is_empty() {
                // Records of connections that are gone. If one stays, waking will pass it over.
                self.worker.store().save(changes, |_| {});
            }
            ctx.stop();
        }
        is_over
    }

    /// Keeps one timer for the call whose time is over first.
    fn watch_calls(&mut self, ctx: &mut Context<Self>) {
        let next = self.state.next_call_deadline();
        if next == self.calls_timer.as_ref().map(|(at, _)| *at) {
            return;
        }
        if let Some((_, timer)) = self.calls_timer.take() {
            ctx.cancel_future(timer);
        }
        if let Some(at) = next {
            let timer = ctx.run_later(at.saturating_duration_since(Instant::now()), |this, ctx| {
                this.calls_timer = None;
                {
                    let mut out = this.worker.outlet(this.index);
                    this.state.expire_calls(Instant::now(), &mut out);
                }
                this.watch_calls(ctx);
            });
            self.calls_timer = Some((at, timer));
        }
    }
}

impl Actor for ConnectionManager {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        self.watch_for_silence(ctx);
    }
}

impl Message for ShardMessage {
    type Result = ();
}

impl Handler<ShardMessage> for ConnectionManager {
    type Result = ();

    fn handle(&mut self, message: ShardMessage, ctx: &mut Self::Context) {
        self.worker.message_taken(self.index);
        let message = match message {
            ShardMessage::Stored(result) => return self.stored(result, ctx),
            message => message,
        };
        self.events += 1;
        match message {
            ShardMessage::Inbound {
                token,
                wire,
                text,
                read_at,
            } => {
                self.last_event = read_at;
                self.receive(token, wire, &text, read_at, ctx);
                self.watch_calls(ctx);
            }
            other => {
                self.last_event = Instant::now();
                match other {
                    ShardMessage::Join { token, attachment } => {
                        self.worker.joined(self.index, attachment.connected_at);
                        let wire = self.worker.outlet(self.index).wire(token);
                        self.state.join(token, wire, attachment);
                    }
                    ShardMessage::Ended(token) => {
                        let left = {
                            let mut out = self.worker.outlet(self.index);
                            self.state.leave(token, &mut out)
                        };
                        if let Some(attachment) = left {
                            self.worker.application().left(&attachment);
                            let oldest = self.state.members().oldest();
                            self.worker.left(self.index, &attachment.labels, oldest);
                        }
                        self.watch_calls(ctx);
                    }
                    ShardMessage::Hub(message) => {
                        self.hub_message(message);
                        self.watch_calls(ctx);
                    }
                    ShardMessage::Inbound { .. } | ShardMessage::Stored(_) => {}
                }
            }
        }
        self.end_if_over(ctx);
    }
}
