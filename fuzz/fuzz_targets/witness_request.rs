//! See `fuzz::witness_request`.
#![no_main]

libfuzzer_sys::fuzz_target!(init: fuzz::seeds::write("witness_request"), |data: &[u8]| fuzz::witness_request::run(data));
