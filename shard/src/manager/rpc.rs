//! Calls between a user's connections (realtime contract, section 6).
//!
//! A call lives in the shard of its caller; its id ends in that shard's number, so that a target
//! anywhere in the hub can send its answer home.

use std::time::Duration;

use ahash::AHashMap;
use dormouse_protocol::{ConnectionId, socket_io};
use serde_json::value::RawValue;
use tokio::time::Instant;

use crate::message::Replies;
use crate::mount::Wire;
use crate::table::SlotToken;

/// Who serves a method.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Registration {
    /// The serving connection.
    pub token: SlotToken,
    /// Position among all registrations of the process; the newest wins.
    pub order: u64,
}

/// A connection that was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Target {
    /// Its shard.
    pub shard: u16,
    /// The connection.
    pub connection: ConnectionId,
}

/// A call before anybody is asked.
#[derive(Clone, Copy, Debug)]
pub struct CallRequest<'a> {
    /// Who calls.
    pub from: SlotToken,
    /// How the caller speaks: limits and failures follow it (Socket.IO contract, section 9).
    pub wire: Wire,
    /// The frame's event name, as the caller wrote it.
    pub event: &'a str,
    /// The call's data.
    pub data: &'a RawValue,
    /// Where to send the result.
    pub correlation: Option<&'a RawValue>,
}

/// The same, to be kept.
#[derive(Debug)]
pub struct HeldCall {
    /// Who calls.
    pub from: SlotToken,
    wire: Wire,
    event: Box<str>,
    data: Box<RawValue>,
    correlation: Option<Box<RawValue>>,
}

impl CallRequest<'_> {
    /// A copy to keep.
    pub fn hold(&self) -> HeldCall {
        HeldCall {
            from: self.from,
            wire: self.wire,
            event: self.event.into(),
            data: self.data.to_owned(),
            correlation: self.correlation.map(RawValue::to_owned),
        }
    }
}

impl HeldCall {
    /// The request.
    pub fn request(&self) -> CallRequest<'_> {
        CallRequest {
            from: self.from,
            wire: self.wire,
            event: &self.event,
            data: &self.data,
            correlation: self.correlation.as_deref(),
        }
    }
}

/// A call whose method nobody serves yet.
#[derive(Debug)]
pub struct WaitingCall {
    /// The call.
    pub call: HeldCall,
    /// The full method name.
    pub method: Box<str>,
    /// When the caller is told that nobody came.
    pub deadline: Instant,
}

/// A call that waits for its answer.
#[derive(Debug)]
pub struct OpenCall {
    /// Who waits.
    pub caller: SlotToken,
    /// How the caller speaks.
    pub wire: Wire,
    /// The caller's own id for the request, echoed in the ack.
    pub correlation: Box<RawValue>,
    /// The full method name, for `rpc-cancel`.
    pub method: Box<str>,
    /// Who may still answer.
    pub targets: Vec<Target>,
    /// When the caller is told that nobody did.
    pub deadline: Instant,
}

/// An event of the server that a connection is to acknowledge.
#[derive(Debug)]
pub struct Asked {
    /// Who was asked.
    pub target: ConnectionId,
    /// When nobody waits any more.
    pub deadline: Instant,
    /// Where the acknowledgement goes.
    pub reply: Replies<Box<RawValue>>,
}

/// Registrations and open calls of one shard.
#[derive(Debug, Default)]
pub struct Rpc {
    registry: AHashMap<Box<str>, Registration>,
    calls: AHashMap<Box<str>, OpenCall>,
    waiting: Vec<WaitingCall>,
    /// Questions of the server by their ids.
    asked: AHashMap<Box<str>, Asked>,
    /// Open calls per caller, so that the limit costs a look-up.
    open: AHashMap<SlotToken, usize>,
}

impl Rpc {
    /// Makes a connection the one that serves a method. `false` when it serves `most` already.
    pub fn register(&mut self, method: &str, token: SlotToken, order: u64, most: usize) -> bool {
        let held = self
            .registry
            .values()
            .filter(|entry| entry.token == token)
            .count();
        let is_own = self
            .registry
            .get(method)
            .is_some_and(|entry| entry.token == token);
        if held >= most && !is_own {
            return false;
        }
        self.registry
            .insert(method.into(), Registration { token, order });
        true
    }

    /// Ends a registration if this connection holds it.
    pub fn unregister(&mut self, method: &str, token: SlotToken) -> bool {
        let is_own = self
            .registry
            .get(method)
            .is_some_and(|entry| entry.token == token);
        if is_own {
            self.registry.remove(method);
        }
        is_own
    }

    /// Who serves the method.
    pub fn registration(&self, method: &str) -> Option<Registration> {
        self.registry.get(method).copied()
    }

    /// The methods that each connection serves, to be stored with its attachment.
    pub fn methods_by_connection(&self) -> AHashMap<SlotToken, Vec<(Box<str>, u64)>> {
        let mut methods: AHashMap<_, Vec<_>> = AHashMap::new();
        for (method, entry) in &self.registry {
            methods
                .entry(entry.token)
                .or_default()
                .push((method.clone(), entry.order));
        }
        methods
    }

    /// Opens a call under its id.
    pub fn open(&mut self, id: Box<str>, call: OpenCall) {
        *self.open.entry(call.caller).or_default() += 1;
        self.calls.insert(id, call);
    }

