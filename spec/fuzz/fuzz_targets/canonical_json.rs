//! Drives `roost_spec::fuzz::canonical_json`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| roost_spec::fuzz::canonical_json(bytes));
