//! Runs the property `ext_authz`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz_properties::ext_authz(data));
