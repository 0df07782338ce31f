//! One shard among several of a user: what it tells the others, what they tell it.

use std::sync::Arc;

use dormouse_protocol::{ConnectionId, Filter};
use serde_json::json;
use serde_json::value::RawValue;

use super::{Hub, Peer};
use crate::frame::Frame;
use crate::manager::state::Deferred;
use crate::message::{HubMessage, RpcFound, RpcLevel, ShardDelivery};
use crate::name::ShardName;

fn with_siblings(number: u16) -> Hub {
    let mut hub = Hub::of_number(number);
    hub.out.has_siblings = true;
    hub
}

impl Hub {
    #[track_caller]
    fn told_one(&mut self) -> (Option<u16>, HubMessage) {
        assert_eq!(self.out.told.len(), 1, "{:?}", self.out.told);
        self.out.told.remove(0)
    }

    /// Places a call that waited for what others found.
    fn place(&mut self, deferred: Deferred, there: Vec<RpcFound>) {
        let Deferred::Call { call, here, .. } = deferred else {
            panic!("{deferred:?} is no call");
        };
        let found = here.into_iter().chain(there);
        let (state, out) = (&mut self.state, &mut self.out);
        state.place_call(call.request(), found, &self.settings, out);
    }
}

fn text_of(frame: &Frame) -> &str {
    let bytes = frame.bytes();
    let start = if bytes[1] < 126 { 2 } else { 4 };
    std::str::from_utf8(&bytes[start..]).unwrap()
}

const CALL: &str = r#"{"event":"rpc-call","data":{"method":"m:run"},"ackId":"a"}"#;

fn elsewhere(shard: u16, level: RpcLevel, order: u64, id: u8) -> RpcFound {
    let connections = vec![ConnectionId::from_bytes([id; 16])];
    RpcFound {
        shard,
        level,
        order,
        connections,
    }
}

