//! See `fuzz::policy`.
#![no_main]

libfuzzer_sys::fuzz_target!(init: fuzz::seeds::write("policy"), |data: &[u8]| fuzz::policy::run(data));
