//! See `fuzz::statement`.
#![no_main]

libfuzzer_sys::fuzz_target!(init: fuzz::seeds::write("statement"), |data: &[u8]| fuzz::statement::run(data));
