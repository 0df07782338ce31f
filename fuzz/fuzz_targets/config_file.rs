//! Values of settings, as the environment and flags give them.
#![no_main]

use dormouse_config::Loader;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (String, String, String, String)| {
    let (name, value, key, text) = input;
    let loaded = Loader::new()
        .environment([(format!("DORMOUSE_{name}"), value)])
        .flag(key, text)
        .load();
    match loaded {
        Ok(loaded) => drop(loaded.show()),
        Err(err) => assert!(!err.to_string().is_empty()),
    }
});
