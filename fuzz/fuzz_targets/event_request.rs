//! See `checks/event_request.rs`.
#![no_main]

#[path = "../checks/event_request.rs"]
mod event_request;

libfuzzer_sys::fuzz_target!(|input: &[u8]| event_request::check(input));
