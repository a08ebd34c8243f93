//! Runs the property `logout_form`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz_properties::logout_form(data));
