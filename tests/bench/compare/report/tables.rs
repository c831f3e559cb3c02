use std::collections::BTreeSet;

use support::figures::{Round, Spread};

use super::table::Table;
use super::{Comparison, Measured, Point, Scale, Server};

/// From here on the sender, and not the server, may be what was measured.
const SATURATED: f64 = 0.95;

/// What a system does not tell.
const NONE: &str = "-";

pub(super) fn of_comparison(comparison: &Comparison) -> Vec<Table> {
    let mut tables = vec![closed(comparison)];
    tables.extend(parts(comparison));
    tables.extend(open(comparison));
    tables.extend(ratios(comparison));
    tables
}

pub(super) fn of_scale(scale: &Scale) -> Vec<Table> {
    vec![
        threads(scale),
        points("cores of the server", &scale.cores),
        points("connections", &scale.connections),
        points("bytes of a body", &scale.bodies),
        identities(scale),
        memory(scale),
    ]
}

fn closed(comparison: &Comparison) -> Table {
    let measure = &comparison.servers[0];
    let row = |server: &Server| {
        let middle = |of: fn(&Measured) -> f64| middle(&server.closed, |round| Some(of(round)));
        vec![
            server.what.clone(),
            spread(server.per_second(), 0),
            spread(server.ratio(measure), 3),
            rounded(middle(|round| round.round.p50), 2),
            rounded(middle(|round| round.round.p99), 2),
            rounded(middle(|round| round.round.p999), 2),
            spread(
                Spread::of(server.closed.iter().filter_map(|round| round.server_cpu)),
                1,
            ),
            rounded(server.cpu_ratio(measure).map(|ratio| ratio.middle), 2),
            megabytes(server.idle_memory),
            format!(
                "{} ({})",
                megabytes(server.memory),
                thousands(server.requests)
            ),
            busy(&server.closed),
        ]
    };
    Table {
        title: format!(
            "As much as each takes, over {} connections, with bodies of {} bytes: {} rounds of {} s.",
            comparison.connections,
            comparison.body_length,
            measure.closed.len(),
            comparison.seconds
        ),
        columns: vec![
            "server",
            "requests a second",
            "of the first",
            "p50 ms",
            "p99 ms",
            "p99.9 ms",
            "CPU µs each",
            "of the first",
            "idle MB",
            "MB at the end (events)",
            "sender busy",
        ],
        rows: comparison.servers.iter().map(row).collect(),
    }
}

/// What the CPU time of a request goes to, where the servers that tell took part.
fn parts(comparison: &Comparison) -> Option<Table> {
    let cpu = |name: &str| {
        let rounds = comparison.server(name)?.closed.iter();
        rounds
            .map(|round| round.server_cpu)
            .collect::<Option<Vec<f64>>>()
    };
    let reads = cpu("hyper")?;
    let verifies = cpu("hyper-verifies")?;
    let unmatched = cpu("receiver-unmatched")?;
    let receiver = cpu("receiver-hyper")?;
    let beyond = |more: &[f64], less: &[f64]| {
        let each = more.iter().zip(less).map(|(more, less)| more - less);
        spread(Spread::of(each), 1)
    };
    let all = |of: &[f64]| spread(Spread::of(of.iter().copied()), 1);
    let rows = [
        ("the server and the kernel: hyper, only reads", all(&reads)),
        (
            "the signature: hyper, verifies, beyond that",
            beyond(&verifies, &reads),
        ),
        (
            "the envelope, checks and the answer: no handler, beyond that",
            beyond(&unmatched, &verifies),
        ),
        (
            "keeping it, lanes and limits, and the run of its handler: receiver, hyper, beyond that",
            beyond(&receiver, &unmatched),
        ),
        ("all of it", all(&receiver)),
    ];
    Some(Table {
        title: "What the CPU time of a request is made of, as differences between these servers in the same round."
            .to_owned(),
        columns: vec!["part", "CPU µs each"],
        rows: rows
            .into_iter()
            .map(|(part, cpu)| vec![part.to_owned(), cpu])
            .collect(),
    })
}

fn open(comparison: &Comparison) -> Vec<Table> {
    let rates = comparison
        .servers
        .iter()
        .flat_map(|server| server.open.keys());
    let rates: BTreeSet<usize> = rates.copied().collect();
    let table = |rate: usize| {
        let row = |server: &Server| {
            let rounds = server.open.get(&rate)?;
            let times = |of: fn(&Round) -> f64| {
                spread(Spread::of(rounds.iter().map(|round| of(&round.round))), 2)
            };
            Some(vec![
                server.what.clone(),
                times(|round| round.p50),
                times(|round| round.p99),
                times(|round| round.p999),
                rounded(middle(rounds, |round| round.server_cpu), 1),
                busy(rounds),
            ])
        };
        Table {
            title: format!(
                "{} events offered a second: times of answers from when each event was due.",
                thousands(rate)
            ),
            columns: vec![
                "server",
                "p50 ms",
                "p99 ms",
                "p99.9 ms",
                "CPU µs each",
                "sender busy",
            ],
            rows: comparison.servers.iter().filter_map(row).collect(),
        }
    };
    rates.into_iter().map(table).collect()
}

