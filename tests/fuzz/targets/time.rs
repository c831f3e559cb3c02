//! Tries [`time`](voipbin_receiver_fuzz::time).

#![cfg_attr(fuzzing, no_main)]

voipbin_receiver_fuzz::target!(time);