    fn remove_if(
        &mut self,
        mut is_over: impl FnMut(&OpenCall) -> bool,
    ) -> Vec<(Box<str>, OpenCall)> {
        let removed: Vec<_> = self.calls.extract_if(|_, call| is_over(call)).collect();
        for (_, call) in &removed {
            self.count_end(call.caller);
        }
        removed
    }

    fn count_end(&mut self, caller: SlotToken) {
        if let Some(count) = self.open.get_mut(&caller) {
            *count -= 1;
            if *count == 0 {
                self.open.remove(&caller);
            }
        }
    }

    /// How many calls a connection has open or waiting.
    pub fn open_calls_of(&self, caller: SlotToken) -> usize {
        let waiting = self.waiting.iter();
        self.open.get(&caller).copied().unwrap_or(0)
            + waiting.filter(|call| call.call.from == caller).count()
    }

    /// Keeps a question of the server until it is answered.
    pub fn ask(&mut self, id: Box<str>, asked: Asked) {
        self.asked.insert(id, asked);
    }

    /// Ends the question that `from` answers, if it was asked.
    pub fn take_asked(&mut self, id: &str, from: ConnectionId) -> Option<Asked> {
        let is_its = self.asked.get(id).is_some_and(|asked| asked.target == from);
        is_its.then(|| self.asked.remove(id)).flatten()
    }

    /// Keeps a call until somebody serves its method.
    pub fn wait(&mut self, call: WaitingCall) {
        self.waiting.push(call);
    }

    /// Takes the calls that wait for a method, but for those of the connection that serves it now.
    pub fn take_waiting(&mut self, method: &str, server: Option<SlotToken>) -> Vec<HeldCall> {
        let is_meant =
            |call: &mut WaitingCall| *call.method == *method && Some(call.call.from) != server;
        let taken = self.waiting.extract_if(.., is_meant);
        taken.map(|call| call.call).collect()
    }

    /// Takes the calls whose method nobody served in time.
    pub fn take_given_up(&mut self, now: Instant) -> Vec<WaitingCall> {
        let is_over = |call: &mut WaitingCall| call.deadline <= now;
        self.waiting.extract_if(.., is_over).collect()
    }

    /// Whether any call is open; a shard does not sleep while one is.
    pub fn has_open_calls(&self) -> bool {
        !self.calls.is_empty() || !self.waiting.is_empty() || !self.asked.is_empty()
    }

    /// Ends the call that `from` answers, if it was asked. First answer wins.
    pub fn answer(&mut self, id: &str, from: ConnectionId) -> Option<OpenCall> {
        let is_target =
            |call: &OpenCall| call.targets.iter().any(|target| target.connection == from);
        if !self.calls.get(id).is_some_and(is_target) {
            return None;
        }
        let call = self.calls.remove(id)?;
        self.count_end(call.caller);
        Some(call)
    }

    /// Ends a call that its caller cancels, by the call's id or by the caller's own.
    pub fn cancel(&mut self, caller: SlotToken, id: &str) -> Option<(Box<str>, OpenCall)> {
        let is_own = |call: &OpenCall| call.caller == caller;
        let is_meant = |call: &OpenCall| {
            is_own(call)
                && dormouse_protocol::envelope::string(&call.correlation)
                    .is_some_and(|own| own == id)
        };
        let id = match self.calls.get_key_value(id) {
            Some((call_id, call)) if is_own(call) => call_id.clone(),
            _ => self
                .calls
                .iter()
                .find(|(_, call)| is_meant(call))?
                .0
                .clone(),
        };
        self.count_end(caller);
        self.calls.remove_entry(&id)
    }

    /// Ends all calls of a caller that is gone, and its registrations.
    pub fn forget_connection(&mut self, token: SlotToken) -> Vec<(Box<str>, OpenCall)> {
        self.registry.retain(|_, entry| entry.token != token);
        self.waiting.retain(|call| call.call.from != token);
        self.remove_if(|call| call.caller == token)
    }

    /// Takes a target that is gone out of all calls; returns those that nobody can answer now.
    pub fn forget_target(&mut self, connection: ConnectionId) -> Vec<(Box<str>, OpenCall)> {
        self.asked.retain(|_, asked| asked.target != connection);
        for call in self.calls.values_mut() {
            call.targets
                .retain(|target| target.connection != connection);
        }
        self.remove_if(|call| call.targets.is_empty())
    }

    /// Ends the calls whose time is over.
    pub fn expire(&mut self, now: Instant) -> Vec<(Box<str>, OpenCall)> {
        self.asked.retain(|_, asked| asked.deadline > now);
        self.remove_if(|call| call.deadline <= now)
    }

    /// When the next call's time is over.
    pub fn next_deadline(&self) -> Option<Instant> {
        let open = self.calls.values().map(|call| call.deadline);
        open.chain(self.waiting.iter().map(|call| call.deadline))
            .chain(self.asked.values().map(|asked| asked.deadline))
            .min()
    }

    /// Whether there is nothing to keep.
    pub fn is_empty(&self) -> bool {
        self.registry.is_empty() && !self.has_open_calls()
    }
}

/// A fresh id for a call made in this shard. Only a connection that was asked can answer it.
pub fn new_id(shard: u16) -> Box<str> {
    socket_io::call_id(rand::random(), shard)
}

/// The number of the shard in which a call was made.
pub fn home_of(id: &str) -> Option<u16> {
    id.rsplit_once('-')?.1.parse().ok()
}

/// The deadline of a call made now.
pub fn deadline(timeout: Duration) -> Instant {
    Instant::now() + timeout
}
