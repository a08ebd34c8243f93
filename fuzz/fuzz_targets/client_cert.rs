//! Runs the property `client_cert`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz_properties::client_cert(data));
