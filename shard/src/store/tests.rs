use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use dormouse_protocol::{Attachment, AuthState, ConnectionId, Labels};

use super::*;
use crate::record::Entry;

fn attachment(id: u8, client_type: &str, machine: Option<&str>) -> Attachment {
    Attachment {
        connection_id: ConnectionId::from_bytes([id; 16]),
        user_id: "alice".into(),
        labels: Labels::new(Some(client_type), None, machine).unwrap(),
        connected_at: 1,
        last_activity_at: 2,
        auth_state: AuthState::Legacy,
        token_hash: None,
        rooms: Default::default(),
        is_foreground: false,
    }
}

fn save(store: &Store, changes: Changes) -> Result<(), StoreError> {
    let (sender, receiver) = mpsc::channel();
    store.save(changes, move |result| sender.send(result).unwrap());
    receiver.recv().unwrap()
}

#[test]
fn a_shard_is_loaded_as_it_was_saved_and_alone() {
    let folder = tempfile::tempdir().unwrap();
    let (store, leftovers) = Store::open(&folder.path().join("store"), 1 << 20).unwrap();
    assert_eq!(leftovers, Leftovers::default());
    let (alice, other) = (
        ShardName {
            user: "alice".into(),
            number: 0,
        },
        ShardName {
            user: "alice".into(),
            number: 1,
        },
    );
    let one = attachment(1, "machine-scoped", Some("m1"));
    let bytes = record::encode(&[Entry::new(5, &one, Vec::new())]);
    let key = record::key(&alice, 0);
    save(&store, vec![(key.clone(), Some(bytes.clone()))]).unwrap();
    assert_eq!(store.load(&alice).unwrap(), vec![bytes]);
    assert!(store.load(&other).unwrap().is_empty());
    save(&store, vec![(key, None)]).unwrap();
    assert!(store.load(&alice).unwrap().is_empty());
}

#[test]
fn what_a_dead_process_left_is_told_and_removed() {
    let folder = tempfile::tempdir().unwrap();
    let name = ShardName::first("alice".into());
    {
        let (store, _) = Store::open(folder.path(), 1 << 20).unwrap();
        let both = [
            attachment(1, "machine-scoped", Some("m1")),
            attachment(2, "user-scoped", None),
        ];
        let entries = both.map(|attachment| Entry::new(1, &attachment, Vec::new()));
        save(
            &store,
            vec![(record::key(&name, 0), Some(record::encode(&entries)))],
        )
        .unwrap();
        store.set_tier("alice", Some("pro")).unwrap();
    }
    let (store, leftovers) = Store::open(folder.path(), 1 << 20).unwrap();
    assert_eq!(leftovers.connections, 2);
    assert_eq!(leftovers.machines, [("alice".to_owned(), "m1".to_owned())]);
    assert!(store.load(&name).unwrap().is_empty());
    assert_eq!(
        store.tiers().unwrap().get("alice").map(String::as_str),
        Some("pro")
    );
    store.set_tier("alice", None).unwrap();
    assert!(store.tiers().unwrap().is_empty());
}

#[test]
fn a_folder_in_use_is_refused_with_a_remedy() {
    let folder = tempfile::tempdir().unwrap();
    let _held = Store::open(folder.path(), 1 << 20).unwrap();
    let err = Store::open(folder.path(), 1 << 20)
        .map(drop)
        .unwrap_err()
        .to_string();
    assert!(err.contains("another process"), "{err}");
}

/// Fails while told to.
#[derive(Default)]
struct Failing {
    fails: AtomicBool,
    applied: AtomicUsize,
}

impl Backend for Failing {
    fn scan(&self, _: &[u8]) -> Result<Entries, StoreError> {
        Ok(Vec::new())
    }

    fn apply(&self, changes: Changes) -> Result<(), StoreError> {
        if self.fails.load(Ordering::SeqCst) {
            return Err(StoreError::new("disk full"));
        }
        self.applied.fetch_add(changes.len(), Ordering::SeqCst);
        Ok(())
    }

    fn tiers(&self) -> Result<BTreeMap<String, String>, StoreError> {
        Ok(BTreeMap::new())
    }

    fn set_tier(&self, _: &str, _: Option<&str>) -> Result<(), StoreError> {
        Ok(())
    }
}

