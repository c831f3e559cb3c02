use std::fmt;

use support::figures::Spread;

use super::{Comparison, Scale, Server};

/// What was to be reached, and what was.
pub(super) struct Target {
    pub(super) what: &'static str,
    pub(super) wanted: Wanted,
    pub(super) measured: String,
    pub(super) met: bool,
}

#[derive(Clone, Copy)]
pub(super) enum Wanted {
    AtLeast(f64),
    AtMost(f64),
}

impl Wanted {
    fn is_met(self, by: f64) -> bool {
        match self {
            Self::AtLeast(least) => by >= least,
            Self::AtMost(most) => by <= most,
        }
    }
}

impl fmt::Display for Wanted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AtLeast(least) => write!(f, "at least {least}"),
            Self::AtMost(most) => write!(f, "at most {most}"),
        }
    }
}

use Wanted::{AtLeast, AtMost};

/// What the receiver on hyper is to take, of what hyper takes that only reads.
pub(super) const OF_HYPER: f64 = 0.75;

/// Those whose servers took part.
pub(super) fn of_comparison(comparison: &Comparison) -> Vec<Target> {
    type Of = fn(&Server, &Server) -> Option<Spread>;
    let throughput: Of = |own, other| own.ratio(other);
    let cpu: Of = |own, other| own.cpu_ratio(other);
    let own = "receiver-server";
    [
        (
            "memory inbox, of hyper that only reads",
            own,
            "hyper",
            throughput,
            AtLeast(OF_HYPER),
        ),
        (
            "its CPU for a request, of that of hyper",
            own,
            "hyper",
            cpu,
            AtMost(1.4),
        ),
        (
            "in axum, of axum that only reads",
            "receiver-axum",
            "axum",
            throughput,
            AtLeast(0.9),
        ),
        (
            "disk inbox, of hyper that only reads",
            "receiver-disk",
            "hyper",
            throughput,
            AtLeast(0.18),
        ),
        (
            "memory inbox, of axum by hand",
            own,
            "axum-by-hand",
            throughput,
            AtLeast(2.5),
        ),
        (
            "memory inbox, of node:http by hand",
            own,
            "node-by-hand",
            throughput,
            AtLeast(5.0),
        ),
        (
            "memory inbox, of Express",
            own,
            "express",
            throughput,
            AtLeast(20.0),
        ),
        (
            "memory inbox, of Flask",
            own,
            "flask",
            throughput,
            AtLeast(40.0),
        ),
    ]
    .into_iter()
    .filter_map(|(what, own, other, measure, wanted)| {
        let measured = measure(comparison.server(own)?, comparison.server(other)?)?;
        Some(Target::of(what, wanted, measured))
    })
    .chain(of_mount(comparison))
    .collect()
}

/// What the mount in axum leaves of the receiver on hyper, of what axum leaves of hyper.
fn of_mount(comparison: &Comparison) -> Option<Target> {
    let [mounted, alone, axum, hyper] =
        ["receiver-axum", "receiver-hyper", "axum", "hyper"].map(|name| comparison.server(name));
    let (own, bare) = (mounted?.ratios(alone?), axum?.ratios(hyper?));
    let measured = Spread::of(own.zip(bare).map(|(own, bare)| own / bare))?;
    let what = "in axum, of the receiver on hyper, beside what axum leaves of hyper";
    Some(Target::of(what, AtLeast(0.9), measured))
}

impl Target {
    fn of(what: &'static str, wanted: Wanted, measured: Spread) -> Self {
        Self {
            what,
            wanted,
            measured: measured.to_string(),
            met: wanted.is_met(measured.middle),
        }
    }
}

/// Those of memory.
pub(super) fn of_scale(scale: &Scale) -> Vec<Target> {
    let million = scale.identities.iter().find(|of| of.count == 1_000_000);
    let memory = &scale.memory;
    [
        (
            "bytes of a remembered identity, of a million",
            million.and_then(|of| of.bytes),
            AtMost(56.0),
        ),
        (
            "bytes of an event that waits, beyond its body",
            memory.queued,
            AtMost(200.0),
        ),
        (
            "KiB of a connection that waits",
            memory.connection.map(|bytes| bytes / 1024.0),
            AtMost(16.0),
        ),
        (
            "KiB of the same, of hyper that only reads",
            memory.connection_bare.map(|bytes| bytes / 1024.0),
            AtMost(16.0),
        ),
        (
            "MiB of a process that waits",
            memory.idle.map(|bytes| bytes as f64 / f64::from(1 << 20)),
            AtMost(8.0),
        ),
        (
            "MiB of the same, of hyper that only reads",
            memory
                .idle_bare
                .map(|bytes| bytes as f64 / f64::from(1 << 20)),
            AtMost(8.0),
        ),
    ]
    .into_iter()
    .filter_map(|(what, measured, wanted)| {
        Some(Target {
            what,
            wanted,
            measured: format!("{:.1}", measured?),
            met: wanted.is_met(measured?),
        })
    })
    .collect()
}
