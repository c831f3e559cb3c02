//! Tries [`signature`](voipbin_receiver_fuzz::signature).

#![cfg_attr(fuzzing, no_main)]

voipbin_receiver_fuzz::target!(signature);
