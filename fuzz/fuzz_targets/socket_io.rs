//! See `checks/socket_io.rs`.
#![no_main]

#[path = "../checks/socket_io.rs"]
mod socket_io;

libfuzzer_sys::fuzz_target!(|input: &[u8]| socket_io::check(input));