#[test]
fn a_failing_disk_is_told_to_every_waiter_and_shows() {
    let backend = Arc::new(Failing::default());
    let (store, _) = Store::with_backend(backend.clone()).unwrap();
    backend.fails.store(true, Ordering::SeqCst);
    assert!(save(&store, vec![(vec![1], None)]).is_err());
    assert!(
        store
            .fault()
            .is_some_and(|err| err.to_string() == "disk full")
    );
    assert_eq!(backend.applied.load(Ordering::SeqCst), 0);
}

#[test]
fn a_store_that_works_again_says_so_without_being_asked() {
    let backend = Arc::new(Failing::default());
    let (store, _) = Store::with_backend(backend.clone()).unwrap();
    backend.fails.store(true, Ordering::SeqCst);
    assert!(save(&store, vec![(vec![1], None)]).is_err());
    backend.fails.store(false, Ordering::SeqCst);
    let began = std::time::Instant::now();
    while store.fault().is_some() {
        assert!(began.elapsed() < Duration::from_secs(30), "nobody asks");
        std::thread::park_timeout(Duration::from_millis(5));
    }
    save(&store, vec![(vec![1], None)]).unwrap();
}

/// Waits in every write until it is let go, or nudged where it minds that.
#[derive(Default)]
struct Stuck {
    state: Mutex<StuckState>,
    changed: std::sync::Condvar,
    minds_nudges: bool,
}

#[derive(Default)]
struct StuckState {
    holds: bool,
    waiting: usize,
    applied: usize,
}

impl Stuck {
    fn new(minds_nudges: bool) -> Arc<Self> {
        Arc::new(Self {
            minds_nudges,
            ..Self::default()
        })
    }

    fn hold(&self, holds: bool) {
        self.state.lock().unwrap().holds = holds;
        self.changed.notify_all();
    }

    fn wait(&self) {
        let mut state = self.state.lock().unwrap();
        state.waiting += 1;
        while state.holds {
            state = self.changed.wait(state).unwrap();
        }
        state.waiting -= 1;
        state.applied += 1;
    }
}

impl Backend for Stuck {
    fn scan(&self, _: &[u8]) -> Result<Entries, StoreError> {
        Ok(Vec::new())
    }

    fn apply(&self, _: Changes) -> Result<(), StoreError> {
        self.wait();
        Ok(())
    }

    fn tiers(&self) -> Result<BTreeMap<String, String>, StoreError> {
        Ok(BTreeMap::new())
    }

    fn set_tier(&self, _: &str, _: Option<&str>) -> Result<(), StoreError> {
        self.wait();
        Ok(())
    }

    fn nudge(&self) {
        if self.minds_nudges {
            self.hold(false);
        }
    }
}

const SHORT: Duration = Duration::from_millis(20);

#[test]
fn a_write_that_does_not_end_is_given_up_and_everybody_is_told() {
    let backend = Stuck::new(false);
    let (store, _) = Store::with_patience(backend.clone(), SHORT).unwrap();
    backend.hold(true);
    let err = save(&store, vec![(vec![1], None)]).unwrap_err().to_string();
    assert!(err.contains("has not ended a write"), "{err}");
    assert!(store.fault().is_some(), "the server is not ready");
    // What comes later is not queued behind it, admins' writes neither.
    assert!(save(&store, vec![(vec![2], None)]).is_err());
    assert!(store.set_tier("alice", Some("pro")).is_err());
    assert_eq!(backend.state.lock().unwrap().waiting, 1, "no second one");

    backend.hold(false);
    let began = std::time::Instant::now();
    while store.fault().is_some() {
        assert!(began.elapsed() < Duration::from_secs(30), "nobody asks");
        std::thread::park_timeout(Duration::from_millis(5));
    }
    save(&store, vec![(vec![3], None)]).unwrap();
    store.set_tier("alice", Some("pro")).unwrap();
}

#[test]
fn a_store_with_a_write_that_does_not_end_can_be_closed() {
    let backend = Stuck::new(false);
    let (store, _) = Store::with_patience(backend.clone(), SHORT).unwrap();
    backend.hold(true);
    let (sender, receiver) = mpsc::channel();
    store.save(vec![(vec![1], None)], move |result| {
        sender.send(result).unwrap();
    });
    // Waits for the store's thread, which would wait for ever.
    drop(store);
    assert!(receiver.recv().unwrap().is_err());
    backend.hold(false);
}

