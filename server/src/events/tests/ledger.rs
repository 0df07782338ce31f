//! The ledger, with a backbone that can fail and fall behind.

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use dormouse_shard::event::Event;
use dormouse_shard::event_log::{EventLog, LogReader};
use dormouse_shard::settings::ShardSettings;
use dormouse_shard::store::Store;
use dormouse_shard::tier::{Tier, Tiers};
use dormouse_shard::{Setup, Workers};

use super::super::backbone::{Backbone, Committed};
use super::super::counters::EventCounters;
use super::super::{Ledger, Outcome, PublishError, Submission};
use super::{plain_event, submission};
use crate::database::DatabaseError;

/// Workers that nobody runs.
pub fn workers() -> Workers {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path(), 1 << 20).unwrap().0;
    let tier = Tier {
        name: "free".into(),
        connections_per_shard: 1,
        max_shards: 1,
    };
    struct NoGate;
    impl dormouse_shard::arrival::Gate for NoGate {
        fn verify(
            &self,
            _: &str,
            done: Box<dyn FnOnce(Option<dormouse_shard::arrival::Claim>) + Send>,
        ) {
            done(None);
        }
    }
    let setup = Setup {
        workers: 1,
        settings: ShardSettings::default(),
        tiers: Tiers::new(vec![tier], "free").unwrap(),
        application: Arc::new(dormouse_shard::application::NoApplication),
        gate: Arc::new(NoGate),
        mounts: Default::default(),
        store,
    };
    Workers::new(setup).unwrap().0
}

/// Remembers groups; fails those that hold an event of a name.
#[derive(Default)]
struct FakeBackbone {
    groups: Mutex<Vec<usize>>,
    told: AtomicUsize,
    waiting: AtomicUsize,
}

impl EventLog for FakeBackbone {
    fn read(&self, _: &Arc<str>, _: u64, _: usize, done: LogReader) {
        done(Ok(Default::default()));
    }
}

impl Backbone for FakeBackbone {
    fn commit(
        &self,
        submissions: Vec<Submission>,
    ) -> Pin<Box<dyn Future<Output = Result<Committed, DatabaseError>> + '_>> {
        Box::pin(async move {
            self.groups.lock().unwrap().push(submissions.len());
            let names = submissions.iter().map(|one| one.events[0].name.to_string());
            let names: Vec<String> = names.collect();
            if names.iter().any(|name| name == "billing.poison") {
                return Err(DatabaseError::Internal("poison".to_owned()));
            }
            if names.iter().any(|name| name == "billing.outage") {
                return Err(DatabaseError::Unavailable("outage".to_owned()));
            }
            let outcomes = submissions.iter().map(|_| Outcome::Stored(Vec::new()));
            let events = submissions.iter().map(|one| {
                let at = one.accepted_at;
                Event::new(one.tenant.clone(), "billing.paid", 1, String::new(), at)
            });
            Ok((outcomes.collect(), events.collect()))
        })
    }

    fn tell(&self, events: Vec<Event>) {
        self.told.fetch_add(events.len(), Ordering::SeqCst);
    }

    fn waiting(&self) -> usize {
        self.waiting.load(Ordering::SeqCst)
    }
}

fn one(name: &str) -> Submission {
    submission("t", vec![plain_event(name)])
}

#[actix_rt::test]
async fn what_waits_is_committed_together_and_one_bad_event_harms_no_other() {
    let backbone = Arc::<FakeBackbone>::default();
    let (ledger, task) = Ledger::new(backbone.clone(), Arc::<EventCounters>::default());
    let names = ["billing.a", "billing.poison", "billing.b"];
    let publishing = futures_util::future::join_all(names.map(|name| ledger.publish(one(name))));
    let (results, ()) = tokio::join!(publishing, async { drop(actix_rt::spawn(task.run())) });
    assert!(results[0].is_ok() && results[2].is_ok());
    assert!(matches!(
        &results[1],
        Err(PublishError::Database(DatabaseError::Internal(_)))
    ));
    assert_eq!(*backbone.groups.lock().unwrap(), [3, 1, 1, 1]);
    assert_eq!(backbone.told.load(Ordering::SeqCst), 2);
    let outage = futures_util::future::join_all(
        ["billing.a", "billing.outage"].map(|name| ledger.publish(one(name))),
    );
    for result in outage.await {
        let err = result.unwrap_err();
        assert!(matches!(
            err,
            PublishError::Database(DatabaseError::Unavailable(_))
        ));
    }
    assert_eq!(
        backbone.told.load(Ordering::SeqCst),
        2,
        "nobody is told of what is not stored"
    );
}

#[actix_rt::test]
async fn who_publishes_faster_than_events_are_told_waits_and_then_is_refused() {
    let backbone = Arc::<FakeBackbone>::default();
    backbone.waiting.store(usize::MAX, Ordering::SeqCst);
    let (ledger, task) = Ledger::new(backbone.clone(), Arc::<EventCounters>::default());
    let running = actix_rt::spawn(task.run());
    let waiting: Vec<_> = (0..6000)
        .map(|_| {
            let ledger = ledger.clone();
            actix_rt::spawn(async move { ledger.publish(one("billing.paid")).await })
        })
        .collect();
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    assert!(backbone.groups.lock().unwrap().is_empty());
    backbone.waiting.store(0, Ordering::SeqCst);
    let (mut stored, mut busy) = (0, 0);
    for result in waiting {
        match result.await.unwrap() {
            Ok(_) => stored += 1,
            Err(PublishError::Busy) => busy += 1,
            Err(err) => panic!("{err}"),
        }
    }
    assert_eq!(stored + busy, 6000);
    assert!(
        busy > 0 && stored >= 4096,
        "{stored} stored, {busy} refused"
    );
    assert_eq!(backbone.told.load(Ordering::SeqCst), stored);
    drop(ledger);
    running.await.unwrap();
}
