//! Runs models, and what they have in the place of tokio's `Notify` and time.

pub(crate) mod dashmap;
pub(crate) mod time;

use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use shuttle::scheduler::{DfsScheduler, PctScheduler, RandomScheduler, Scheduler};
use shuttle::sync::Arc;
use shuttle::{Config, MaxSteps, Runner, thread};
use tokio::sync::futures::Notified;

/// How many schedules of each kind are tried, unless `MODEL_ITERATIONS` says otherwise.
const ITERATIONS: usize = 2_000;

/// Where their choice begins, unless `SHUTTLE_RANDOM_SEED` says otherwise. The same each time:
/// whether a change is good does not depend on luck.
const SEED: u64 = 0x766f_6970;

/// More than any model takes, but for one that runs in circles.
const MOST_STEPS: usize = 100_000;

/// Runs a model under schedules that are chosen at random, half of them evenly, and half so that
/// what takes up to three changes of thread at the worst places is likely to be found.
///
/// A failure prints its schedule: `MODEL_REPLAY=<schedule>` runs that one alone.
pub(crate) fn check(model: impl Fn() + Send + Sync + 'static) {
    check_fewer(1, model);
}

/// The same under so many times fewer schedules, for a model that is slow.
pub(crate) fn check_fewer(times: usize, model: impl Fn() + Send + Sync + 'static) {
    let model = Arc::new(model);
    if let Ok(schedule) = std::env::var("MODEL_REPLAY") {
        time::reset();
        return shuttle::replay(move || model(), &schedule);
    }
    let iterations = std::env::var("MODEL_ITERATIONS");
    let iterations = iterations.map_or(ITERATIONS, |text| text.parse().unwrap()) / times;
    let random = RandomScheduler::new_from_seed(SEED, iterations);
    assert_eq!(run(random, Arc::clone(&model)), iterations);
    let hostile = PctScheduler::new_from_seed(SEED, 3, iterations);
    assert_eq!(run(hostile, model), iterations);
}

/// Runs a small model under every schedule there is.
pub(crate) fn check_all(model: impl Fn() + Send + Sync + 'static) {
    let tried = run(DfsScheduler::new(None, false), Arc::new(model));
    assert!(tried > 1, "there is nothing to choose in this model");
}

fn run(
    scheduler: impl Scheduler + 'static,
    model: Arc<impl Fn() + Send + Sync + 'static>,
) -> usize {
    let mut config = Config::new();
    config.silence_warnings = true;
    config.max_steps = MaxSteps::FailAfter(MOST_STEPS);
    let begun = std::time::Instant::now();
    let schedules = Runner::new(scheduler, config).run(move || {
        time::reset();
        model();
    });
    println!("{schedules} schedules in {:?}", begun.elapsed());
    schedules
}

/// A place where another thread may go on.
pub(crate) fn step() {
    thread::sleep(Duration::ZERO);
}

/// tokio's, with a step before each operation.
#[derive(Debug, Default)]
pub(crate) struct Notify(tokio::sync::Notify);

impl Notify {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    pub(crate) fn notified(&self) -> Notified<'_> {
        step();
        self.0.notified()
    }

    pub(crate) fn notify_one(&self) {
        step();
        self.0.notify_one();
    }

    pub(crate) fn notify_waiters(&self) {
        step();
        self.0.notify_waiters();
    }
}

/// Begins to wait, and goes away without having waited to the end.
pub(crate) fn wait_and_go<T>(future: impl Future<Output = T>) -> Option<T> {
    let mut future = pin!(future);
    let polled = future
        .as_mut()
        .poll(&mut Context::from_waker(Waker::noop()));
    step();
    match polled {
        Poll::Ready(value) => Some(value),
        Poll::Pending => None,
    }
}
