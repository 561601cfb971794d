//! See `fuzz::checkpoint`.
#![no_main]

libfuzzer_sys::fuzz_target!(init: fuzz::seeds::write("checkpoint"), |data: &[u8]| fuzz::checkpoint::run(data));
