//! Runs the property `jwk_set`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz_properties::jwk_set(data));
