//! See `fuzz::note`.
#![no_main]

libfuzzer_sys::fuzz_target!(init: fuzz::seeds::write("note"), |data: &[u8]| fuzz::note::run(data));
