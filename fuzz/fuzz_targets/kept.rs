//! See `fuzz::kept`.
#![no_main]

libfuzzer_sys::fuzz_target!(init: fuzz::seeds::write("kept"), |data: &[u8]| fuzz::kept::run(data));
