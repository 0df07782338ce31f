//! What a shard stores before it sleeps, and what it has when it wakes.

use dormouse_protocol::Labels;
use serde_json::json;

use super::{Hub, Peer, START};
use crate::manager::state::State;
use crate::record::PER_RECORD;
use crate::store::Changes;
use crate::table::SlotToken;

/// A store that keeps what it is given.
#[derive(Default)]
struct Kept(std::collections::BTreeMap<Vec<u8>, Vec<u8>>);

impl Kept {
    fn apply(&mut self, changes: Changes) {
        for (key, value) in changes {
            match value {
                Some(value) => self.0.insert(key, value),
                None => self.0.remove(&key),
            };
        }
    }

    /// The shard as it wakes at this time, of which these peers are still connected.
    fn wake(&self, hub: &mut Hub, at: u64, alive: &[Peer]) {
        let mut state = State::new(hub.state.name().clone(), at);
        let loaded = self.0.values().cloned().collect();
        state.restore(loaded, |token| {
            alive
                .iter()
                .find(|peer| peer.token == token)
                .map(|peer| (peer.id, crate::mount::Wire::Plain))
        });
        hub.state = state;
        hub.out.now = at;
    }
}

fn sleep(hub: &mut Hub) -> Changes {
    assert!(hub.state.may_sleep());
    hub.state.changes_to_store(&hub.out)
}

#[test]
fn a_shard_wakes_as_it_fell_asleep() {
    let mut hub = Hub::new();
    let labels = Labels::new(Some("machine-scoped"), Some("s"), Some("m")).unwrap();
    let (app, daemon) = (hub.user(), hub.join(labels));
    hub.out.now += 7;
    hub.say(
        daemon,
        r#"{"event":"rpc-register","data":{"method":"m:run"}}"#,
    );
    let before = hub.state.attachments(&hub.out);
    let mut kept = Kept::default();
    kept.apply(sleep(&mut hub));
    kept.wake(&mut hub, START + 20_000, &[app, daemon]);
    hub.out.silence = [(1, 20_000), (2, 20_000)].into();
    assert_eq!(hub.state.attachments(&hub.out), before);
    // Its registrations are served.
    hub.got(daemon);
    hub.say(
        app,
        r#"{"event":"rpc-call","data":{"method":"m:run"},"ackId":1}"#,
    );
    assert_eq!(hub.got_one(daemon)["event"], "rpc-request");
}

