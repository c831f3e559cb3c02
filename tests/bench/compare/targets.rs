//! What the receiver should reach beside the others.

use support::figures::Spread;

use crate::results::{Results, Server};

/// A target, and what was measured.
pub(crate) struct Target {
    pub(crate) what: &'static str,
    pub(crate) wanted: Wanted,
    pub(crate) measured: Spread,
}

#[derive(Clone, Copy)]
pub(crate) enum Wanted {
    AtLeast(f64),
    AtMost(f64),
}

impl Target {
    pub(crate) fn is_met(&self) -> bool {
        match self.wanted {
            Wanted::AtLeast(least) => self.measured.middle >= least,
            Wanted::AtMost(most) => self.measured.middle <= most,
        }
    }
}

/// Those whose servers took part.
pub(crate) fn of(results: &Results) -> Vec<Target> {
    use Wanted::{AtLeast, AtMost};

    type Of = fn(&Server, &Server) -> Option<Spread>;
    let throughput: Of = |own, other| own.ratio(other);
    let cpu: Of = |own, other| own.cpu_ratio(other);
    [
        (
            "memory inbox, of hyper that only reads",
            ["receiver-server", "hyper"],
            throughput,
            AtLeast(0.75),
        ),
        (
            "its CPU for a request, of that",
            ["receiver-server", "hyper"],
            cpu,
            AtMost(1.4),
        ),
        (
            "in axum, of axum that only reads",
            ["receiver-axum", "axum"],
            throughput,
            AtLeast(0.9),
        ),
        (
            "disk inbox, of hyper that only reads",
            ["receiver-disk", "hyper"],
            throughput,
            AtLeast(0.18),
        ),
        (
            "memory inbox, of axum by hand",
            ["receiver-server", "axum-by-hand"],
            throughput,
            AtLeast(2.5),
        ),
        (
            "memory inbox, of node:http by hand",
            ["receiver-server", "node-by-hand"],
            throughput,
            AtLeast(5.0),
        ),
        (
            "memory inbox, of Express",
            ["receiver-server", "express"],
            throughput,
            AtLeast(20.0),
        ),
        (
            "memory inbox, of Flask",
            ["receiver-server", "flask"],
            throughput,
            AtLeast(40.0),
        ),
    ]
    .into_iter()
    .filter_map(|(what, [own, other], measure, wanted)| {
        let measured = measure(results.server(own)?, results.server(other)?)?;
        Some(Target {
            what,
            wanted,
            measured,
        })
    })
    .collect()
}
