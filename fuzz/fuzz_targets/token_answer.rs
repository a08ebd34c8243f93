//! Runs the property `token_answer`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz_properties::token_answer(data));
