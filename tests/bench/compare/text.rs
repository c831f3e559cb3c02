//! The figures as tables of plain text.

use std::collections::BTreeSet;
use std::fmt::Write;

use support::figures::{Round, Spread};

use crate::results::{Measured, Results, Server};
use crate::targets::Wanted;

/// From here on the sender, and not the server, may be what was measured.
const SATURATED: f64 = 0.95;

pub(crate) fn of(results: &Results) -> String {
    let mut text = String::new();
    closed(results, &mut text);
    open(results, &mut text);
    targets(results, &mut text);
    text
}

fn closed(results: &Results, text: &mut String) {
    let measure = &results.servers[0];
    writeln!(
        text,
        "\nAs much as it takes: {} connections, bodies of {} bytes, {} rounds of {} s",
        results.connections,
        results.body_length,
        measure.closed.len(),
        results.seconds
    )
    .unwrap();
    writeln!(
        text,
        "{:<30} {:>24} {:>18} {:>7} {:>7} {:>7} {:>18} {:>6} {:>13} {:>6}",
        "server",
        "a second",
        "of the first",
        "p50 ms",
        "p99 ms",
        "p999 ms",
        "CPU us each",
        "of it",
        "RSS MB",
        "sender",
    )
    .unwrap();
    for server in &results.servers {
        let busy = server.spread(|round| Some(round.sender_busy)).unwrap();
        let megabytes = |bytes: Option<u64>| {
            bytes.map_or("n/a".to_owned(), |bytes| {
                format!("{:.0}", bytes as f64 / 1e6)
            })
        };
        writeln!(
            text,
            "{:<30} {:>24.0} {:>18.3} {:>7.2} {:>7.2} {:>7.2} {:>18} {:>6} {:>13} {:>5.0}%{}",
            server.what,
            server.per_second().unwrap(),
            server.ratio(measure).unwrap(),
            middle(server, |round| round.round.p50),
            middle(server, |round| round.round.p99),
            middle(server, |round| round.round.p999),
            or_none(server.spread(|round| round.server_cpu), 1),
            server
                .cpu_ratio(measure)
                .map_or("n/a".to_owned(), |ratio| format!("{:.2}", ratio.middle)),
            format!(
                "{} -> {}",
                megabytes(server.idle_memory),
                megabytes(server.memory)
            ),
            busy.middle * 100.0,
            if busy.middle > SATURATED {
                " the sender was at its limit"
            } else {
                ""
            },
        )
        .unwrap();
    }
}

fn open(results: &Results, text: &mut String) {
    writeln!(
        text,
        "\nOffered so many a second: times of answers from when they were due, in ms\n{:<30} {:>8} {:>18} {:>18} {:>20} {:>11}",
        "server", "a second", "p50", "p99", "p999", "CPU us each"
    )
    .unwrap();
    let rates = results.servers.iter().flat_map(|server| server.open.keys());
    let rates: BTreeSet<usize> = rates.copied().collect();
    for rate in rates {
        for server in &results.servers {
            let Some(rounds) = server.open.get(&rate) else {
                continue;
            };
            let spread = |of: fn(&Round) -> f64| {
                Spread::of(rounds.iter().map(|round| of(&round.round))).unwrap()
            };
            writeln!(
                text,
                "{:<30} {:>8} {:>18.2} {:>18.2} {:>20.2} {:>11}",
                server.what,
                rate,
                spread(|round| round.p50),
                spread(|round| round.p99),
                spread(|round| round.p999),
                Spread::of(rounds.iter().filter_map(|round| round.server_cpu))
                    .map_or("n/a".to_owned(), |cpu| format!("{:.1}", cpu.middle)),
            )
            .unwrap();
        }
    }
}

fn middle(server: &Server, of: fn(&Measured) -> f64) -> f64 {
    server.spread(|round| Some(of(round))).unwrap().middle
}

fn or_none(spread: Option<Spread>, places: usize) -> String {
    spread.map_or("n/a".to_owned(), |spread| format!("{spread:.places$}"))
}

fn targets(results: &Results, text: &mut String) {
    let targets = crate::targets::of(results);
    if targets.is_empty() {
        return;
    }
    text.push_str("\nTargets\n");
    for target in targets {
        let wanted = match target.wanted {
            Wanted::AtLeast(least) => format!(">= {least}"),
            Wanted::AtMost(most) => format!("<= {most}"),
        };
        let met = if target.is_met() { "met" } else { "MISSED" };
        let (what, measured) = (target.what, target.measured);
        writeln!(text, "{what:<40} {measured:>22.2} {wanted:>8} {met}").unwrap();
    }
}
