//! See `fuzz::submission`.
#![no_main]

libfuzzer_sys::fuzz_target!(init: fuzz::seeds::write("submission"), |data: &[u8]| fuzz::submission::run(data));
