//! Runs the property `forwarded`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz_properties::forwarded(data));
