//! See `checks/cursors.rs`.
#![no_main]

#[path = "../checks/cursors.rs"]
mod cursors;

libfuzzer_sys::fuzz_target!(|input: &[u8]| cursors::check(input));
