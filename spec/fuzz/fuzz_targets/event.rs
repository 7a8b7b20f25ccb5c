//! Drives `roost_spec::fuzz::event`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| roost_spec::fuzz::event(bytes));
