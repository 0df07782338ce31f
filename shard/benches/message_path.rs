//! What one message costs on its way through a shard: encoding, reading the envelope, choosing
//! and posting to recipients; and placing a connection.
#![allow(missing_docs, clippy::unwrap_used, reason = "a bench")]

use std::hint::black_box;
use std::time::Duration;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use dormouse_protocol::{Attachment, AuthState, CloseCode, ConnectionId, Envelope, Filter, Labels};
use dormouse_shard::frame::Frame;
use dormouse_shard::manager::members::{Member, Members};
use dormouse_shard::manager::outlet::Outlet;
use dormouse_shard::manager::state::State;
use dormouse_shard::message::HubMessage;
use dormouse_shard::mount::Wire;
use dormouse_shard::name::ShardName;
use dormouse_shard::placement::place;
use dormouse_shard::sockets::Lane;
use dormouse_shard::table::{NONE, SlotToken};
use dormouse_shard::tier::Tier;
use dormouse_shard::turn::{FrameRef, Turn};

/// A connection with labels as in the load scripts: 70 % users, 15 % sessions, 15 % machines.
fn attachment(number: u64) -> Attachment {
    let session = format!("session-{}", number % 20);
    let machine = format!("machine-{}", number % 20);
    let labels = match number % 20 {
        0..14 => Labels::new(None, None, None),
        14..17 => Labels::new(Some("session-scoped"), Some(&session), None),
        _ => Labels::new(Some("machine-scoped"), None, Some(&machine)),
    };
    Attachment {
        connection_id: id(number),
        user_id: "alice".into(),
        labels: labels.unwrap(),
        connected_at: number,
        last_activity_at: number,
        auth_state: AuthState::Legacy,
        token_hash: None,
        rooms: Default::default(),
        is_foreground: false,
    }
}

fn id(number: u64) -> ConnectionId {
    ConnectionId::from_random(u128::from(number).to_le_bytes())
}

/// Takes what a shard posts, as the sockets of a worker would.
struct Slots {
    turn: Turn,
    lists: Vec<(u32, u32)>,
}

impl Slots {
    fn new(count: usize) -> Self {
        Self {
            turn: Turn::default(),
            lists: vec![(NONE, NONE); count],
        }
    }

    /// Takes every frame off again, as a flush does.
    fn empty(&mut self) {
        for (head, tail) in &mut self.lists {
            while let Some(frame) = self.turn.pop(head, tail) {
                self.turn.release(frame);
            }
        }
    }
}

impl Outlet for Slots {
    fn now(&self) -> u64 {
        1
    }

    fn hold(&mut self, frame: Frame) -> FrameRef {
        self.turn.hold(frame)
    }

    fn release(&mut self, frame: FrameRef) {
        self.turn.release(frame);
    }

    fn post(&mut self, to: SlotToken, frame: FrameRef, _: Lane) -> bool {
        let (head, tail) = &mut self.lists[to.to_bits() as usize];
        self.turn.append(head, tail, frame) > 0
    }

    fn close(&mut self, _: SlotToken, _: CloseCode, _: &str) {}

    fn wire(&self, _: SlotToken) -> Wire {
        Wire::Plain
    }

    fn count_bad_frame(&mut self, _: SlotToken) -> u8 {
        0
    }

    fn forgive_bad_frames(&mut self, _: SlotToken) {}

    fn silence(&self, _: SlotToken) -> u64 {
        0
    }

    fn has_siblings(&self) -> bool {
        false
    }

    fn tell_siblings(&mut self, _: HubMessage) {}

    fn tell_sibling(&mut self, _: u16, _: HubMessage) {}
}

fn frames(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("frame/text");
    for size in [20, 200, 64 * 1024] {
        let json = "x".repeat(size);
        group.throughput(Throughput::Bytes(size as u64));
        group.bench_with_input(BenchmarkId::from_parameter(size), &json, |bencher, json| {
            bencher.iter(|| Frame::text(black_box(json)));
        });
    }
    group.finish();
}

fn envelopes(criterion: &mut Criterion) {
    let text = r#"{"event":"message","data":{"sid":"0123456789abcdef","message":"b64b64b64b64b64b64b64b64b64b64b64","localId":"local-1"},"ackId":"ack-1"}"#;
    criterion.bench_function("envelope/parse", |bencher| {
        bencher.iter(|| Envelope::parse(black_box(text)).unwrap());
    });
}

fn filters(criterion: &mut Criterion) {
    let mut members = Members::default();
    for number in 0..500 {
        members.insert(Member {
            token: SlotToken::from_bits(number),
            wire: Wire::Plain,
            attachment: Box::new(attachment(number)),
        });
    }
    let mut group = criterion.benchmark_group("filter of 500");
    for (name, filter) in [
        ("all", Filter::All),
        ("user-scoped-only", Filter::UserScopedOnly),
        ("session", Filter::Session("session-14".into())),
        ("machine", Filter::Machine("machine-17".into())),
        (
            "machine-scoped-only",
            Filter::MachineScopedOnly("machine-17".into()),
        ),
        (
            "all-interested-in-session",
            Filter::AllInterestedInSession("session-14".into()),
        ),
        ("exclude", Filter::Exclude(id(7))),
    ] {
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                let mut chosen = 0_u64;
                members.select(black_box(&filter), |member| {
                    chosen += member.token.to_bits()
                });
                chosen
            });
        });
    }
    group.finish();
}

fn posting(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("post");
    for count in [1_000, 10_000] {
        group.throughput(Throughput::Elements(count as u64));
        let name = ShardName::first("alice".into());
        let mut state = State::new(name, 0);
        for number in 0..count as u64 {
            state.join(
                SlotToken::from_bits(number),
                Wire::Plain,
                Box::new(attachment(number)),
            );
        }
        let mut slots = Slots::new(count);
        let frame = Frame::text(&"x".repeat(200));
        group.bench_function(
            BenchmarkId::new("select, post and take off", count),
            |bencher| {
                bencher.iter(|| {
                    let delivered = state.deliver(&Filter::All, frame.clone(), &mut slots);
                    slots.empty();
                    delivered
                });
            },
        );
    }
    group.finish();
}

fn placement(criterion: &mut Criterion) {
    let tier = Tier {
        name: "enterprise".into(),
        connections_per_shard: 500,
        max_shards: 4,
    };
    let mut group = criterion.benchmark_group("place");
    for (name, occupancy) in [
        ("in the first", vec![3]),
        ("among four", vec![500, 400, 410, 420]),
    ] {
        group.bench_function(name, |bencher| {
            bencher.iter(|| place(black_box(&occupancy), &tier, black_box(id(99))));
        });
    }
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(1));
    targets = frames, envelopes, filters, posting, placement
}
criterion_main!(benches);
