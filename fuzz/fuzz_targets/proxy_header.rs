//! Runs the property `proxy_header`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz_properties::proxy_header(data));
