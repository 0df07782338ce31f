//! The inputs that fuzzing started from or found go through the same checks as under the fuzzer
//! (see `fuzz/README.md`), in every run of the tests: as they are, and changed at random.

use std::path::Path;

use proptest::collection::vec;
use proptest::prelude::{Strategy, any};
use proptest::sample::{Index, select};
use proptest::test_runner::{Config, TestRunner};

macro_rules! corpora {
    ($($target:ident $path:literal)*) => {$(
        #[path = $path]
        mod $target;
    )*

        /// Each target by name.
        const TARGETS: &[(&str, fn(&[u8]))] = &[$((stringify!($target), $target::check)),*];

        mod each {
            $(#[test]
            fn $target() {
                super::feed(stringify!($target), super::$target::check);
            })*
        }

        mod each_changed {
            $(#[test]
            fn $target() {
                super::feed_changed(stringify!($target), super::$target::check);
            })*
        }
    };
}

corpora! {
    config_file "../../../fuzz/checks/config_file.rs"
    config_values "../../../fuzz/checks/config_values.rs"
    cursors "../../../fuzz/checks/cursors.rs"
    envelope "../../../fuzz/checks/envelope.rs"
    event_request "../../../fuzz/checks/event_request.rs"
    filter "../../../fuzz/checks/filter.rs"
    frames "../../../fuzz/checks/frames.rs"
    handshake "../../../fuzz/checks/handshake.rs"
    polling "../../../fuzz/checks/polling.rs"
    socket_io "../../../fuzz/checks/socket_io.rs"
    ticket "../../../fuzz/checks/ticket.rs"
    token "../../../fuzz/checks/token.rs"
}

fn fuzz() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../fuzz"))
}

/// Inputs that are made of a target's.
const CHANGED: u32 = 2_000;

fn inputs(target: &str) -> Vec<(String, Vec<u8>)> {
    let files = std::fs::read_dir(fuzz().join("corpus").join(target)).unwrap();
    let inputs: Vec<_> = files
        .map(|file| {
            let path = file.unwrap().path();
            (path.display().to_string(), std::fs::read(path).unwrap())
        })
        .collect();
    assert!(inputs.len() >= 10, "only {} for {target}", inputs.len());
    inputs
}

fn feed(target: &str, check: fn(&[u8])) {
    for (path, input) in inputs(target) {
        // What a failing check says does not name its input.
        let checked = std::panic::catch_unwind(|| check(&input));
        assert!(checked.is_ok(), "fails for {path}");
    }
}

/// The beginning of one input and the end of another, with a few bytes replaced by others.
fn changed(inputs: Vec<Vec<u8>>) -> impl Strategy<Value = Vec<u8>> {
    let edit = (any::<Index>(), 0..5_usize, vec(any::<u8>(), 0..5));
    let parts = (
        select(inputs.clone()),
        select(inputs),
        any::<(Index, Index)>(),
    );
    (parts, vec(edit, 0..6)).prop_map(|((mut input, other, (head, tail)), edits)| {
        input.truncate(head.index(input.len() + 1));
        input.extend_from_slice(&other[tail.index(other.len() + 1)..]);
        for (place, removed, added) in edits {
            let from = place.index(input.len() + 1);
            let to = input.len().min(from + removed);
            input.splice(from..to, added);
        }
        input
    })
}

fn feed_changed(target: &str, check: fn(&[u8])) {
    let inputs = inputs(target).into_iter().map(|(_, input)| input);
    let config = Config {
        cases: CHANGED,
        failure_persistence: None,
        ..Config::default()
    };
    TestRunner::new(config)
        .run(&changed(inputs.collect()), |input| {
            check(&input);
            Ok(())
        })
        .unwrap();
}

#[test]
fn every_target_is_here() {
    let mut files: Vec<String> = std::fs::read_dir(fuzz().join("fuzz_targets"))
        .unwrap()
        .map(|file| {
            file.unwrap()
                .path()
                .file_stem()
                .unwrap()
                .to_string_lossy()
                .into_owned()
        })
        .collect();
    files.sort();
    let here: Vec<&str> = TARGETS.iter().map(|(name, _)| *name).collect();
    assert_eq!(files, here);
}