#[test]
fn the_ack_of_a_broadcast_waits_for_the_counts_of_the_others() {
    let mut hub = with_siblings(1);
    let (app, other) = (hub.user(), hub.user());
    let text = r#"{"event":"broadcast","data":1,"ackId":"b"}"#;
    let Some(Deferred::Delivered {
        from,
        correlation,
        here,
        mut others,
    }) = hub.say_deferred(app, text)
    else {
        panic!("it has to wait");
    };
    assert_eq!((from, correlation.get(), here), (app.token, "\"b\"", 1));
    assert_eq!(hub.got_one(other), json!({"event":"broadcast","data":1}));
    hub.all_seen();
    let (
        to,
        HubMessage::Deliver {
            filter,
            frame,
            reply,
            ..
        },
    ) = hub.told_one()
    else {
        panic!("the others are told");
    };
    assert_eq!((to, &*filter), (None, &Filter::Exclude(app.id)));
    assert_eq!(text_of(&frame), r#"{"event":"broadcast","data":1}"#);
    let shard = ShardName {
        user: "alice".into(),
        number: 0,
    };
    reply
        .unwrap()
        .send(ShardDelivery {
            shard,
            delivered: 3,
        })
        .unwrap();
    assert_eq!(others.try_recv().unwrap().delivered, 3);
    assert!(others.try_recv().is_err(), "nobody else can answer");

    hub.say(app, r#"{"event":"broadcast","data":1}"#);
    let (_, HubMessage::Deliver { reply, .. }) = hub.told_one() else {
        panic!("the others are told");
    };
    assert!(reply.is_none(), "nobody counts what nobody asked for");
}

#[test]
fn forwards_and_the_applications_deliveries_go_to_all_shards() {
    let mut hub = with_siblings(0);
    let viewer = hub.session("s");
    hub.say(viewer, r#"{"event":"note","ackId":1}"#);
    let (to, HubMessage::Deliver { filter, frame, .. }) = hub.told_one() else {
        panic!("the others are told");
    };
    assert_eq!((to, &*filter), (None, &Filter::UserScopedOnly));
    assert_eq!(text_of(&frame), r#"{"event":"note","ackId":1}"#);
    assert_eq!(hub.got_one(viewer)["ack"]["ok"], true);
    let outcome = crate::application::EventOutcome {
        ack: None,
        rooms: Vec::new(),
        deliveries: vec![crate::application::Delivery {
            filter: Filter::All,
            except: None,
            json: "{}".into(),
            is_ephemeral: true,
        }],
    };
    hub.state
        .conclude(viewer.token, None, outcome, &mut hub.out);
    let (_, HubMessage::Publish { publication, .. }) = hub.told_one() else {
        panic!("the others are told");
    };
    assert!(publication.deliveries[0].frame.is_droppable());
}

#[test]
fn a_call_is_placed_once_all_have_said_whom_they_have() {
    let mut hub = with_siblings(1);
    let app = hub.user();
    let deferred = hub.say_deferred(app, CALL).unwrap();
    let (
        to,
        HubMessage::RpcFind {
            method, ask_users, ..
        },
    ) = hub.told_one()
    else {
        panic!("the others are asked");
    };
    assert_eq!((to, &*method, ask_users), (None, "m:run", false));
    hub.place(deferred, vec![elsewhere(2, RpcLevel::Machine, 0, 7)]);
    let (to, HubMessage::Direct { connections, frame }) = hub.told_one() else {
        panic!("the target is told");
    };
    assert_eq!(
        (to, connections.to_vec()),
        (Some(2), vec![ConnectionId::from_bytes([7; 16])])
    );
    let request: serde_json::Value = serde_json::from_str(text_of(&frame)).unwrap();
    let id = request["ackId"].as_str().unwrap();
    assert!(
        id.ends_with("-1"),
        "{id}: answers find their way to shard 1"
    );
    // Its answer, by way of its own shard.
    let value = RawValue::from_string("5".into()).unwrap();
    let asked = ConnectionId::from_bytes([7; 16]);
    let stranger = ConnectionId::from_bytes([8; 16]);
    hub.state
        .take_answer(id, stranger, Some(&value), &mut hub.out);
    hub.all_seen();
    hub.state.take_answer(id, asked, Some(&value), &mut hub.out);
    let ack = json!({"ok":true,"result":5,"requestId":id});
    assert_eq!(hub.got_one(app)["ack"], ack);
}

#[test]
fn the_best_kind_wins_wherever_it_is_and_the_newest_registration_among_all() {
    let mut hub = with_siblings(0);
    let (app, daemon) = (hub.user(), hub.machine("m"));
    // A registration elsewhere beats the machine here.
    let deferred = hub.say_deferred(app, CALL).unwrap();
    hub.out.told.clear();
    let (older, newer) = (
        elsewhere(1, RpcLevel::Registered, 10, 1),
        elsewhere(2, RpcLevel::Registered, 11, 2),
    );
    hub.place(
        deferred,
        vec![newer, older, elsewhere(3, RpcLevel::Users, 0, 3)],
    );
    hub.all_seen();
    assert!(matches!(
        hub.told_one(),
        (Some(2), HubMessage::Direct { .. })
    ));
    // Machines everywhere are asked together.
    let deferred = hub.say_deferred(app, CALL).unwrap();
    hub.out.told.clear();
    let there = vec![
        elsewhere(1, RpcLevel::Session, 0, 1),
        elsewhere(2, RpcLevel::Machine, 0, 20),
    ];
    hub.place(deferred, there);
    let request = hub.got_one(daemon);
    assert!(matches!(
        hub.told_one(),
        (Some(2), HubMessage::Direct { .. })
    ));
    // One is gone: the other can still answer, until it is gone as well.
    hub.state
        .target_gone(ConnectionId::from_bytes([20; 16]), &mut hub.out);
    hub.all_seen();
    hub.leave(daemon);
    let ack = hub.got_one(app);
    assert_eq!(
        (&ack["ack"]["ok"], &ack["ack"]["requestId"]),
        (&json!(false), &request["ackId"])
    );
}

#[test]
fn nobody_anywhere_is_told_to_the_caller() {
    let mut hub = with_siblings(0);
    let app = hub.user();
    let deferred = hub.say_deferred(app, CALL).unwrap();
    hub.all_seen();
    hub.place(deferred, Vec::new());
    assert_eq!(hub.got_one(app)["ack"]["ok"], false);
}

#[test]
fn who_goes_while_others_are_asked_is_not_called() {
    let mut hub = with_siblings(0);
    let (app, daemon, agent) = (hub.user(), hub.machine("m"), hub.session("m"));
    let deferred = hub.say_deferred(app, CALL).unwrap();
    hub.leave(daemon);
    // What the others found is next best.
    hub.out.told.clear();
    hub.place(deferred, vec![elsewhere(1, RpcLevel::Session, 0, 1)]);
    assert!(matches!(
        hub.told_one(),
        (Some(1), HubMessage::Direct { .. })
    ));
    assert!(
        hub.got(agent).is_empty(),
        "only the best kind was found here"
    );
    // Alone, it leaves nobody, and the caller is not kept waiting.
    let daemon = hub.machine("m");
    let deferred = hub.say_deferred(app, CALL).unwrap();
    hub.leave(daemon);
    hub.place(deferred, Vec::new());
    assert_eq!(hub.got_one(app)["ack"]["ok"], false);
    hub.all_seen();
}

#[test]
fn a_caller_that_goes_while_others_are_asked_calls_nobody() {
    let mut hub = with_siblings(0);
    let (app, daemon) = (hub.user(), hub.machine("m"));
    let deferred = hub.say_deferred(app, CALL).unwrap();
    hub.leave(app);
    hub.place(deferred, Vec::new());
    assert!(hub.got(daemon).is_empty());
    assert!(hub.state.may_sleep());
}

#[test]
fn an_answer_goes_to_the_shard_of_the_call() {
    let mut hub = with_siblings(2);
    let daemon = hub.machine("m");
    hub.say(
        daemon,
        r#"{"event":"rpc-response","ackId":"0af-3","ack":{"ok":true}}"#,
    );
    let (to, HubMessage::RpcAnswer { id, from, value }) = hub.told_one() else {
        panic!("it is passed on");
    };
    assert_eq!((to, &*id, from), (Some(3), "0af-3", daemon.id));
    assert_eq!(value.as_deref(), Some(r#"{"ok":true}"#));
    for id in ["0af", "0af-", "0af-70000", "-", "0af-x"] {
        hub.say(
            daemon,
            &format!(r#"{{"event":"rpc-response","ackId":"{id}","ack":1}}"#),
        );
        assert!(hub.out.told.is_empty(), "{id}");
    }
}

#[test]
fn others_find_who_is_here_but_not_users_unless_asked() {
    let mut hub = with_siblings(0);
    let find = |hub: &Hub, ask_users| {
        let found = hub.state.find_targets("m:run", ask_users, None);
        found.map(|found| (found.shard, found.level, found.connections))
    };
    assert_eq!(find(&hub, true), None);
    let app = hub.user();
    assert_eq!(find(&hub, false), None);
    let here = |level, peer: Peer| Some((0, level, vec![peer.id]));
    assert_eq!(find(&hub, true), here(RpcLevel::Users, app));
    let agent = hub.session("m");
    assert_eq!(find(&hub, true), here(RpcLevel::Session, agent));
    let daemon = hub.machine("m");
    assert_eq!(find(&hub, true), here(RpcLevel::Machine, daemon));
    hub.say(app, r#"{"event":"rpc-register","data":{"method":"m:run"}}"#);
    assert_eq!(find(&hub, false), here(RpcLevel::Registered, app));
}

#[test]
fn a_departure_is_told_to_the_others_and_cancels_go_where_the_target_is() {
    let mut hub = with_siblings(0);
    let app = hub.user();
    let deferred = hub.say_deferred(app, CALL).unwrap();
    hub.out.told.clear();
    hub.place(deferred, vec![elsewhere(4, RpcLevel::Machine, 0, 9)]);
    hub.out.told.clear();
    hub.leave(app);
    let cancel = hub.out.told.remove(0);
    let (Some(4), HubMessage::Direct { connections, frame }) = cancel else {
        panic!("{cancel:?}");
    };
    assert_eq!(connections[0], ConnectionId::from_bytes([9; 16]));
    assert!(text_of(&frame).starts_with(r#"{"event":"rpc-cancel""#));
    assert!(matches!(hub.told_one(), (None, HubMessage::Gone(id)) if id == app.id));
}

#[test]
fn frames_for_connections_that_are_gone_are_told_apart() {
    let mut hub = with_siblings(0);
    let (app, other, third) = (hub.user(), hub.user(), hub.user());
    let gone = ConnectionId::from_bytes([1; 16]);
    let asked: Arc<[_]> = [other.id, gone, app.id].into();
    let missing = hub
        .state
        .deliver_direct(&asked, Frame::text("{}"), &mut hub.out);
    assert_eq!(missing, [gone]);
    assert_eq!(hub.reached(), [app.token, other.token]);
    assert!(hub.got(third).is_empty());
}