#[test]
fn a_write_that_takes_long_is_nudged() {
    let backend = Stuck::new(true);
    let patience = Duration::from_secs(3600);
    let (store, _) = Store::with_patience(backend.clone(), patience).unwrap();
    backend.hold(true);
    save(&store, vec![(vec![1], None)]).unwrap();
    assert!(store.fault().is_none());
    assert_eq!(backend.state.lock().unwrap().applied, 1);
}

#[test]
fn writes_of_both_kinds_are_done_in_their_order() {
    let folder = tempfile::tempdir().unwrap();
    let (store, _) = Store::open(folder.path(), 1 << 20).unwrap();
    let name = ShardName::first("alice".into());
    let key = record::key(&name, 0);
    let (sender, receiver) = mpsc::channel();
    for value in 0..50_u8 {
        let sender = sender.clone();
        let changes = vec![(key.clone(), Some(vec![value]))];
        store.save(changes, move |result| sender.send(result).unwrap());
        if value % 10 == 0 {
            store.set_tier("alice", Some(&value.to_string())).unwrap();
        }
    }
    for _ in 0..50 {
        receiver.recv().unwrap().unwrap();
    }
    assert_eq!(store.load(&name).unwrap(), [[49_u8]]);
    assert_eq!(store.tiers().unwrap()["alice"], "40");
}

#[test]
fn pages_that_cannot_be_read_end_the_reading_and_the_rest_is_kept() {
    let folder = tempfile::tempdir().unwrap();
    let backend = SledBackend::open(folder.path(), 1 << 16).unwrap();
    let changes = (0..4_000_u32).map(|number| {
        let key = number.to_be_bytes().to_vec();
        (key, Some(vec![7; 500]))
    });
    backend.apply(changes.collect()).unwrap();
    // What is not in the cache has to be read from here.
    let file = folder.path().join("db");
    let length = std::fs::metadata(&file).unwrap().len();
    let garbage = vec![0xa5; usize::try_from(length / 2).unwrap()];
    let db = std::fs::OpenOptions::new().write(true).open(&file).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&db, &garbage, length / 4).unwrap();
    assert!(backend.scan(&[]).is_err(), "the damage is seen");
    let kept = backend.scan(&[]).unwrap();
    assert!(kept.len() < 4_000, "{}", kept.len());
    // The next write finds a database that works, with all of that in it.
    backend
        .apply(vec![(b"more".to_vec(), Some(vec![1]))])
        .unwrap();
    let after = backend.scan(&[]).unwrap();
    for entry in &kept {
        assert!(after.contains(entry));
    }
    assert!(after.contains(&(b"more".to_vec(), vec![1])));
}

#[test]
fn files_that_a_full_disk_has_damaged_are_set_aside_and_nothing_known_is_lost() {
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join("attachments");
    let backend = SledBackend::open(&store, 1 << 20).unwrap();
    let entry = |number: u8| (vec![number; 8], vec![number; 500]);
    let changes = (0..100).map(|number| {
        let (key, value) = entry(number);
        (key, Some(value))
    });
    backend.apply(changes.collect()).unwrap();
    backend.set_tier("alice", Some("pro")).unwrap();
    for round in 0..2_u8 {
        backend.failed(&sled::Error::Io(std::io::ErrorKind::StorageFull.into()));
        for file in std::fs::read_dir(&store).unwrap() {
            let path = file.unwrap().path();
            if path.is_file() {
                std::fs::write(path, [0xa5; 64]).unwrap();
            }
        }
        let (key, value) = entry(100 + round);
        backend.apply(vec![(key, Some(value))]).unwrap();
        let expected: Entries = (0..=100 + round).map(entry).collect();
        assert_eq!(backend.scan(&[]).unwrap(), expected);
        assert_eq!(backend.tiers().unwrap()["alice"], "pro");
        assert!(folder.path().join("attachments.damaged").is_dir());
    }
    drop(backend);
    let again = SledBackend::open(&store, 1 << 20).unwrap();
    assert_eq!(again.scan(&[]).unwrap().len(), 102, "it is on disk");
}
