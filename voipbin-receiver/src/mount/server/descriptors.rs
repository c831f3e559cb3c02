//! How many files, and so connections, the process may have open.

/// Descriptors left for the inbox, files that are read again, and whatever else the process opens.
const SPARE: usize = 16;

/// The fewest connections, however low the limit is.
const FEWEST: usize = 4;

/// How many files the process may have open at once, connections included, after raising the soft
/// limit to the hard one. A [`Server`](super::Server) does so when it begins to serve. `None` where
/// it cannot be known, as on Windows.
///
/// ```
/// if let Some(files) = voipbin_receiver::mount::descriptor_limit() {
///     println!("up to {files} open files");
/// }
/// ```
#[must_use]
pub fn descriptor_limit() -> Option<usize> {
    #[cfg(unix)]
    {
        use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

        let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
        if current != maximum {
            let raised = Rlimit {
                current: maximum,
                maximum,
            };
            // Where the system says no, as macOS does to no limit at all, it stays as it is.
            let _ = setrlimit(Resource::Nofile, raised);
        }
        // None is no limit.
        let current = getrlimit(Resource::Nofile).current;
        Some(current.map_or(usize::MAX, |files| {
            usize::try_from(files).unwrap_or(usize::MAX)
        }))
    }
    #[cfg(not(unix))]
    None
}

/// `connections`, or as many as the process may have beside what is open already.
pub(super) fn cap_connections(connections: usize) -> usize {
    let Some(files) = descriptor_limit() else {
        return connections;
    };
    // Where that cannot be listed, about as many as an idle server has.
    let open = std::fs::read_dir("/dev/fd").map_or(32, Iterator::count);
    let room = files.saturating_sub(open).saturating_sub(SPARE).max(FEWEST);
    if room < connections {
        tracing::warn!(
            files,
            open,
            connections = room,
            "the process may open too few files for {connections} connections: raise its limit (ulimit -n, LimitNOFILE=)"
        );
    }
    connections.min(room)
}
