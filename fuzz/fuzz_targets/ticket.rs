//! See `checks/ticket.rs`.
#![no_main]

#[path = "../checks/ticket.rs"]
mod ticket;

libfuzzer_sys::fuzz_target!(|input: &[u8]| ticket::check(input));
