//! See `fuzz::envelope`.
#![no_main]

libfuzzer_sys::fuzz_target!(init: fuzz::seeds::write("envelope"), |data: &[u8]| fuzz::envelope::run(data));
