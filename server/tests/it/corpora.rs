//! The inputs that fuzzing started from or found go through the same checks as under the fuzzer
//! (see `fuzz/README.md`), in every run of the tests.

use std::path::Path;

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

fn feed(target: &str, check: fn(&[u8])) {
    let mut fed = 0;
    for file in std::fs::read_dir(fuzz().join("corpus").join(target)).unwrap() {
        let path = file.unwrap().path();
        let input = std::fs::read(&path).unwrap();
        // What a failing check says does not name its input.
        let checked = std::panic::catch_unwind(|| check(&input));
        assert!(checked.is_ok(), "fails for {}", path.display());
        fed += 1;
    }
    assert!(fed >= 10, "only {fed} inputs for {target}");
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
