//! Tries [`resource`](voipbin_receiver_fuzz::resource).

#![cfg_attr(fuzzing, no_main)]

voipbin_receiver_fuzz::target!(resource);
