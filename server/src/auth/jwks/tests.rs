use std::fs;
use std::time::Duration;

use jsonwebtoken::Algorithm;
use serde_json::json;
use tempfile::TempDir;

use super::*;
use crate::auth::testing::{NOW, jwk};

struct Fixture {
    dir: TempDir,
}

impl Fixture {
    fn new(content: &str) -> Self {
        let fixture = Self {
            dir: tempfile::tempdir().unwrap(),
        };
        fixture.replace(content);
        fixture
    }

    fn path(&self) -> PathBuf {
        self.dir.path().join("jwks.json")
    }

    /// Puts a new file in the old one's place.
    fn replace(&self, content: &str) {
        let new = self.dir.path().join("new");
        fs::write(&new, content).unwrap();
        fs::rename(new, self.path()).unwrap();
    }
}

fn set(ids: &[&str]) -> String {
    let keys: Vec<_> = ids
        .iter()
        .map(|id| jwk(Algorithm::EdDSA, Some(id)))
        .collect();
    json!({ "keys": keys }).to_string()
}

fn ids(file: &JwksFile) -> Vec<String> {
    file.keys()
        .iter()
        .filter_map(|key| key.id().map(str::to_owned))
        .collect()
}

#[test]
fn a_changed_file_is_read_after_the_interval() {
    let fixture = Fixture::new(&set(&["one"]));
    let file = JwksFile::open(&fixture.path(), NOW).unwrap();
    assert_eq!(ids(&file), ["one"]);
    fixture.replace(&set(&["two", "three"]));
    file.reload_if_due(NOW + CHECK_INTERVAL_MS - 1);
    assert_eq!(ids(&file), ["one"], "not looked at yet");
    let before = file.generation();
    file.reload_if_due(NOW + CHECK_INTERVAL_MS);
    assert_eq!(ids(&file), ["two", "three"]);
    assert!(file.generation() > before);
}

#[test]
fn an_unchanged_file_keeps_its_generation() {
    let fixture = Fixture::new(&set(&["one"]));
    let file = JwksFile::open(&fixture.path(), NOW).unwrap();
    let before = file.generation();
    file.reload_if_due(NOW + CHECK_INTERVAL_MS);
    assert_eq!(file.generation(), before);
}

#[test]
fn a_file_written_over_is_seen_by_its_time() {
    let fixture = Fixture::new(&set(&["one"]));
    let file = JwksFile::open(&fixture.path(), NOW).unwrap();
    fs::write(fixture.path(), set(&["two"])).unwrap();
    let handle = fs::File::options()
        .write(true)
        .open(fixture.path())
        .unwrap();
    handle
        .set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(1))
        .unwrap();
    file.reload_if_due(NOW + CHECK_INTERVAL_MS);
    assert_eq!(ids(&file), ["two"]);
}

#[test]
fn a_broken_file_keeps_the_old_keys_until_it_is_mended() {
    let fixture = Fixture::new(&set(&["one"]));
    let file = JwksFile::open(&fixture.path(), NOW).unwrap();
    let mut now = NOW;
    let before = file.generation();
    let long = " ".repeat(MAX_FILE_BYTES as usize + 1);
    for broken in [
        "",
        "{",
        "[]",
        r#"{"keys":{}}"#,
        r#"{"keys":[]}"#,
        r#"{"keys":[{}]}"#,
        &long,
    ] {
        fixture.replace(broken);
        now += CHECK_INTERVAL_MS;
        file.reload_if_due(now);
        assert_eq!(ids(&file), ["one"]);
    }
    fs::remove_file(fixture.path()).unwrap();
    file.reload_if_due(now + CHECK_INTERVAL_MS);
    assert_eq!(ids(&file), ["one"], "a missing file is a broken one");
    assert_eq!(file.generation(), before);
    fixture.replace(&set(&["two"]));
    file.reload_if_due(now + 2 * CHECK_INTERVAL_MS);
    assert_eq!(ids(&file), ["two"]);
}

#[test]
fn a_clock_that_steps_back_does_not_stop_reloading() {
    let fixture = Fixture::new(&set(&["one"]));
    let file = JwksFile::open(&fixture.path(), NOW).unwrap();
    fixture.replace(&set(&["two"]));
    file.reload_if_due(NOW - 3_600_000);
    assert_eq!(ids(&file), ["two"]);
}

#[test]
fn a_broken_first_file_is_refused_with_a_remedy() {
    let missing = Fixture::new("").dir.path().join("none.json");
    let err = JwksFile::open(&missing, NOW).unwrap_err();
    assert!(matches!(err, KeyError::JwksUnreadable { .. }), "{err}");
    assert!(err.to_string().contains("check the path"));

    for malformed in ["<html>", "[]", r#"{"keys":1}"#] {
        let fixture = Fixture::new(malformed);
        let err = JwksFile::open(&fixture.path(), NOW).unwrap_err();
        assert!(matches!(err, KeyError::JwksMalformed { .. }), "{err}");
    }
    let symmetric = json!({"keys": [{"kty": "oct", "k": "c2VjcmV0"}]}).to_string();
    let fixture = Fixture::new(&symmetric);
    let err = JwksFile::open(&fixture.path(), NOW).unwrap_err();
    assert!(matches!(err, KeyError::JwksEmpty { .. }), "{err}");
    assert!(err.to_string().contains("EdDSA (Ed25519)"));
}

#[test]
fn keys_that_are_not_understood_are_left_out() {
    let content = json!({"keys": [
        {"kty": "future", "parameter": [1]},
        "not even an object",
        jwk(Algorithm::ES256, Some("ec")),
        {"kty": "RSA", "use": 5},
        jwk(Algorithm::RS256, Some("rsa")),
    ]});
    let fixture = Fixture::new(&content.to_string());
    let file = JwksFile::open(&fixture.path(), NOW).unwrap();
    assert_eq!(ids(&file), ["ec", "rsa"]);
}
