//! See `fuzz::proof`.
#![no_main]

libfuzzer_sys::fuzz_target!(init: fuzz::seeds::write("proof"), |data: &[u8]| fuzz::proof::run(data));
