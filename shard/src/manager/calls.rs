//! RPC between the connections of a hub, as one shard sees it (realtime contract, section 6).

use std::sync::Arc;

use dormouse_protocol::envelope::{Envelope, string};
use dormouse_protocol::{ClientType, ConnectionId, Filter, event, frames, rpc as wire};
use serde_json::value::RawValue;
use tokio::sync::mpsc;

use super::outlet::Outlet;
use super::rpc::{self, Asked, CallRequest, OpenCall, Rpc, Target, WaitingCall};
use super::state::{Deferred, State, ack};
use crate::frame::Frame;
use crate::message::{HubMessage, Replies, RpcFound, RpcLevel};
use crate::mount::Wire;
use crate::settings::ShardSettings;
use crate::table::SlotToken;

impl State {
    pub(super) fn rpc_mut(&mut self) -> &mut Rpc {
        self.rpc.get_or_insert_default()
    }

    pub(super) fn register(
        &mut self,
        from: SlotToken,
        message: &Envelope<'_>,
        settings: &ShardSettings,
        out: &mut impl Outlet,
    ) {
        let registers = message.event == event::RPC_REGISTER;
        let kind = if registers { "register" } else { "unregister" };
        let Some(method) = wire::method(message.payload) else {
            return refuse_registration(from, kind, "Invalid method name", message, out);
        };
        self.is_stored = false;
        let rpc = self.rpc_mut();
        if !registers {
            rpc.unregister(&method, from);
        } else if !rpc.register(&method, from, registration_order(), settings.rpc_methods) {
            return refuse_registration(from, kind, "too many methods", message, out);
        }
        let name = if registers {
            event::RPC_REGISTERED
        } else {
            event::RPC_UNREGISTERED
        };
        out.send(
            from,
            &frames::event(name, &serde_json::json!({ "method": method })),
        );
        ack(from, message.correlation, r#"{"ok":true}"#, out);
        if registers {
            self.announce_method(from, &method, settings, out);
        }
    }

    /// Calls that wait for a method, here or in the user's other shards, can be placed.
    fn announce_method(
        &mut self,
        server: SlotToken,
        method: &str,
        settings: &ShardSettings,
        out: &mut impl Outlet,
    ) {
        let Some(found) = self.find_targets(method, false, None) else {
            return;
        };
        for call in self.rpc_mut().take_waiting(method, Some(server)) {
            self.place_call(
                call.request(),
                std::iter::once(found.clone()),
                settings,
                out,
            );
        }
        if out.has_siblings() {
            let method = Arc::from(method);
            out.tell_siblings(HubMessage::Registered { method, found });
        }
    }

    /// A connection of another shard serves a method now.
    pub fn place_waiting(
        &mut self,
        method: &str,
        found: &RpcFound,
        settings: &ShardSettings,
        out: &mut impl Outlet,
    ) {
        let waiting = self
            .rpc
            .as_mut()
            .map_or_else(Vec::new, |rpc| rpc.take_waiting(method, None));
        for call in waiting {
            self.place_call(
                call.request(),
                std::iter::once(found.clone()),
                settings,
                out,
            );
        }
    }

    pub(super) fn call(
        &mut self,
        from: SlotToken,
        speaks: Wire,
        message: &Envelope<'_>,
        settings: &ShardSettings,
        out: &mut impl Outlet,
    ) -> Option<Deferred> {
        let Some(data) = message
            .payload
            .filter(|data| wire::Call::parse(data).is_some())
        else {
            let error = "Invalid parameters: method is required";
            let value = wire::failure(error, None, false);
            ack(from, message.correlation, &value, out);
            return None;
        };
        let call = wire::Call::parse(data)?;
        let labels = &self.members.get(from)?.attachment.labels;
        let ask_users = labels.client_type != ClientType::UserScoped && !speaks.is_socket_io();
        let here = self.find_targets(&call.method, ask_users, Some(from));
        let request = CallRequest {
            from,
            wire: speaks,
            event: &message.event,
            data,
            correlation: message.correlation,
        };
        if out.has_siblings() {
            let (reply, others) = mpsc::unbounded_channel();
            let method = Arc::from(&*call.method);
            out.tell_siblings(HubMessage::RpcFind {
                method,
                ask_users,
                reply,
            });
            return Some(Deferred::Call {
                call: request.hold(),
                here,
                others,
            });
        }
        self.place_call(request, here.into_iter(), settings, out);
        None
    }

    /// Who here could serve a method: the best kind that finds anybody but the caller.
    pub fn find_targets(
        &self,
        method: &str,
        ask_users: bool,
        caller: Option<SlotToken>,
    ) -> Option<RpcFound> {
        let found = |level, order, connections: Vec<ConnectionId>| {
            (!connections.is_empty()).then_some(RpcFound {
                shard: self.name.number,
                level,
                order,
                connections,
            })
        };
        if let Some(entry) = self.rpc.as_ref().and_then(|rpc| rpc.registration(method))
            && Some(entry.token) != caller
            && let Some(member) = self.members.get(entry.token)
        {
            let connections = vec![member.attachment.connection_id];
            return found(RpcLevel::Registered, entry.order, connections);
        }
        let target = method.split_once(':').map_or("", |(target, _)| target);
        let of_type = |client_type: ClientType, filter: Filter| {
            let mut connections = Vec::new();
            self.members.select(&filter, |member| {
                let labels = &member.attachment.labels;
                // Socket.IO clients say what they serve, so they are asked for nothing else.
                let may_serve = member.wire == Wire::Plain && Some(member.token) != caller;
                if labels.client_type == client_type && may_serve {
                    connections.push(member.attachment.connection_id);
                }
            });
            connections
        };
        let machines = || of_type(ClientType::MachineScoped, Filter::Machine(target.into()));
        let sessions = || of_type(ClientType::SessionScoped, Filter::Session(target.into()));
        let users = || of_type(ClientType::UserScoped, Filter::UserScopedOnly);
        found(RpcLevel::Machine, 0, machines())
            .or_else(|| found(RpcLevel::Session, 0, sessions()))
            .or_else(|| {
                ask_users
                    .then(|| found(RpcLevel::Users, 0, users()))
                    .flatten()
            })
    }

    /// Sends a call to the best of what was found, or tells the caller that there is nobody.
    pub fn place_call(
        &mut self,
        request: CallRequest<'_>,
        found: impl Iterator<Item = RpcFound>,
        settings: &ShardSettings,
        out: &mut impl Outlet,
    ) {
        let CallRequest {
            from,
            wire: speaks,
            event: event_name,
            data,
            correlation,
        } = request;
        let Some(call) = wire::Call::parse(data).filter(|_| self.members.get(from).is_some())
        else {
            return;
        };
        let mut best: Vec<RpcFound> = found.collect();
        // While others were asked, connections of this shard may have gone.
        for found in best
            .iter_mut()
            .filter(|found| found.shard == self.name.number)
        {
            found
                .connections
                .retain(|id| self.members.find(*id).is_some());
        }
        best.retain(|found| !found.connections.is_empty());
        let level = best.iter().map(|found| found.level).min();
        best.retain(|found| Some(found.level) == level);
        if level == Some(RpcLevel::Registered) {
            best.sort_by_key(|found| std::cmp::Reverse(found.order));
            best.truncate(1);
        }
        if level.is_none() && (!speaks.is_socket_io() || correlation.is_none()) {
            let value = wire::failure("no connection serves this method", None, false);
            return ack(from, correlation, &value, out);
        }
        // A call that wants no answer is not open.
        if correlation.is_some() && self.rpc_mut().open_calls_of(from) >= settings.rpc_open_calls {
            let value = wire::failure("too many open calls; wait for answers", None, false);
            return ack(from, correlation, &value, out);
        }
        let Some(level) = level else {
            return self.wait_for_server(request, &call.method, settings, out);
        };
        let id = rpc::new_id(self.name.number);
        let name = if level == RpcLevel::Users {
            event_name
        } else {
            event::RPC_REQUEST
        };
        let frame = Frame::text(&frames::rpc_request(name, &call, &id));
        let targets: Vec<Target> = best
            .iter()
            .flat_map(|found| {
                let shard = found.shard;
                found.connections.iter().map(move |connection| Target {
                    shard,
                    connection: *connection,
                })
            })
            .collect();
        if let Some(correlation) = correlation {
            let timeout = match speaks {
                Wire::Plain => settings.rpc_timeout,
                Wire::SocketIo(_) => settings.rpc_timeout.min(settings.socket_io_rpc_timeout),
            };
            let call = OpenCall {
                caller: from,
                wire: speaks,
                correlation: correlation.to_owned(),
                method: (*call.method).into(),
                targets: targets.clone(),
                deadline: rpc::deadline(timeout),
            };
            self.rpc_mut().open(id, call);
        }
        self.send_to_targets(&targets, frame, out);
    }

    /// Keeps a call of a Socket.IO client until its method is served: a daemon that reconnects
    /// registers its methods anew.
    fn wait_for_server(
        &mut self,
        request: CallRequest<'_>,
        method: &str,
        settings: &ShardSettings,
        out: &mut impl Outlet,
    ) {
        let rpc = self.rpc_mut();
        let is_own = rpc
            .registration(method)
            .is_some_and(|entry| entry.token == request.from);
        if is_own {
            let value = wire::failure("Cannot call RPC on the same socket", None, false);
            return ack(request.from, request.correlation, &value, out);
        }
        rpc.wait(WaitingCall {
            call: request.hold(),
            method: method.into(),
            deadline: rpc::deadline(settings.rpc_wait),
        });
    }

    fn send_to_targets(&self, targets: &[Target], frame: Frame, out: &mut impl Outlet) {
        let mut shards: Vec<u16> = targets.iter().map(|target| target.shard).collect();
        shards.sort_unstable();
        shards.dedup();
        for shard in shards {
            let connections: Arc<[ConnectionId]> = targets
                .iter()
                .filter(|target| target.shard == shard)
                .map(|target| target.connection)
                .collect();
            if shard == self.name.number {
                self.deliver_direct(&connections, frame.clone(), out);
            } else {
                let frame = frame.clone();
                out.tell_sibling(shard, HubMessage::Direct { connections, frame });
            }
        }
    }

    /// A target's answer: here if the call was made here, else on to where it was made.
    pub(super) fn answer(
        &mut self,
        from: SlotToken,
        message: &Envelope<'_>,
        out: &mut impl Outlet,
    ) {
        let (Some(id), Some(member)) =
            (message.correlation.and_then(string), self.members.get(from))
        else {
            return;
        };
        let from = member.attachment.connection_id;
        match rpc::home_of(&id) {
            Some(home) if home == self.name.number => self.take_answer(&id, from, message.ack, out),
            Some(home) => out.tell_sibling(
                home,
                HubMessage::RpcAnswer {
                    id: (*id).into(),
                    from,
                    value: message.ack.map(|value| value.get().into()),
                },
            ),
            None => {}
        }
    }

    /// Sends an event of the server to a connection of this shard that is to acknowledge it. `reply`
    /// is dropped when it is not here, goes, or does not answer in time.
    pub fn ask(
        &mut self,
        connection: ConnectionId,
        event: &str,
        data: Option<&RawValue>,
        deadline: tokio::time::Instant,
        reply: Replies<Box<RawValue>>,
        out: &mut impl Outlet,
    ) {
        let Some(token) = self.members.find(connection).map(|member| member.token) else {
            return;
        };
        let id = rpc::new_id(self.name.number);
        let Ok(correlation) = serde_json::value::to_raw_value(&id) else {
            return;
        };
        let asked = Asked {
            target: connection,
            deadline,
            reply,
        };
        self.rpc_mut().ask(id, asked);
        out.send(token, &frames::forwarded(event, data, Some(&correlation)));
    }

    /// Gives an answer to the caller, if the answerer was asked and is the first.
    pub fn take_answer(
        &mut self,
        id: &str,
        from: ConnectionId,
        value: Option<&RawValue>,
        out: &mut impl Outlet,
    ) {
        let Some(rpc) = &mut self.rpc else {
            return;
        };
        if let Some(asked) = rpc.take_asked(id, from) {
            let value = value.map_or_else(|| RawValue::NULL.to_owned(), RawValue::to_owned);
            // The asker may have given up.
            let _ = asked.reply.send(value);
        } else if let Some(call) = rpc.answer(id, from) {
            let value = match call.wire {
                Wire::Plain => wire::answer(value, id),
                Wire::SocketIo(_) => wire::result(value, id),
            };
            ack(call.caller, Some(&call.correlation), &value, out);
        }
    }

    pub(super) fn cancel(
        &mut self,
        from: SlotToken,
        message: &Envelope<'_>,
        out: &mut impl Outlet,
    ) {
        let id = wire::request_id(message.payload);
        let cancelled = id.and_then(|id| self.rpc.as_mut().and_then(|rpc| rpc.cancel(from, &id)));
        let Some((id, call)) = cancelled else {
            let value = wire::failure("no such open call", None, false);
            return ack(from, message.correlation, &value, out);
        };
        self.cancel_targets(&id, &call, out);
        let value = wire::failure("cancelled by the caller", Some(&id), true);
        ack(from, Some(&call.correlation), &value, out);
        ack(from, message.correlation, r#"{"ok":true}"#, out);
    }

    pub(super) fn cancel_targets(&self, id: &str, call: &OpenCall, out: &mut impl Outlet) {
        let data = serde_json::json!({ "requestId": id, "method": call.method });
        let frame = Frame::text(&frames::event(event::RPC_CANCEL, &data));
        self.send_to_targets(&call.targets, frame, out);
    }

    /// A connection of the hub is gone: calls that only it could answer have failed.
    pub fn target_gone(&mut self, connection: ConnectionId, out: &mut impl Outlet) {
        let Some(rpc) = &mut self.rpc else {
            return;
        };
        for (id, call) in rpc.forget_target(connection) {
            let value = wire::failure("RPC target disconnected", Some(&id), false);
            ack(call.caller, Some(&call.correlation), &value, out);
        }
        if rpc.is_empty() {
            self.rpc = None;
        }
    }

    /// Ends the calls whose time is over.
    pub fn expire_calls(&mut self, now: tokio::time::Instant, out: &mut impl Outlet) {
        let expired = self
            .rpc
            .as_mut()
            .map_or_else(Vec::new, |rpc| rpc.expire(now));
        for (id, call) in expired {
            self.cancel_targets(&id, &call, out);
            let value = wire::failure("operation has timed out", Some(&id), true);
            ack(call.caller, Some(&call.correlation), &value, out);
        }
        let given_up = self
            .rpc
            .as_mut()
            .map_or_else(Vec::new, |rpc| rpc.take_given_up(now));
        for waiting in given_up {
            let request = waiting.call.request();
            let value = wire::failure("RPC method not available", None, false);
            ack(request.from, request.correlation, &value, out);
        }
    }

    /// When the next call's time is over.
    pub fn next_call_deadline(&self) -> Option<tokio::time::Instant> {
        self.rpc.as_ref().and_then(|rpc| rpc.next_deadline())
    }
}

fn refuse_registration(
    from: SlotToken,
    kind: &str,
    error: &str,
    message: &Envelope<'_>,
    out: &mut impl Outlet,
) {
    let data = serde_json::json!({ "type": kind, "error": error });
    out.send(from, &frames::event(event::RPC_ERROR, &data));
    ack(
        from,
        message.correlation,
        &wire::failure(error, None, false),
        out,
    );
}

/// Registrations are ordered over all shards of the process: the newest wins.
fn registration_order() -> u64 {
    static NEXT: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(1);
    NEXT.fetch_add(1, std::sync::atomic::Ordering::Relaxed)
}
