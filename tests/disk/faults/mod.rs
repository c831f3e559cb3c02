//! The inbox on disk on a disk that fails: power cuts, errors of the system, damaged pages.
//!
//! `SEED=…` repeats a run, as far as the machine's own timing lets it; each test says how to make
//! it longer. `LIFE=…` runs another build of the program that lives with the inbox.
#![cfg(all(target_os = "linux", target_env = "gnu"))]

mod check;
mod damage;
mod disk;
mod expected;
mod lives;
mod power;
mod record;
mod trouble;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

/// Another one each time.
fn seed() -> u64 {
    let seed = number("SEED", fastrand::usize(..1 << 32));
    eprintln!("SEED={seed}");
    seed as u64
}

/// How many, where the environment does not say otherwise.
fn number(name: &str, usual: usize) -> usize {
    std::env::var(name).map_or(usual, |number| number.parse().unwrap())
}

/// The sum over all numbers below this one. Each of them mostly waits for threads of its own.
fn side_by_side(numbers: usize, each: impl Fn(usize) -> usize + Sync) -> usize {
    const AT_ONCE: usize = 4;
    let next = AtomicUsize::new(0);
    let one_after_another = || {
        std::iter::repeat_with(|| next.fetch_add(1, Ordering::Relaxed))
            .take_while(|number| *number < numbers)
            .map(&each)
            .sum::<usize>()
    };
    thread::scope(|scope| {
        let threads: Vec<_> = (0..AT_ONCE)
            .map(|_| scope.spawn(one_after_another))
            .collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap())
            .sum()
    })
}
