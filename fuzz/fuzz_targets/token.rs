//! See `checks/token.rs`.
#![no_main]

#[path = "../checks/token.rs"]
mod token;

libfuzzer_sys::fuzz_target!(|input: &[u8]| token::check(input));
