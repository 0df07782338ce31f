//! See `checks/config_values.rs`.
#![no_main]

#[path = "../checks/config_values.rs"]
mod config_values;

libfuzzer_sys::fuzz_target!(|input: &[u8]| config_values::check(input));
