//! Interleavings of the threads that share a session (HTTP's, the worker's, another worker's),
//! chosen by shuttle: thousands of them, with a switch at every lock.
//!
//! ```sh
//! cargo test -p dormouse-shard --features shuttle --lib schedules
//! ```

use dormouse_protocol::ConnectionId;
use shuttle::thread;

use super::*;
use crate::table::Owner;

const SCHEDULES: usize = 5000;
const LIMITS: OutboxLimits = OutboxLimits {
    frames: 100,
    bytes: 10_000,
};

fn explore(scenario: impl Fn() + Send + Sync + 'static) {
    shuttle::check_random(scenario, SCHEDULES);
}

fn session() -> (Arc<PollSessions>, Arc<PollSession>) {
    let sessions = Arc::<PollSessions>::default();
    let session = sessions.open(MountId::of_index(0));
    (sessions, session)
}

fn push(session: &PollSession, text: &str) {
    session
        .push(std::iter::once(Frame::packet(text)), LIMITS)
        .unwrap();
}

/// Polls as a client does; the packets of one body.
fn fetch(session: &PollSession) -> Vec<String> {
    let body = match session.poll() {
        Ok(Poll::Ready(body)) => body,
        Ok(Poll::Held(mut receiver)) => loop {
            match receiver.try_recv() {
                Ok(body) => break body,
                Err(oneshot::error::TryRecvError::Empty) => thread::yield_now(),
                Err(oneshot::error::TryRecvError::Closed) => panic!("a GET without an answer"),
            }
        },
        Err(fault) => panic!("{fault}"),
    };
    let text = String::from_utf8(body.to_vec()).unwrap();
    text.split(SEPARATOR).map(str::to_owned).collect()
}

#[test]
fn every_packet_is_fetched_once_and_in_order_and_then_the_end() {
    explore(|| {
        let (sessions, session) = session();
        let worker = {
            let session = session.clone();
            thread::spawn(move || {
                for number in 0..4 {
                    push(&session, &format!("4{number}"));
                }
                session.end();
            })
        };
        let mut fetched = Vec::new();
        while fetched.last().map(String::as_str) != Some("1") {
            fetched.extend(fetch(&session));
        }
        worker.join().unwrap();
        assert_eq!(fetched, ["40", "41", "42", "43", "1"]);
        assert!(sessions.is_empty(), "nobody finds it any more");
    });
}

#[test]
fn what_posts_bring_is_taken_once_and_in_order() {
    explore(|| {
        let (_sessions, session) = session();
        let http = {
            let session = session.clone();
            thread::spawn(move || {
                for body in ["a\u{1e}b", "c"] {
                    session.begin_post().unwrap().finish(body);
                }
            })
        };
        let mut taken: Vec<String> = Vec::new();
        while taken.len() < 3 {
            taken.extend(session.take().packets);
            thread::yield_now();
        }
        http.join().unwrap();
        assert_eq!(taken, ["a", "b", "c"]);
        assert!(!session.take().is_to_close, "they did not overlap");
    });
}

#[test]
fn of_posts_that_overlap_one_is_refused_and_none_is_taken_in_part() {
    explore(|| {
        let (_sessions, session) = session();
        let post = |session: Arc<PollSession>, body: &'static str| {
            thread::spawn(move || session.begin_post().map(|post| post.finish(body)).is_ok())
        };
        let both = [
            post(session.clone(), "a\u{1e}b"),
            post(session.clone(), "c\u{1e}d"),
        ];
        let [first, second] = both.map(|thread| thread.join().unwrap());
        let taken = session.take();
        assert!(first || second);
        assert_eq!(taken.is_to_close, !(first && second));
        assert_eq!(
            taken.packets.len(),
            2 * (usize::from(first) + usize::from(second))
        );
        let packets = Vec::from(taken.packets);
        let is_whole = |pair: &[String]| pair == ["a", "b"] || pair == ["c", "d"];
        assert!(packets.chunks(2).all(is_whole), "{packets:?}");
    });
}

#[test]
fn a_change_that_meets_the_end_loses_no_frame_and_doubles_none() {
    explore(|| {
        let (_sessions, session) = session();
        assert!(session.begin_change());
        let other = {
            let session = session.clone();
            thread::spawn(move || {
                let socket = rustix::event::eventfd(0, rustix::event::EventfdFlags::empty());
                let slot = Slot::new(socket.unwrap(), ConnectionId::random(), Owner::Lobby);
                session.probed();
                session.change_to(Box::new(slot)).err()
            })
        };
        push(&session, "4a");
        push(&session, "4b");
        let taken = session.take_change();
        session.end();
        let refused = other.join().unwrap();
        let mut frames: Vec<String> = Vec::new();
        let mut read = |bytes: &[u8]| {
            frames.extend(server_frames(bytes).map(|frame| match frame {
                ServerFrame::Text(text) => text.to_owned(),
                ServerFrame::Binary(_) => panic!("nobody sent binary"),
            }));
        };
        assert!(taken.is_none() || refused.is_none(), "one has it");
        for frame in taken
            .into_iter()
            .flat_map(|(_, outbox)| outbox.into_frames())
        {
            read(frame.bytes());
        }
        if let Some((_, words)) = refused {
            read(&words);
        }
        // What neither has is for the next GET.
        while let Ok(Poll::Ready(body)) = session.poll() {
            let text = String::from_utf8(body.to_vec()).unwrap();
            let packets = text.split(SEPARATOR).map(str::to_owned);
            frames.extend(packets.filter(|packet| packet.starts_with('4')));
        }
        assert_eq!(frames, ["4a", "4b"]);
    });
}
