//! The sender of events at a rate.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use support::{Wire, on_the_wire};
use tokio::sync::mpsc;
use tokio::task::{JoinSet, yield_now};

use crate::figures::{Round, micros};
use crate::process::{Other, keep_to_core};

const CONNECTIONS: usize = 64;

/// What became of events that were offered.
pub(crate) struct Offered {
    pub(crate) offered: usize,
    /// With 200 and with 503.
    pub(crate) answered: [usize; 2],
    pub(crate) times: Round,
}

impl Offered {
    /// Offers so many a second for this time, from another process.
    pub(crate) fn to(address: &str, rate: usize, time: Duration, first: usize) -> Self {
        let (rate, seconds) = (rate.to_string(), time.as_secs_f64().to_string());
        let line = Other::start(&["offer", address, &rate, &seconds, &first.to_string()]).rest();
        let mut words = line.split_whitespace();
        let mut next = || words.next().unwrap();
        Self {
            offered: next().parse().unwrap(),
            answered: [next().parse().unwrap(), next().parse().unwrap()],
            times: Round {
                per_second: next().parse().unwrap(),
                p50: next().parse().unwrap(),
                p99: next().parse().unwrap(),
                written: None,
            },
        }
    }
}

/// Offers events and prints what became of them. It never sleeps: the next event leaves when its time
/// has come, to a fraction of a millisecond.
pub(crate) fn run(address: &str, rate: &str, seconds: &str, first: &str) {
    keep_to_core(1);
    let address: SocketAddr = address.parse().unwrap();
    let rate: f64 = rate.parse().unwrap();
    let seconds: f64 = seconds.parse().unwrap();
    let first: usize = first.parse().unwrap();
    let offered = (rate * seconds) as usize;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let (mut times, answered, took) = runtime.block_on(async {
        let mut clients = JoinSet::new();
        let mut lines = Vec::new();
        for _ in 0..CONNECTIONS {
            let (line, events) = mpsc::unbounded_channel();
            lines.push(line);
            let wire = Wire::connect(address).await;
            clients.spawn(answers(wire, events));
        }
        let begun = Instant::now();
        for number in 0..offered {
            let due = begun + Duration::from_secs_f64(number as f64 / rate);
            while Instant::now() < due {
                yield_now().await;
            }
            lines[number % CONNECTIONS]
                .send((first + number, due))
                .unwrap();
        }
        drop(lines);
        let mut times = Vec::with_capacity(offered);
        let mut answered = [0, 0];
        for (of_one, counted) in clients.join_all().await {
            times.extend(of_one);
            answered = [answered[0] + counted[0], answered[1] + counted[1]];
        }
        (times, answered, begun.elapsed())
    });
    let round = Round::new(&mut times, took);
    println!(
        "{offered} {} {} {} {} {}",
        answered[0], answered[1], round.per_second, round.p50, round.p99
    );
}

/// Sends events over one connection, one after another, and counts their answers.
async fn answers(
    mut wire: Wire,
    mut events: mpsc::UnboundedReceiver<(usize, Instant)>,
) -> (Vec<u32>, [usize; 2]) {
    let mut times = Vec::new();
    let mut answered = [0, 0];
    while let Some((number, due)) = events.recv().await {
        let reply = wire.exchange(&on_the_wire("POST", &body(number))).await;
        times.push(micros(due.elapsed()));
        match reply.status {
            200 => answered[0] += 1,
            503 => answered[1] += 1,
            other => panic!("answered {other}"),
        }
    }
    (times, answered)
}

/// An event of 1.5 KB.
fn body(number: usize) -> String {
    const FILL: usize = 1536 - 116;
    format!(
        r#"{{"type":"call_hangup","data":{{"id":"{number:032x}","status":"hangup","hangup_reason":"normal","note":"{:x<FILL$}"}}}}"#,
        ""
    )
}
