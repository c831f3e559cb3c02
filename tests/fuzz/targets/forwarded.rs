//! Tries [`forwarded`](voipbin_receiver_fuzz::forwarded).

#![cfg_attr(fuzzing, no_main)]

voipbin_receiver_fuzz::target!(forwarded);
