#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(
    // A panic of redb's on a damaged file is caught and is an error. libFuzzer's own hook would end the
    // process; one that is not caught still does.
    init: std::panic::set_hook(Box::new(|panic| {
        if !panic.location().is_some_and(|place| place.file().contains("/redb-")) {
            eprintln!("{panic}");
        }
    })),
    |bytes: &[u8]| voipbin_receiver::fuzz::damage(bytes)
);
