//! See `fuzz::tile`.
#![no_main]

libfuzzer_sys::fuzz_target!(init: fuzz::seeds::write("tile"), |data: &[u8]| fuzz::tile::run(data));
