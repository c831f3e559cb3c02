#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| voipbin_receiver::fuzz::inbox(bytes));
