//! What a group of submissions leads to, worked out before anything is written: states of calls,
//! entries of the log, call records. No I/O.

use std::sync::Arc;

use ahash::AHashMap;
use dormouse_protocol::events::{CallState, CallStatus, EventName, Transition, frames};
use dormouse_protocol::timestamp::iso;
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::call_record::CallRecord;
use super::submission::{CallChange, NewEvent};

/// The id of a call, with its tenant.
pub type CallKey = (Arc<str>, String);

/// States of the calls that a group touches, as they are now.
#[derive(Debug, Default)]
pub struct Calls {
    states: AHashMap<CallKey, Call>,
}

/// One of them.
#[derive(Clone, Debug)]
struct Call {
    state: Arc<CallState>,
    /// When it was answered, Unix ms, if that is known.
    answered_at: Option<u64>,
    is_changed: bool,
}

/// The metadata key under which a state keeps when its call was answered.
const ANSWERED_AT: &str = "answeredAt";

/// An event that is to be stored, but for its place in the log.
#[derive(Debug)]
pub struct Applied {
    /// Its name.
    pub name: EventName,
    /// Its id.
    pub id: String,
    /// The JSON of its payload.
    pub payload: String,
    /// The record of its call, if the call is over with it.
    pub record: Option<CallRecord>,
    /// Where the call was and is, if that has changed: `None` for a call that is new.
    pub step: Option<(Option<CallStatus>, CallStatus)>,
}

/// What an event led to: to be stored, or nothing since it would have led back.
#[derive(Debug)]
pub struct Effect {
    /// What is to be stored.
    pub applied: Option<Applied>,
    /// The call after it.
    pub state: Option<Arc<CallState>>,
}

/// Where and when events are applied.
#[derive(Clone, Debug)]
pub struct Scope {
    /// Whose events they are.
    pub tenant: Arc<str>,
    /// When they were accepted, Unix ms.
    pub accepted_ms: u64,
    /// The time in their ids, Unix ms: never before that of ids given earlier, whatever the clock
    /// does.
    pub id_ms: u64,
}

impl Calls {
    /// Takes in what is stored of a call.
    pub fn insert(&mut self, key: CallKey, state: CallState) {
        let answered_at = state.metadata.get(ANSWERED_AT).and_then(Value::as_u64);
        let call = Call {
            state: Arc::new(state),
            answered_at,
            is_changed: false,
        };
        self.states.insert(key, call);
    }

    /// The states that have changed.
    pub fn changed(&self) -> impl Iterator<Item = (&CallKey, &CallState)> {
        let changed = self.states.iter().filter(|(_, call)| call.is_changed);
        changed.map(|(key, call)| (key, &*call.state))
    }

    /// Applies an event.
    pub fn apply(&mut self, scope: &Scope, event: NewEvent) -> Effect {
        let now = iso(scope.accepted_ms);
        let NewEvent { name, data, call } = event;
        let Some(change) = call else {
            let payload = payload(scope, &name, &data, None, &now);
            return Effect {
                applied: Some(Applied {
                    name,
                    id: payload.0,
                    payload: payload.1,
                    record: None,
                    step: None,
                }),
                state: None,
            };
        };
        self.apply_to_call(scope, name, data, change, &now)
    }

    fn apply_to_call(
        &mut self,
        scope: &Scope,
        name: EventName,
        mut data: Map<String, Value>,
        change: CallChange,
        now: &str,
    ) -> Effect {
        let key = (scope.tenant.clone(), change.id.clone());
        let before = self.states.get(&key).cloned();
        let mut call = before.clone().unwrap_or_else(|| {
            let mut state = CallState::new(&change.id, &scope.tenant, now);
            state.participants.clone_from(&change.participants);
            Call {
                state: Arc::new(state),
                answered_at: None,
                is_changed: false,
            }
        });
        let state = Arc::make_mut(&mut call.state);
        // A call that was touched is never older than before; times compare as their texts do.
        let touched = now.max(state.updated_at.as_str()).to_owned();
        let Transition::Applied { from } = state.apply(name.as_str(), &touched) else {
            // A call that is new takes every event.
            return Effect {
                applied: None,
                state: before.map(|call| call.state),
            };
        };
        state.metadata.extend(change.metadata);
        let to = state.status;
        if to == CallStatus::Answered && call.answered_at.is_none() {
            call.answered_at = Some(scope.accepted_ms);
            state
                .metadata
                .insert(ANSWERED_AT.to_owned(), scope.accepted_ms.into());
        }
        if name.as_str() == "call.completed" {
            let direction = state.metadata.get("direction").cloned();
            data.entry("direction")
                .or_insert_with(|| direction.unwrap_or("OUTBOUND".into()));
            data.entry("answered")
                .or_insert(call.answered_at.is_some().into());
        }
        let is_new = before.is_none();
        let is_over_now = to.is_terminal() && (is_new || !from.is_terminal());
        let record = is_over_now.then(|| CallRecord::new(scope, state, &data, call.answered_at));
        let step = (is_new || from != to).then(|| ((!is_new).then_some(from), to));
        let (id, payload) = payload(scope, &name, &data, Some(state), now);
        call.is_changed = true;
        let shown = call.state.clone();
        self.states.insert(key, call);
        Effect {
            applied: Some(Applied {
                name,
                id,
                payload,
                record,
                step,
            }),
            state: Some(shown),
        }
    }
}

