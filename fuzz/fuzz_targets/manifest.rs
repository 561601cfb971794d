//! See `fuzz::manifest`.
#![no_main]

libfuzzer_sys::fuzz_target!(init: fuzz::seeds::write("manifest"), |data: &[u8]| fuzz::manifest::run(data));
