//! What is counted.

use cost::OneThread;
use http::StatusCode;

/// A kind of work: rounds of so many deliveries.
pub(crate) struct Step {
    pub(crate) name: &'static str,
    rounds: u64,
    round: u64,
    run: fn(&Step),
}

impl Step {
    /// How many deliveries are counted.
    pub(crate) fn deliveries(&self) -> u64 {
        self.rounds * self.round
    }
}

pub(crate) const STEPS: &[Step] = &[
    // From the request to the answer; the event is in the queue.
    Step {
        name: "answer",
        rounds: 16,
        round: 64,
        run: answer,
    },
    // A copy of what is kept.
    Step {
        name: "duplicate",
        rounds: 16,
        round: 64,
        run: duplicate,
    },
    // The signature of another body.
    Step {
        name: "forged",
        rounds: 16,
        round: 64,
        run: forged,
    },
    // From the queue to the end of a handler, where many wait.
    Step {
        name: "handle",
        rounds: 16,
        round: 64,
        run: handle,
    },
    // The same where each comes alone, and has to wake who takes it.
    Step {
        name: "handle-one",
        rounds: 1024,
        round: 1,
        run: handle,
    },
];

/// Rounds before those that are counted: what is made once is made, and tables have room.
const WARM_UP: u64 = 8;

pub(crate) fn run(name: &str) {
    let step = STEPS.iter().find(|step| step.name == name).unwrap();
    (step.run)(step);
}

/// Callgrind counts what is done in here, by its name.
#[inline(never)]
fn counted(work: impl FnOnce()) {
    work();
    // Else it would be left by a jump, which callgrind may not see.
    std::hint::black_box(());
}

fn answer(step: &Step) {
    let mut bench = OneThread::new();
    for round in 0..WARM_UP + step.rounds {
        let requests = bench.requests(step.round);
        let work = || bench.answer(requests, StatusCode::OK);
        if round < WARM_UP {
            work();
        } else {
            counted(work);
        }
        bench.handle();
    }
}

fn duplicate(step: &Step) {
    let mut bench = OneThread::new();
    for _ in 0..step.rounds {
        let requests = bench.requests(step.round);
        let copies = requests.clone();
        bench.answer(requests, StatusCode::OK);
        bench.handle();
        counted(|| bench.answer(copies, StatusCode::OK));
    }
}

fn forged(step: &Step) {
    let mut bench = OneThread::new();
    for _ in 0..step.rounds {
        let mut requests = bench.requests(step.round);
        let others = bench.requests(step.round);
        for (request, other) in requests.iter_mut().zip(others) {
            *request.headers_mut() = other.headers().clone();
        }
        counted(|| bench.answer(requests, StatusCode::UNAUTHORIZED));
    }
}

fn handle(step: &Step) {
    let mut bench = OneThread::new();
    for round in 0..WARM_UP + step.rounds {
        let requests = bench.requests(step.round);
        bench.answer(requests, StatusCode::OK);
        if round < WARM_UP {
            bench.handle();
        } else {
            counted(|| bench.handle());
        }
    }
}
