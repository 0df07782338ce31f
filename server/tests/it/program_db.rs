//! `dormouse db`, as docs/operations.md says: an export beside a running server, restored elsewhere.

use serde_json::json;

use crate::support::http;
use crate::support::process::{Dormouse, run_dormouse, token};

#[tokio::test]
async fn what_is_exported_from_a_running_server_is_restored_elsewhere() {
    let (folder, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let mut process = Dormouse::serve(folder.path(), &[]).await;
    let bearer = token(folder.path(), &["--user", "alice"]).await;
    let body = json!({ "tag": "t", "metadata": "é" });
    let made = http::post(process.address(), "/v1/sessions", &bearer, &body).await;
    let id = made.json()["session"]["id"].as_str().unwrap().to_owned();
    let messages = format!("/v1/sessions/{id}/messages");
    let body = json!({ "content": [1, "\u{0}"], "localId": "l" });
    let sent = http::post(process.address(), &messages, &bearer, &body).await;
    assert_eq!(sent.status, 200, "{sent:?}");
    let paths = ["/v1/sessions", messages.as_str()];
    let mut before = Vec::new();
    for path in paths {
        let answer = http::get(process.address(), path, Some(&bearer)).await;
        before.push(answer.json());
    }
    let file = other.path().join("export.jsonl");
    let file = file.to_str().unwrap();
    let exported = run_dormouse(folder.path(), &["db", "export", file]).await;
    assert_eq!(exported.status, Some(0), "{exported:?}");
    let again = run_dormouse(folder.path(), &["db", "export", file]).await;
    assert_eq!(
        again.status,
        Some(1),
        "a file that is there is not written over"
    );
    assert!(process.stop().await.success());

    for new in ["3 of them new", "0 of them new"] {
        let imported = run_dormouse(other.path(), &["db", "import", file]).await;
        assert_eq!(imported.status, Some(0), "{imported:?}");
        assert!(imported.stdout.contains(new), "{imported:?}");
    }
    for command in ["check", "vacuum"] {
        let done = run_dormouse(other.path(), &["db", command]).await;
        assert_eq!(done.status, Some(0), "{done:?}");
    }
    let mut process = Dormouse::serve(other.path(), &[]).await;
    let bearer = token(other.path(), &["--user", "alice"]).await;
    for (path, before) in paths.into_iter().zip(before) {
        let answer = http::get(process.address(), path, Some(&bearer)).await;
        assert_eq!(answer.json(), before, "{path}");
    }
    assert!(process.stop().await.success());
}
