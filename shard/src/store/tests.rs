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
