//! Keeping results and holding new ones against them, with the built program.

use std::path::Path;

use serde_json::Value;

use crate::program::{refusal, run};

/// A result with one time in it.
fn result(folder: &Path, name: &str, started_at: &str, p95_us: u64, extra: &str) -> String {
    let text = format!(
        r#"{{"schema":1,"tool":"dormouse-bench","version":"0","scenario":"scale","machine":{{
        "os":"linux","kernel":null,"arch":"x","processor":null,"cpus":2,"memoryBytes":null}},
        "url":"http://h","startedAt":"{started_at}","passed":true,"timeScale":1.0{extra},
        "metrics":{{"ws_connection_time":{{"kind":"trend","count":500,"min_us":1,"mean_us":1.0,
        "p50_us":1,"p95_us":{p95_us},"p99_us":{p95_us},"max_us":9}}}}}}"#
    );
    serde_json::from_str::<Value>(&text).unwrap();
    let path = folder.join(name);
    std::fs::write(&path, text).unwrap();
    path.to_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_baseline_is_kept_and_a_regression_fails() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("results");
    let dir = dir.to_str().unwrap();
    let first = result(
        folder.path(),
        "first.json",
        "2026-01-02T03:04:05.000Z",
        800_000,
        "",
    );
    let output = run(&["baseline", "save", &first, "--dir", dir]).await;
    assert_eq!(
        output.status.code(),
        Some(0),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let kept = Path::new(dir).join("2026-01-02-2-cores/scale.json");
    assert_eq!(
        std::fs::read(&kept).unwrap(),
        std::fs::read(&first).unwrap()
    );

    for (p95, code, verdict) in [
        (960_000, 0, "PASSED"),
        (960_001, 1, "FAILED: a metric is worse"),
    ] {
        let now = result(
            folder.path(),
            "now.json",
            "2026-02-02T03:04:05.000Z",
            p95,
            "",
        );
        let output = run(&["baseline", "compare", &now, "--dir", dir]).await;
        let report = String::from_utf8(output.stdout).unwrap();
        assert_eq!(output.status.code(), Some(code), "{report}");
        assert!(
            report.contains(verdict) && report.contains("960.00ms"),
            "{report}"
        );
    }
    let history = std::fs::read_to_string(Path::new(dir).join("history.md")).unwrap();
    assert_eq!(
        history
            .matches("| 2026-01-02 03:04 | 2-cores | scale | 0 | 800.00ms")
            .count(),
        1
    );
    assert_eq!(
        history.matches("| 2026-02-02 03:04 |").count(),
        2,
        "{history}"
    );
    assert!(
        history.contains("| Pass |") && history.contains("| Fail |"),
        "{history}"
    );
}

#[tokio::test]
async fn what_is_no_baseline_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("results");
    std::fs::create_dir(&dir).unwrap();
    let dir = dir.to_str().unwrap();
    let at = "2026-01-02T03:04:05.000Z";
    let scaled = result(folder.path(), "a.json", at, 1, "").replace("a.json", "scaled.json");
    let text = std::fs::read_to_string(folder.path().join("a.json")).unwrap();
    std::fs::write(
        &scaled,
        text.replace("\"timeScale\":1.0", "\"timeScale\":0.5"),
    )
    .unwrap();
    let stopped = result(folder.path(), "b.json", at, 1, ",\"interrupted\":true");
    let behind = ",\"validity\":{\"valid\":false,\"reasons\":[]}";
    let behind = result(folder.path(), "c.json", at, 1, behind);
    let good = result(folder.path(), "d.json", at, 1, "");
    let broken = folder.path().join("broken.json");
    std::fs::write(&broken, "{").unwrap();
    let cases: [(&[&str], &str); 7] = [
        (
            &["baseline", "save", &scaled, "--dir", dir],
            "its stages were shortened",
        ),
        (
            &["baseline", "save", &stopped, "--dir", dir],
            "it was interrupted",
        ),
        (
            &["baseline", "save", &behind, "--dir", dir],
            "the generator fell behind",
        ),
        (
            &["baseline", "save", &good, "--dir", dir, "--machine", "../x"],
            "part of a file name",
        ),
        (
            &["baseline", "save", broken.to_str().unwrap(), "--dir", dir],
            "is no result file",
        ),
        (
            &["baseline", "compare", &good, "--dir", dir],
            "has no baseline of scale",
        ),
        (
            &[
                "baseline", "compare", &good, "--dir", dir, "--buffer", "0.5",
            ],
            "--buffer must be 1",
        ),
    ];
    for (args, text) in cases {
        let (code, line) = refusal(args).await;
        assert_eq!(code, 2, "{line}");
        assert!(line.contains(text), "{line}");
    }
}

#[tokio::test]
async fn a_page_is_made_of_an_earlier_result() {
    let folder = tempfile::tempdir().unwrap();
    let at = "2026-01-02T03:04:05.000Z";
    let path = result(folder.path(), "r.json", at, 800_000, "");
    let page = folder.path().join("r.html");
    let output = run(&["report", &path, "--out-html", page.to_str().unwrap()]).await;
    assert_eq!(output.status.code(), Some(0));
    let page = std::fs::read_to_string(page).unwrap();
    assert!(
        page.contains("<td>800.00ms</td>") && page.contains("passed"),
        "{page}"
    );
}
