//! See `checks/polling.rs`.
#![no_main]

#[path = "../checks/polling.rs"]
mod polling;

libfuzzer_sys::fuzz_target!(|input: &[u8]| polling::check(input));
