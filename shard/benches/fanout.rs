//! One frame to a thousand sockets of one user: from asking until the kernel has all of them.
#![allow(missing_docs, clippy::unwrap_used, reason = "a bench")]

use std::io::Read;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use dormouse_protocol::{AuthState, Filter, Labels};
use dormouse_shard::application::NoApplication;
use dormouse_shard::arrival::{Arrival, Claim, Gate, Greeting, fresh_slot};
use dormouse_shard::frame::Frame;
use dormouse_shard::settings::ShardSettings;
use dormouse_shard::store::Store;
use dormouse_shard::tier::{Tier, Tiers};
use dormouse_shard::{Setup, Workers};

const CLIENTS: usize = 1_000;

struct NoGate;

impl Gate for NoGate {
    fn verify(&self, _: &str, done: Box<dyn FnOnce(Option<Claim>) + Send>) {
        done(None);
    }
}

struct Room {
    workers: Workers,
    clients: Vec<UnixStream>,
    _folder: tempfile::TempDir,
}

impl Room {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let tier = Tier {
            name: "all".into(),
            connections_per_shard: 20_000,
            max_shards: 1,
        };
        let (workers, seats) = Workers::new(Setup {
            workers: 1,
            settings: ShardSettings::default(),
            tiers: Tiers::new(vec![tier], "all").unwrap(),
            application: Arc::new(NoApplication),
            gate: Arc::new(NoGate),
            mounts: Default::default(),
            store: Store::open(folder.path(), 1 << 20).unwrap().0,
        })
        .unwrap();
        for seat in seats {
            seat.take().unwrap();
        }
        let mut clients = Vec::new();
        for _ in 0..CLIENTS {
            let (near, far) = UnixStream::pair().unwrap();
            near.set_nonblocking(true).unwrap();
            workers.admit(Arrival {
                slot: fresh_slot(far.into(), &[]),
                claim: Claim {
                    user: "alice".into(),
                    tier: None,
                    token_hash: None,
                },
                labels: Labels::new(None, None, None).unwrap(),
                rooms: Default::default(),
                auth_state: AuthState::Legacy,
                is_foreground: false,
                connected_at: 1,
                started: tokio::time::Instant::now(),
                greeting: Greeting::Upgrade {
                    accept: Bytes::from_static(b"101"),
                    refuse: Box::new(|_| Bytes::new()),
                },
            });
            clients.push(near);
        }
        let mut room = Self {
            workers,
            clients,
            _folder: folder,
        };
        room.written(CLIENTS as u64).await;
        room.drain();
        room
    }

    /// Waits until this many frames have left.
    async fn written(&self, count: u64) {
        while self.frames_out().await < count {}
    }

    async fn frames_out(&self) -> u64 {
        self.workers.report(0).await[0].io.frames_out
    }

    /// Reads everything, so that no socket is ever full.
    fn drain(&mut self) {
        let mut bytes = [0; 256 * 1024];
        for client in &mut self.clients {
            while client.read(&mut bytes).is_ok() {}
        }
    }

    /// Time to hand so many frames to everybody, this many at once.
    async fn fan_out(&mut self, rounds: u64, at_once: usize, frame: &Frame) -> Duration {
        let mut took = Duration::ZERO;
        for _ in 0..rounds {
            let before = self.frames_out().await;
            let began = Instant::now();
            let asked =
                (0..at_once).map(|_| self.workers.deliver("alice", Filter::All, frame.clone()));
            for delivered in futures_util::future::join_all(asked).await {
                assert_eq!(delivered[0].delivered, CLIENTS as u64);
            }
            self.written(before + (CLIENTS * at_once) as u64).await;
            took += began.elapsed();
            self.drain();
        }
        took
    }
}

fn fan_out(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("fan-out to 1000 sockets");
    for at_once in [1, 5] {
        group.throughput(Throughput::Elements((CLIENTS * at_once) as u64));
        group.bench_function(format!("{at_once} at once, 200 B"), |bencher| {
            let frame = Frame::text(&"x".repeat(200));
            bencher.iter_custom(|rounds| {
                actix_rt::System::new().block_on(async {
                    let mut room = Room::new().await;
                    room.fan_out(rounds, at_once, &frame).await
                })
            });
        });
    }
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .sample_size(10)
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(2));
    targets = fan_out
}
criterion_main!(benches);
