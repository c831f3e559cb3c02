//! Processes that die, again and again, while events come and are handled.
//!
//! `CRASH_SEED=…` repeats the moments of a run, as far as the machine's own timing lets it;
//! `CRASH_KILLS=…` says how many there are.

mod field;
mod full_disk;
mod kills;
mod poison_event;
mod process;
