//! Configuration files.
//!
//! Input: the file.

use dormouse_config::Loader;

/// Checks one input.
pub fn check(input: &[u8]) {
    let name = format!("dormouse-fuzz-{}.toml", std::process::id());
    let path = std::env::temp_dir().join(name);
    std::fs::write(&path, input).unwrap();
    match Loader::new().file(path.clone()).load() {
        Ok(loaded) => drop(loaded.show()),
        Err(err) => assert!(!err.to_string().is_empty()),
    }
    let _ = std::fs::remove_file(path);
}