/// Pairs of servers, the second of which does the same work or a part of it.
const PAIRS: [(&str, &str); 10] = [
    ("receiver-hyper", "hyper"),
    ("receiver-hyper", "hyper-spawns"),
    ("receiver-typed", "hyper-spawns"),
    ("receiver-server", "receiver-hyper"),
    ("receiver-axum", "receiver-hyper"),
    ("receiver-actix", "receiver-hyper"),
    ("receiver-actix", "actix-spawns"),
    ("receiver-disk", "receiver-hyper"),
    ("receiver-hyper", "axum-by-hand"),
    ("receiver-hyper", "node-by-hand"),
];

/// Those of which both took part.
fn ratios(comparison: &Comparison) -> Option<Table> {
    let row = |(own, other): &(&str, &str)| {
        let (own, other) = (comparison.server(own)?, comparison.server(other)?);
        Some(vec![
            own.what.clone(),
            other.what.clone(),
            spread(own.ratio(other), 2),
            spread(own.cpu_ratio(other), 2),
        ])
    };
    let rows: Vec<_> = PAIRS.iter().filter_map(row).collect();
    (!rows.is_empty()).then(|| Table {
        title: "One beside another, in the same rounds.".to_owned(),
        columns: vec!["server", "beside", "requests a second", "CPU each"],
        rows,
    })
}

fn threads(scale: &Scale) -> Table {
    let one = scale.threads[0].1.middle;
    let row = |(threads, per_second): &(usize, Spread)| {
        vec![
            threads.to_string(),
            spread(Some(*per_second), 0),
            format!("{:.2}", per_second.middle / one),
        ]
    };
    Table {
        title: "Deliveries of small events without a network, each until its handler has ended."
            .to_owned(),
        columns: vec!["threads", "deliveries a second", "of one"],
        rows: scale.threads.iter().map(row).collect(),
    }
}

/// Of the receiver, beside the server that only reads.
fn points(at: &'static str, points: &[Point]) -> Table {
    let row = |point: &Point| {
        let Point { receiver, bare, .. } = point;
        let pairs = || receiver.iter().zip(bare);
        let ratio = pairs().map(|(own, other)| own.round.per_second / other.round.per_second);
        let per_second = |rounds: &[Measured]| {
            spread(
                Spread::of(rounds.iter().map(|round| round.round.per_second)),
                0,
            )
        };
        vec![
            thousands(point.at),
            per_second(receiver),
            per_second(bare),
            spread(Spread::of(ratio), 2),
            rounded(middle(receiver, |round| Some(round.round.p50)), 2),
            rounded(middle(receiver, |round| Some(round.round.p99)), 2),
            rounded(middle(receiver, |round| round.server_cpu), 1),
            rounded(middle(bare, |round| round.server_cpu), 1),
            busy(receiver),
        ]
    };
    Table {
        title: format!("By {at}."),
        columns: vec![
            at,
            "requests a second",
            "only reads",
            "ratio",
            "p50 ms",
            "p99 ms",
            "CPU µs each",
            "only reads",
            "sender busy",
        ],
        rows: points.iter().map(row).collect(),
    }
}

fn identities(scale: &Scale) -> Table {
    Table {
        title: "By identities that are remembered.".to_owned(),
        columns: vec!["identities", "bytes each", "known again ns", "new ns"],
        rows: scale
            .identities
            .iter()
            .map(|of| {
                vec![
                    thousands(of.count),
                    rounded(of.bytes, 1),
                    format!("{:.0}", of.known),
                    format!("{:.0}", of.new),
                ]
            })
            .collect(),
    }
}

fn memory(scale: &Scale) -> Table {
    let memory = &scale.memory;
    let mebibytes = |bytes: Option<u64>| bytes.map(|bytes| bytes as f64 / f64::from(1 << 20));
    let kibibytes = |bytes: Option<f64>| bytes.map(|bytes| bytes / 1024.0);
    let rows = [
        (
            "a process that waits, MiB",
            mebibytes(memory.idle),
            mebibytes(memory.idle_bare),
        ),
        (
            "a connection that waits, KiB",
            kibibytes(memory.connection),
            kibibytes(memory.connection_bare),
        ),
        (
            "an event that waits, bytes beyond its body",
            memory.queued,
            None,
        ),
    ];
    Table {
        title: "Memory.".to_owned(),
        columns: vec!["", "receiver", "only reads"],
        rows: rows
            .into_iter()
            .map(|(what, own, bare)| vec![what.to_owned(), rounded(own, 1), rounded(bare, 1)])
            .collect(),
    }
}

fn middle(rounds: &[Measured], of: impl Fn(&Measured) -> Option<f64>) -> Option<f64> {
    Some(Spread::of(rounds.iter().filter_map(of))?.middle)
}

fn rounded(value: Option<f64>, places: usize) -> String {
    value.map_or(NONE.to_owned(), |value| format!("{value:.places$}"))
}

fn spread(spread: Option<Spread>, places: usize) -> String {
    spread.map_or(NONE.to_owned(), |spread| format!("{spread:.places$}"))
}

fn megabytes(bytes: Option<u64>) -> String {
    rounded(bytes.map(|bytes| bytes as f64 / 1e6), 0)
}

fn busy(rounds: &[Measured]) -> String {
    let busy = middle(rounds, |round| Some(round.sender_busy)).unwrap_or_default();
    let limit = if busy > SATURATED { ", its limit" } else { "" };
    format!("{:.0} %{limit}", busy * 100.0)
}

/// A number as people read it.
fn thousands(number: usize) -> String {
    let digits = number.to_string();
    let groups: Vec<&[u8]> = digits.as_bytes().rchunks(3).rev().collect();
    let groups = groups.into_iter().map(String::from_utf8_lossy);
    groups.collect::<Vec<_>>().join(",")
}
