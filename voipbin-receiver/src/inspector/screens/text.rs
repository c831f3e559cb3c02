//! Times, sizes and counts as people read them.

use std::time::{Duration, SystemTime};

use crate::event::Time;

/// A point in time: for machines, and how long ago or ahead it is.
pub(super) struct When {
    pub(super) utc: String,
    pub(super) relative: String,
}

impl When {
    pub(super) fn new(at: SystemTime, now: SystemTime) -> Self {
        let utc = Time::try_from(at).map(|time| time.to_string());
        let relative = match now.duration_since(at) {
            Ok(ago) => format!("{} ago", span(ago)),
            Err(ahead) => format!("in {}", span(ahead.duration())),
        };
        Self {
            utc: utc.unwrap_or_default(),
            relative,
        }
    }
}

/// In its largest unit.
pub(super) fn span(duration: Duration) -> String {
    let seconds = duration.as_secs();
    match seconds {
        0 => format!("{} ms", duration.as_millis()),
        1..120 => format!("{seconds} s"),
        120..7200 => format!("{} min", seconds / 60),
        7200..172_800 => format!("{} h", seconds / 3600),
        _ => format!("{} days", seconds / 86_400),
    }
}

pub(super) fn bytes(count: u64) -> String {
    const KIB: u64 = 1 << 10;
    const MIB: u64 = 1 << 20;
    const GIB: u64 = 1 << 30;
    match count {
        0..KIB => format!("{count} B"),
        KIB..MIB => format!("{} KiB", count / KIB),
        MIB..GIB => format!("{} MiB", count / MIB),
        _ => format!("{} GiB", count / GIB),
    }
}
