//! The documents with figures show the committed results.

use std::path::Path;

use dormouse_bench::performance::{self, Results};

use crate::program::{refusal, run};

#[test]
fn the_documents_show_the_committed_results() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let results = Results::read(&root.join("bench/results")).unwrap();
    let page = std::fs::read_to_string(root.join("docs/performance.md")).unwrap();
    let filled = performance::fill(&page, &results).unwrap();
    assert!(
        filled == page,
        "docs/performance.md is out of date; run `just docs-gen`"
    );
    let reliability = std::fs::read_to_string(root.join("docs/reliability.md")).unwrap();
    assert!(
        performance::fill(&reliability, &results).unwrap() == reliability,
        "docs/reliability.md is out of date; run `just docs-gen`"
    );
    for block in ["hostile", "faults", "soak"] {
        let mark = format!("<!-- figures: {block} -->");
        assert!(reliability.contains(&mark), "{block}");
    }
    for block in [
        "footprint",
        "ws",
        "extreme",
        "capacity",
        "http",
        "events",
        "load",
        "leak",
    ] {
        assert!(
            page.contains(&format!("<!-- figures: {block} -->")),
            "{block}"
        );
    }
}

#[tokio::test]
async fn a_document_is_filled_once_and_then_current() {
    let folder = tempfile::tempdir().unwrap();
    let page = folder.path().join("page.md");
    let results = folder.path().join("results");
    std::fs::create_dir(&results).unwrap();
    std::fs::write(
        &page,
        "# P\n<!-- figures: ws -->\n<!-- end of figures -->\n",
    )
    .unwrap();
    let flags = [
        "performance",
        "--results",
        results.to_str().unwrap(),
        "--page",
        page.to_str().unwrap(),
    ];
    let check = [&flags[..], &["--check"]].concat();
    let output = run(&check).await;
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stdout).contains("run `dormouse-bench performance`"));
    assert_eq!(run(&flags).await.status.code(), Some(0));
    let text = std::fs::read_to_string(&page).unwrap();
    assert!(text.contains("| Connection Time | not run |"), "{text}");
    assert_eq!(run(&check).await.status.code(), Some(0));

    let missing = [&flags[..4], &["/nowhere/page.md"]].concat();
    let (code, line) = refusal(&missing).await;
    assert!(
        code == 2 && line.contains("cannot read /nowhere/page.md"),
        "{line}"
    );
}
