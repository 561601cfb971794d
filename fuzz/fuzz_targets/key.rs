//! See `fuzz::key`.
#![no_main]

libfuzzer_sys::fuzz_target!(init: fuzz::seeds::write("key"), |data: &[u8]| fuzz::key::run(data));