/// The id and the payload of an event. The state of its call is written behind the data.
fn payload(
    scope: &Scope,
    name: &EventName,
    data: &Map<String, Value>,
    state: Option<&CallState>,
    now: &str,
) -> (String, String) {
    let mut json = serde_json::to_string(data).unwrap_or_default();
    if let Some(state) = state {
        json.pop();
        if !data.is_empty() {
            json.push(',');
        }
        json.push_str(r#""callState":"#);
        json.push_str(&serde_json::to_string(state).unwrap_or_default());
        json.push('}');
    }
    let id = event_id(scope.id_ms);
    // It was just written.
    let payload = match RawValue::from_string(json) {
        Ok(data) => frames::payload(name.as_str(), &scope.tenant, &data, now, &id),
        Err(_) => String::new(),
    };
    (id, payload)
}

/// An event's id: Unix ms, then nine random digits in base 36 (contract events.md section 5).
fn event_id(ms: u64) -> String {
    const DIGITS: &[u8; 36] = b"0123456789abcdefghijklmnopqrstuvwxyz";
    let mut random: u64 = rand::random();
    let mut id = format!("{ms}-");
    for _ in 0..9 {
        let digit = DIGITS.get((random % 36) as usize).copied().unwrap_or(b'0');
        id.push(char::from(digit));
        random /= 36;
    }
    id
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn scope(at: u64) -> Scope {
        Scope {
            tenant: "t".into(),
            accepted_ms: at,
            id_ms: at,
        }
    }

    fn event(name: &str, call: &str, data: Value) -> NewEvent {
        let Value::Object(data) = data else {
            panic!("an object");
        };
        NewEvent {
            name: EventName::parse(name).unwrap(),
            data,
            call: Some(CallChange {
                id: call.to_owned(),
                ..CallChange::default()
            }),
        }
    }

    #[test]
    fn a_call_goes_its_way_and_leaves_one_record() {
        let mut calls = Calls::default();
        let mut records = Vec::new();
        for (at, name) in [
            (1_000, "call.started"),
            (2_000, "call.started"),
            (3_000, "call.answered"),
            (63_500, "call.completed"),
            (64_000, "call.completed"),
        ] {
            let effect = calls.apply(&scope(at), event(name, "c", json!({"callId": "c"})));
            let applied = effect.applied.unwrap();
            let payload: Value = serde_json::from_str(&applied.payload).unwrap();
            assert_eq!(payload["event"], name);
            assert_eq!(payload["tenantId"], "t");
            assert_eq!(payload["timestamp"], iso(at));
            assert_eq!(payload["data"]["callId"], "c");
            assert_eq!(payload["data"]["callState"]["updatedAt"], iso(at));
            assert!(
                payload["id"]
                    .as_str()
                    .unwrap()
                    .starts_with(&format!("{at}-"))
            );
            records.extend(applied.record);
        }
        let [record] = &records[..] else {
            panic!("one record: {records:?}");
        };
        assert_eq!(
            (record.status.as_str(), record.handle_ms),
            ("COMPLETED", Some(60_500))
        );
        let back = calls.apply(&scope(65_000), event("call.answered", "c", json!({})));
        assert!(back.applied.is_none());
        assert_eq!(back.state.unwrap().updated_at, iso(64_000));
        assert_eq!(calls.changed().count(), 1);
    }

    #[test]
    fn a_clock_that_steps_back_takes_no_call_back() {
        let mut calls = Calls::default();
        calls.apply(&scope(9_000), event("call.started", "c", json!({})));
        let back = Scope {
            id_ms: 9_000,
            ..scope(4_000)
        };
        let effect = calls.apply(&back, event("call.answered", "c", json!({})));
        let state = effect.state.unwrap();
        assert_eq!(
            (state.status, &*state.updated_at),
            (CallStatus::Answered, &*iso(9_000))
        );
        let applied = effect.applied.unwrap();
        assert!(applied.id.starts_with("9000-"), "{}", applied.id);
        let payload: Value = serde_json::from_str(&applied.payload).unwrap();
        assert_eq!(payload["timestamp"], iso(4_000), "what the clock said");
    }

    #[test]
    fn the_first_event_makes_the_call_whatever_it_is() {
        for (name, status) in [
            ("call.queue.join", CallStatus::Initiated),
            ("call.answered", CallStatus::Answered),
            ("call.failed", CallStatus::Failed),
        ] {
            let mut calls = Calls::default();
            let effect = calls.apply(&scope(1), event(name, "c", json!({})));
            assert_eq!(effect.applied.unwrap().step, Some((None, status)), "{name}");
            assert_eq!(effect.state.unwrap().status, status, "{name}");
        }
    }

    #[test]
    fn events_of_other_families_touch_no_call() {
        let mut calls = Calls::default();
        let mut paid = event("billing.paid", "c", json!({"amount": 7}));
        paid.call = None;
        let effect = calls.apply(&scope(1), paid);
        let payload: Value = serde_json::from_str(&effect.applied.unwrap().payload).unwrap();
        assert_eq!(payload["data"], json!({"amount": 7}));
        assert_eq!(calls.changed().count(), 0);
    }
}
