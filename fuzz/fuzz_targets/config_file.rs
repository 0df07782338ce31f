//! See `checks/config_file.rs`.
#![no_main]

#[path = "../checks/config_file.rs"]
mod config_file;

libfuzzer_sys::fuzz_target!(|input: &[u8]| config_file::check(input));
