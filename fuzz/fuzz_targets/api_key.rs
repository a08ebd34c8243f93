//! Runs the property `api_key`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz_properties::api_key(data));
