use serde_json::json;

use super::*;

fn open(folder: &Path) -> Arc<AuditLog> {
    Arc::new(AuditLog::open(folder).unwrap())
}

async fn record(log: &Arc<AuditLog>, target: &str) -> OpenEntry {
    let detail = json!({"code": 1008});
    log.begin("root", AuditAction::DisconnectUser, target, detail)
        .await
        .unwrap()
}

#[actix_rt::test]
async fn entries_are_shown_newest_first_and_survive_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let log = open(folder.path());
    assert!(log.newest(None, 10).is_empty());
    record(&log, "a").await.done(json!({"closed": 2})).await;
    record(&log, "b").await.failed(&"no such user").await;
    drop(record(&log, "c").await);
    let expect = |log: &AuditLog| {
        let entries = log.newest(None, 10);
        let seen: Vec<_> = entries
            .iter()
            .map(|entry| (entry.id, &*entry.target, entry.outcome))
            .collect();
        use AuditOutcome::{Begun, Done, Failed};
        assert_eq!(seen, [(3, "c", Begun), (2, "b", Failed), (1, "a", Done)]);
        assert_eq!(entries[2].result, json!({"closed": 2}));
        assert_eq!(entries[1].result, json!("no such user"));
        assert_eq!(entries[0].admin, "root");
        assert_eq!(entries[0].detail, json!({"code": 1008}));
    };
    expect(&log);
    drop(log);
    let log = open(folder.path());
    expect(&log);
    drop(record(&log, "d").await);
    assert_eq!(log.newest(None, 1)[0].id, 4);
    let older: Vec<_> = log.newest(Some(3), 10).iter().map(|e| e.id).collect();
    assert_eq!(older, [2, 1]);
}

#[actix_rt::test]
async fn half_written_and_foreign_lines_cost_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let log = open(folder.path());
    drop(record(&log, "a").await);
    drop(log);
    let path = folder.path().join("audit.jsonl");
    let mut text = std::fs::read(&path).unwrap();
    text.extend_from_slice(b"{\"other\":1}\n\xff\xfe\n{\"id\":2,\"at\":");
    std::fs::write(&path, text).unwrap();
    let log = open(folder.path());
    drop(record(&log, "b").await);
    drop(log);
    let targets: Vec<_> = open(folder.path())
        .newest(None, 10)
        .into_iter()
        .map(|entry| entry.target)
        .collect();
    assert_eq!(targets, ["b", "a"]);
}

#[actix_rt::test]
async fn a_large_file_is_set_aside_and_numbers_go_on() {
    let folder = tempfile::tempdir().unwrap();
    let log = open(folder.path());
    drop(record(&log, "a").await);
    lock(&log.file).bytes = MOST_BYTES;
    drop(record(&log, "b").await);
    drop(log);
    assert!(folder.path().join("audit.jsonl.1").exists());
    let log = open(folder.path());
    assert_eq!(log.newest(None, 10).len(), 2);
    drop(record(&log, "c").await);
    assert_eq!(log.newest(None, 1)[0].id, 3);
}

#[actix_rt::test]
async fn the_file_is_for_its_owner_only_and_memory_is_bounded() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = tempfile::tempdir().unwrap();
    let log = open(folder.path());
    let metadata = std::fs::metadata(folder.path().join("audit.jsonl")).unwrap();
    assert_eq!(metadata.permissions().mode() & 0o777, 0o600);
    let mut recent = VecDeque::new();
    let mut last = 0;
    drop(record(&log, "a").await);
    let line = std::fs::read_to_string(folder.path().join("audit.jsonl")).unwrap();
    read_lines(&line.repeat(KEPT + 5), &mut recent, &mut last);
    assert_eq!((recent.len(), last), (KEPT, 1));
}
