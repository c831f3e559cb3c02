//! Tries [`edge`](voipbin_receiver_fuzz::edge).

#![cfg_attr(fuzzing, no_main)]

voipbin_receiver_fuzz::target!(edge);
