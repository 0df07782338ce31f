use super::*;

const LIMITS: OutboxLimits = OutboxLimits {
    frames: 4,
    bytes: 1000,
};

fn session() -> (Arc<PollSessions>, Arc<PollSession>) {
    let sessions = Arc::<PollSessions>::default();
    let session = sessions.open(MountId::of_index(0));
    (sessions, session)
}

fn held(session: &PollSession) -> oneshot::Receiver<Bytes> {
    match session.poll() {
        Ok(Poll::Held(receiver)) => receiver,
        other => panic!("{other:?}"),
    }
}

fn ready(session: &PollSession) -> Bytes {
    match session.poll() {
        Ok(Poll::Ready(body)) => body,
        other => panic!("{other:?}"),
    }
}

fn push(session: &PollSession, text: &str) -> Result<u32, Overflow> {
    session.push(std::iter::once(Frame::packet(text)), LIMITS)
}

#[test]
fn ids_are_twenty_characters_and_found_again() {
    let (sessions, session) = session();
    let id = session.id().to_string();
    assert_eq!(id.len(), 20);
    assert!(sessions.find(&id).is_some());
    for other in ["", "x", &id[1..], "....................", &"A".repeat(20)] {
        assert!(sessions.find(other).is_none(), "{other}");
    }
}

#[test]
fn a_held_get_is_answered_by_the_next_packet_and_a_second_is_refused() {
    let (_sessions, session) = session();
    let mut first = held(&session);
    assert_eq!(session.poll().unwrap_err(), PollFault::Overlap);
    assert!(session.take().is_to_close);
    push(&session, "42[\"a\"]").unwrap();
    assert_eq!(first.try_recv().unwrap(), "42[\"a\"]");
    push(&session, "2").unwrap();
    push(&session, "42[\"b\"]").unwrap();
    assert_eq!(ready(&session), "2\u{1e}42[\"b\"]");
    let gone = held(&session);
    drop(gone);
    push(&session, "2").unwrap();
    assert_eq!(ready(&session), "2", "kept for a client that came back");
}

#[test]
fn posts_come_one_at_a_time() {
    let (_sessions, session) = session();
    session.begin_post().unwrap().finish("3\u{1e}42[\"a\"]");
    drop(session.begin_post().unwrap());
    let posting = session.begin_post().unwrap();
    assert_eq!(session.begin_post().unwrap_err(), PollFault::Overlap);
    posting.finish("6");
    let taken = session.take();
    assert_eq!(taken.packets, ["3", "42[\"a\"]", "6"]);
    assert!(taken.is_to_close);
}

#[test]
fn what_nobody_fetches_is_bounded() {
    let (_sessions, session) = session();
    for _ in 0..4 {
        push(&session, "42[\"a\"]").unwrap();
    }
    assert_eq!(push(&session, "42[\"a\"]"), Err(Overflow));
}

#[test]
fn the_last_words_of_a_session_are_fetched_once() {
    let (sessions, session) = session();
    push(&session, "41").unwrap();
    session.end();
    assert_eq!(session.begin_post().unwrap_err(), PollFault::Over);
    assert_eq!(ready(&session), "41");
    assert_eq!(ready(&session), "1");
    assert!(sessions.is_empty());
    assert_eq!(session.poll().unwrap_err(), PollFault::Over);
    let other = sessions.open(MountId::of_index(0));
    let mut last = held(&other);
    other.end();
    assert_eq!(last.try_recv().unwrap(), "1");
    assert!(sessions.is_empty());
}

#[test]
fn a_change_lets_gets_go_and_is_tried_once_at_a_time() {
    let (_sessions, session) = session();
    let mut waiting = held(&session);
    assert!(session.begin_change());
    assert!(!session.begin_change());
    session.probed();
    assert_eq!(waiting.try_recv().unwrap(), "6");
    assert_eq!(ready(&session), "6");
    session.give_up_change();
    let _waiting = held(&session);
    assert!(session.begin_change());
}

#[test]
fn binary_frames_become_base64() {
    let mut body = String::new();
    push_payload(&mut body, b"\x81\x03451\x82\x02\x01\x02");
    assert_eq!(body, "451\u{1e}bAQI=");
}
