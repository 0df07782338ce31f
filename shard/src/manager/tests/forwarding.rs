//! Broadcasts, default forwarding, filters and the application's deliveries (realtime contract,
//! 5.13, 5.14, 4.3 and section 10).

use dormouse_protocol::{ClientType, ConnectionId, Filter, Labels};
use proptest::prelude::*;
use serde_json::json;
use serde_json::value::RawValue;

use super::{Hub, Peer};
use crate::application::{Delivery, EventOutcome};
use crate::frame::Frame;
use crate::manager::state::Deferred;
use crate::sockets::Lane;
use crate::table::SlotToken;

fn tokens<const N: usize>(peers: [Peer; N]) -> Vec<SlotToken> {
    let mut tokens = peers.map(|peer| peer.token).to_vec();
    tokens.sort_by_key(|token| token.to_bits());
    tokens
}

#[test]
fn a_broadcast_reaches_all_others_and_tells_how_many() {
    let mut hub = Hub::new();
    let (app, other, viewer, daemon) = (hub.user(), hub.user(), hub.session("s"), hub.machine("m"));
    hub.say(
        daemon,
        r#"{"event":"broadcast","data":{ "x": 1.50 },"ackId":"b"}"#,
    );
    let ack = json!({"event":"ack","ackId":"b","ack":{"success":true,"delivered":3}});
    assert_eq!(hub.got_one(daemon), ack);
    for peer in [app, other, viewer] {
        let (_, text, lane, is_droppable) = hub
            .out
            .written
            .iter()
            .find(|note| note.0 == peer.token)
            .unwrap();
        assert_eq!(text, r#"{"event":"broadcast","data":{ "x": 1.50 }}"#);
        assert_eq!((*lane, *is_droppable), (Lane::Fanout, false));
        hub.got_one(peer);
    }
    hub.say(app, r#"{"event":"broadcast"}"#);
    assert_eq!(
        hub.reached(),
        tokens([other, viewer, daemon]),
        "no data, no ack"
    );
    // Who is closing takes nothing and is not counted.
    hub.out.closing.insert(other.token.to_bits());
    hub.say(app, r#"{"event":"broadcast","data":null,"ackId":2}"#);
    assert_eq!(hub.got_one(app)["ack"]["delivered"], 2);
}

#[test]
fn who_is_not_user_scoped_is_forwarded_to_the_users() {
    let mut hub = Hub::new();
    let (app, other) = (hub.user(), hub.user());
    let (viewer, daemon) = (hub.session("s"), hub.machine("m"));
    for from in [viewer, daemon] {
        // Whatever its data names.
        hub.say(
            from,
            r#"{"event":"session-revived","data":{"sessionId":"s","machineId":"m"}}"#,
        );
        assert_eq!(hub.reached(), tokens([app, other]));
        hub.say(from, r#"{"event":"any","ackId":3}"#);
        let ack = json!({"event":"ack","ackId":3,"ack":{"ok":true}});
        assert_eq!(hub.got_one(from), ack);
        assert_eq!(hub.got_one(app), json!({"event":"any","ackId":3}));
        assert_eq!(hub.reached(), tokens([other]));
    }
}

#[test]
fn users_are_forwarded_to_the_session_or_machine_that_they_name() {
    let mut hub = Hub::new();
    let labels = |kind, session, machine| Labels::new(Some(kind), session, machine).unwrap();
    let app = hub.join(labels("user-scoped", Some("s"), Some("m")));
    let tagged = hub.join(labels("user-scoped", Some("s"), None));
    let viewer = hub.join(labels("session-scoped", Some("s"), Some("m")));
    let daemon = hub.join(labels("machine-scoped", Some("s"), Some("m")));
    let _stranger = hub.join(labels("session-scoped", Some("t"), None));
    let _plain = hub.user();
    let cases = [
        (r#"{"sessionId":"s"}"#, tokens([tagged, viewer, daemon])),
        (r#"{"sid":"s"}"#, tokens([tagged, viewer, daemon])),
        (
            r#"{"sessionId":"s","machineId":"n"}"#,
            tokens([tagged, viewer, daemon]),
        ),
        (r#"{"sessionId":"nobody","sid":"s"}"#, tokens([])),
        (r#"{"machineId":"m"}"#, tokens([viewer, daemon])),
        (
            r#"{"sessionId":"","machineId":"m"}"#,
            tokens([viewer, daemon]),
        ),
        (
            r#"{"sessionId":5,"machineId":"m"}"#,
            tokens([viewer, daemon]),
        ),
        (
            r#"{"sessionId":"\u0073"}"#,
            tokens([tagged, viewer, daemon]),
        ),
    ];
    for (data, expected) in cases {
        hub.say(app, &format!(r#"{{"event":"note","data":{data}}}"#));
        assert_eq!(hub.reached(), expected, "{data}");
        hub.say(
            app,
            &format!(r#"{{"event":"note","data":{data},"ackId":"a"}}"#),
        );
        let ack = json!({"event":"ack","ackId":"a","ack":{"ok":true}});
        assert_eq!(hub.got_one(app), ack, "{data}");
        hub.out.written.clear();
    }
    for data in [
        "{}",
        "null",
        "[]",
        "5",
        r#""sessionId""#,
        r#"{"sessionId":null}"#,
    ] {
        hub.say(app, &format!(r#"{{"event":"note","data":{data}}}"#));
        hub.all_seen();
        hub.say(
            app,
            &format!(r#"{{"event":"note","data":{data},"ackId":"a"}}"#),
        );
        assert_eq!(hub.got_one(app)["ack"]["ok"], false, "{data}");
        hub.all_seen();
    }
}

#[test]
fn the_applications_ack_comes_before_what_it_delivers() {
    let mut hub = Hub::new();
    let (app, other) = (hub.user(), hub.user());
    let text = r#"{"event":"app-write","data":{"sid":"s"},"ackId":"w"}"#;
    let Some(Deferred::Application { from, request }) = hub.say_deferred(app, text) else {
        panic!("the application takes it");
    };
    assert_eq!((from, request.connection), (app.token, app.id));
    assert_eq!((&*request.user, &*request.event), ("alice", "app-write"));
    assert_eq!(
        request.payload.as_deref().map(RawValue::get),
        Some(r#"{"sid":"s"}"#)
    );
    hub.all_seen();
    let outcome = EventOutcome {
        ack: Some(r#"{"result":"success"}"#.into()),
        rooms: Vec::new(),
        deliveries: vec![
            Delivery {
                filter: Filter::All,
                except: None,
                json: r#"{"event":"update"}"#.into(),
                is_ephemeral: false,
            },
            Delivery {
                filter: Filter::Exclude(app.id),
                except: None,
                json: r#"{"event":"ephemeral"}"#.into(),
                is_ephemeral: true,
            },
        ],
    };
    let reply_to = request.reply_to.unwrap();
    assert_eq!(
        (reply_to.connection, reply_to.shard, reply_to.token),
        (app.id, 0, app.token)
    );
    let correlation = Some(&*reply_to.correlation);
    hub.state.conclude(from, correlation, outcome, &mut hub.out);
    let order: Vec<_> = hub
        .out
        .written
        .iter()
        .map(|note| (note.0, note.1.as_str(), note.3))
        .collect();
    let ack = r#"{"event":"ack","ackId":"w","ack":{"result":"success"}}"#;
    let update = r#"{"event":"update"}"#;
    assert_eq!(order[0], (app.token, ack, false));
    assert_eq!(
        order[1..3],
        [(app.token, update, false), (other.token, update, false)]
    );
    assert_eq!(
        order[3..],
        [(other.token, r#"{"event":"ephemeral"}"#, true)]
    );
    hub.out.written.clear();

    // Who did not ask for an ack gets none.
    let Some(Deferred::Application { request, .. }) =
        hub.say_deferred(app, r#"{"event":"app-write"}"#)
    else {
        panic!("the application takes it");
    };
    assert!(request.reply_to.is_none() && request.payload.is_none());
    let outcome = EventOutcome {
        ack: Some("1".into()),
        rooms: Vec::new(),
        deliveries: Vec::new(),
    };
    hub.state.conclude(app.token, None, outcome, &mut hub.out);
    hub.all_seen();
}

fn any_labels() -> impl Strategy<Value = Labels> {
    let label = || prop::option::of(prop::sample::select(vec!["a", "b"]));
    (0_usize..3, label(), label()).prop_map(|(kind, session, machine)| Labels {
        client_type: ClientType::ALL[kind],
        session_id: session.map(Into::into),
        machine_id: machine.map(Into::into),
    })
}

fn any_filter() -> impl Strategy<Value = Filter> {
    let label = || prop::sample::select(vec!["a", "b", "c"]).prop_map(Box::<str>::from);
    prop_oneof![
        Just(Filter::All),
        Just(Filter::UserScopedOnly),
        label().prop_map(Filter::Session),
        label().prop_map(Filter::Machine),
        label().prop_map(Filter::MachineScopedOnly),
        label().prop_map(Filter::AllInterestedInSession),
        Just(Filter::Exclude(ConnectionId::from_bytes([0; 16]))),
    ]
}

proptest! {
    #[test]
    fn a_delivery_reaches_exactly_what_its_filter_matches(
        all in prop::collection::vec(any_labels(), 1..25),
        filter in any_filter(),
        excluded in 0_usize..25,
        closing in prop::collection::vec(0_usize..25, 0..3),
        client_type in 0_usize..3,
    ) {
        let mut hub = Hub::new();
        let peers: Vec<(Peer, Labels)> =
            all.into_iter().map(|labels| (hub.join(labels.clone()), labels)).collect();
        let filter = match (filter, peers.get(excluded)) {
            (Filter::Exclude(_), Some((peer, _))) => Filter::Exclude(peer.id),
            (filter, _) => filter,
        };
        for index in closing {
            if let Some((peer, _)) = peers.get(index) {
                hub.out.closing.insert(peer.token.to_bits());
            }
        }
        let meant = |peer: &Peer, labels: &Labels| {
            filter.matches(peer.id, labels, &Default::default()) && !hub.out.closing.contains(&peer.token.to_bits())
        };
        let expected: Vec<_> = peers
            .iter()
            .filter(|(peer, labels)| meant(peer, labels))
            .map(|(peer, _)| peer.token)
            .collect();
        let kind = ClientType::ALL[client_type];
        let of_type: Vec<_> = peers
            .iter()
            .filter(|(peer, labels)| labels.client_type == kind && meant(peer, labels))
            .map(|(peer, _)| peer.token)
            .collect();
        let delivered = hub.state.deliver(&filter, Frame::text("{}"), &mut hub.out);
        prop_assert_eq!(delivered, expected.len() as u64);
        prop_assert_eq!(hub.reached(), expected);
        let frame = Frame::text("{}");
        let delivered = hub.state.deliver_to_type(kind, &filter, frame, &mut hub.out);
        prop_assert_eq!(delivered, of_type.len() as u64);
        prop_assert_eq!(hub.reached(), of_type);
        prop_assert_eq!(hub.out.turn.held(), 0);
    }
}
