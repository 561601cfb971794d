//! See `fuzz::bundle`.
#![no_main]

libfuzzer_sys::fuzz_target!(init: fuzz::seeds::write("bundle"), |data: &[u8]| fuzz::bundle::run(data));
