//! Tries [`envelope`](voipbin_receiver_fuzz::envelope).

#![cfg_attr(fuzzing, no_main)]

voipbin_receiver_fuzz::target!(envelope);
