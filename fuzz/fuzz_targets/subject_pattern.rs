//! Runs the property `subject_pattern`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz_properties::subject_pattern(data));
