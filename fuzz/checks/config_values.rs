//! Values of settings, as the environment and flags give them.
//!
//! Input, a line each: name and value of a variable, key and value of a flag.

use dormouse_config::Loader;

/// Checks one input.
pub fn check(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else {
        return;
    };
    let mut lines = text.splitn(4, '\n');
    let mut line = || lines.next().unwrap_or_default().to_owned();
    let (name, value, key, flag) = (line(), line(), line(), line());
    // It would name a file of this machine.
    if name == "CONFIG" {
        return;
    }
    let loaded = Loader::new()
        .environment([(format!("DORMOUSE_{name}"), value)])
        .flag(key, flag)
        .load();
    match loaded {
        Ok(loaded) => drop(loaded.show()),
        Err(err) => assert!(!err.to_string().is_empty()),
    }
}
