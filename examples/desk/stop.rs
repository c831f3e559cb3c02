use std::io;
use std::process::ExitCode;

use tokio::signal::unix::{Signal, SignalKind, signal};
use voipbin_receiver::ShutdownReport;

/// Ctrl-C and SIGTERM, caught from when this is made.
pub(crate) struct Stop {
    interrupt: Signal,
    terminate: Signal,
}

impl Stop {
    pub(crate) fn new() -> io::Result<Self> {
        let interrupt = signal(SignalKind::interrupt())?;
        let terminate = signal(SignalKind::terminate())?;
        Ok(Self {
            interrupt,
            terminate,
        })
    }

    /// Waits for the next of either.
    pub(crate) async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

/// Logs what was left undone: success when that is nothing.
pub(crate) fn end(report: &ShutdownReport) -> ExitCode {
    for left in &report.unfinished {
        tracing::error!(delivery = ?left.delivery, handler = %left.handler, state = ?left.state, "not handled");
    }
    if report.is_drained() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
