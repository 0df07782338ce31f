//! Rooms, single connections as targets, and questions of the server.

use std::time::Duration;

use dormouse_protocol::{Filter, Labels};
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::{Hub, Peer};
use crate::application::{EventOutcome, RoomChange};
use crate::frame::Frame;
use crate::store::Loaded;

fn change(hub: &mut Hub, peer: Peer, rooms: Vec<RoomChange>) {
    let outcome = EventOutcome {
        rooms,
        ..EventOutcome::default()
    };
    hub.state.conclude(peer.token, None, outcome, &mut hub.out);
}

fn reached(hub: &mut Hub, filter: Filter) -> usize {
    let delivered = hub.state.deliver(&filter, Frame::text("{}"), &mut hub.out);
    assert_eq!(hub.reached().len() as u64, delivered);
    delivered as usize
}

#[test]
fn a_room_reaches_who_has_joined_it_until_they_leave() {
    let mut hub = Hub::new();
    let (one, two) = (hub.user(), hub.machine("m"));
    hub.session("s");
    let room = || Filter::Room("r".into());
    assert_eq!(reached(&mut hub, room()), 0);
    change(&mut hub, one, vec![RoomChange::Join("r".into())]);
    let both = vec![RoomChange::Join("r".into()), RoomChange::Join("q".into())];
    change(&mut hub, two, both);
    assert_eq!(reached(&mut hub, room()), 2);
    change(&mut hub, one, vec![RoomChange::Leave("r".into())]);
    assert_eq!(reached(&mut hub, room()), 1);
    hub.leave(two);
    assert_eq!(reached(&mut hub, room()), 0);
    assert_eq!(reached(&mut hub, Filter::Connection(one.id)), 1);
    assert_eq!(reached(&mut hub, Filter::Connection(two.id)), 0);
}

#[test]
fn rooms_are_stored_with_the_attachment() {
    let mut hub = Hub::new();
    let peer = hub.join(Labels::new(None, None, None).unwrap());
    change(&mut hub, peer, vec![RoomChange::Join("r".into())]);
    let changes = hub.state.changes_to_store(&hub.out);
    let stored: Loaded = changes.into_iter().filter_map(|(_, value)| value).collect();
    assert!(!stored.is_empty());
    assert!(hub.state.changes_to_store(&hub.out).is_empty());
    // What changes nothing leaves nothing to store.
    change(
        &mut hub,
        peer,
        vec![RoomChange::Join("r".into()), RoomChange::Leave("x".into())],
    );
    assert!(hub.state.changes_to_store(&hub.out).is_empty());
    change(&mut hub, peer, vec![RoomChange::Leave("r".into())]);
    assert!(!hub.state.changes_to_store(&hub.out).is_empty());

    let mut woken = Hub::new();
    woken
        .state
        .restore(stored, |_| Some((peer.id, crate::mount::Wire::Plain)));
    let filter = Filter::Room("r".into());
    let delivered = woken
        .state
        .deliver(&filter, Frame::text("{}"), &mut woken.out);
    assert_eq!(delivered, 1);
}

#[test]
fn a_question_is_answered_by_who_was_asked() {
    let mut hub = Hub::new();
    let (asked, other) = (hub.user(), hub.user());
    let (reply, mut answer) = mpsc::unbounded_channel();
    let deadline = Instant::now() + Duration::from_secs(5);
    hub.state
        .ask(asked.id, "question", None, deadline, reply, &mut hub.out);
    assert!(!hub.state.may_sleep());
    assert_eq!(hub.state.next_call_deadline(), Some(deadline));
    let frame = hub.got_one(asked);
    assert_eq!(frame["event"], "question");
    let response = |value: &str| {
        let id = &frame["ackId"];
        format!(r#"{{"event":"rpc-response","ackId":{id},"ack":{value}}}"#)
    };
    hub.say(other, &response("1"));
    assert!(answer.try_recv().is_err(), "it was not asked");
    hub.say(asked, &response(r#"{"yes":true}"#));
    hub.say(asked, &response("2"));
    assert_eq!(answer.try_recv().unwrap().get(), r#"{"yes":true}"#);
    assert!(answer.try_recv().is_err());
    assert!(hub.state.may_sleep());
}

#[test]
fn a_question_ends_with_its_target_or_its_time() {
    let mut hub = Hub::new();
    let (asked, other) = (hub.user(), hub.user());
    let deadline = Instant::now() + Duration::from_secs(5);
    let ask = |hub: &mut Hub, of: Peer| {
        let (reply, answer) = mpsc::unbounded_channel();
        hub.state
            .ask(of.id, "question", None, deadline, reply, &mut hub.out);
        answer
    };
    let mut gone = ask(&mut hub, asked);
    let mut late = ask(&mut hub, other);
    hub.leave(asked);
    assert_eq!(
        gone.try_recv().unwrap_err(),
        mpsc::error::TryRecvError::Disconnected
    );
    let mut nobody = ask(&mut hub, asked);
    assert_eq!(
        nobody.try_recv().unwrap_err(),
        mpsc::error::TryRecvError::Disconnected
    );
    hub.state.expire_calls(deadline, &mut hub.out);
    assert_eq!(
        late.try_recv().unwrap_err(),
        mpsc::error::TryRecvError::Disconnected
    );
    assert!(hub.state.may_sleep());
}