#[test]
fn nothing_is_written_where_nothing_has_changed() {
    let mut hub = Hub::new();
    let (app, other) = (hub.user(), hub.user());
    let mut kept = Kept::default();
    kept.apply(sleep(&mut hub));
    assert_eq!(kept.0.len(), 1, "a shard's connections share a record");
    assert!(sleep(&mut hub).is_empty());
    kept.wake(&mut hub, START + 20_000, &[app, other]);
    hub.out.silence = [(1, 20_000), (2, 20_000)].into();
    assert!(sleep(&mut hub).is_empty(), "woken by a look");
    // Each of these is a change.
    hub.out.now += 1;
    hub.say(app, r#"{"event":"ping"}"#);
    assert!(!sleep(&mut hub).is_empty());
    hub.say(app, r#"{"event":"rpc-register","data":{"method":"a:b"}}"#);
    assert!(!sleep(&mut hub).is_empty());
    let third = hub.user();
    assert!(!sleep(&mut hub).is_empty());
    hub.leave(third);
    assert!(!sleep(&mut hub).is_empty());
    assert!(sleep(&mut hub).is_empty());
}

#[test]
fn what_could_not_be_stored_is_stored_the_next_time() {
    let mut hub = Hub::new();
    let _app = hub.user();
    let first = sleep(&mut hub);
    hub.state.nothing_was_stored();
    assert_eq!(sleep(&mut hub), first);
}

#[test]
fn records_that_are_no_longer_needed_go_even_if_the_store_fails_meanwhile() {
    let mut hub = Hub::new();
    let peers: Vec<_> = (0..PER_RECORD + 1).map(|_| hub.user()).collect();
    let mut kept = Kept::default();
    kept.apply(sleep(&mut hub));
    assert_eq!(kept.0.len(), 2);
    kept.wake(&mut hub, START, &peers);
    assert_eq!(hub.state.members().len(), peers.len());
    for peer in &peers[1..] {
        hub.leave(*peer);
    }
    let lost = sleep(&mut hub);
    assert_eq!(lost.len(), 2);
    hub.state.nothing_was_stored();
    kept.apply(sleep(&mut hub));
    assert_eq!(kept.0.len(), 1);
    kept.wake(&mut hub, START, &peers);
    assert_eq!(hub.state.members().len(), 1);
    // The last one takes the rest with it.
    hub.leave(peers[0]);
    kept.apply(sleep(&mut hub));
    assert_eq!(kept.0.len(), 0);
}

#[test]
fn entries_of_others_and_broken_records_are_passed_over_and_replaced() {
    let mut hub = Hub::new();
    let (app, gone) = (hub.user(), hub.user());
    let mut kept = Kept::default();
    kept.apply(sleep(&mut hub));
    kept.wake(&mut hub, START, &[app]);
    let tokens: Vec<_> = hub
        .state
        .members()
        .iter()
        .map(|member| member.token)
        .collect();
    assert_eq!(tokens, [app.token]);
    kept.apply(sleep(&mut hub));
    kept.wake(&mut hub, START, &[app, gone]);
    assert_eq!(
        hub.state.members().len(),
        1,
        "it was written without the other"
    );

    for value in kept.0.values_mut() {
        *value = vec![0xff; 3];
    }
    kept.wake(&mut hub, START, &[app]);
    assert!(hub.state.members().is_empty());
    kept.apply(sleep(&mut hub));
    assert!(kept.0.is_empty());
}

#[test]
fn frames_that_are_no_messages_count_as_activity_while_awake_only() {
    let mut hub = Hub::new();
    let (app, other) = (hub.user(), hub.user());
    hub.out.now = START + 10_000;
    // A pong came three seconds ago; the other has said nothing since it came.
    hub.out.silence = [(1, 3_000), (2, 10_000)].into();
    let mut kept = Kept::default();
    kept.apply(sleep(&mut hub));
    let times = |hub: &mut Hub| [hub.last_activity(app), hub.last_activity(other)];
    assert_eq!(times(&mut hub), [START + 7_000, START]);

    // An exact ping just before it wakes: silence is told in steps, so it seems to come after.
    kept.wake(&mut hub, START + 60_000, &[app, other]);
    hub.out.silence = [(1, 0), (2, 60_000)].into();
    hub.state.attachments(&hub.out);
    assert_eq!(times(&mut hub), [START + 7_000, START]);
    hub.out.now += 5_000;
    hub.out.silence = [(1, 5_000), (2, 65_000)].into();
    assert!(sleep(&mut hub).is_empty());
    hub.out.silence = [(1, 4_000), (2, 65_000)].into();
    assert!(!sleep(&mut hub).is_empty());
    assert_eq!(times(&mut hub), [START + 61_000, START]);
}

#[test]
fn open_calls_keep_a_shard_awake_until_they_end() {
    let mut hub = Hub::new();
    let (app, daemon) = (hub.user(), hub.machine("m"));
    hub.say(
        app,
        r#"{"event":"rpc-call","data":{"method":"m:run"},"ackId":1}"#,
    );
    assert!(!hub.state.may_sleep());
    let id = hub.got_one(daemon)["ackId"].clone();
    hub.say(
        daemon,
        &json!({"event":"rpc-response","ackId":id,"ack":1}).to_string(),
    );
    assert!(hub.state.may_sleep());
    hub.say(app, r#"{"event":"rpc-call","data":{"method":"m:run"}}"#);
    assert!(hub.state.may_sleep(), "nobody waits for its answer");
}

#[test]
fn tokens_survive_the_store() {
    let mut hub = Hub::new();
    let _ = hub.user();
    let bits = u64::MAX - 5;
    hub.peers = bits - 1;
    let app = hub.user();
    assert_eq!(app.token, SlotToken::from_bits(bits));
    let mut kept = Kept::default();
    kept.apply(sleep(&mut hub));
    kept.wake(&mut hub, START, &[app]);
    assert!(hub.state.members().get(app.token).is_some());
}
