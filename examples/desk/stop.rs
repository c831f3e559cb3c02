use std::io;
use std::process::ExitCode;
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use voipbin_receiver::{Receiver, ShutdownReport};

/// How long a request may still take once nothing else is left to do.
pub(crate) const CLOSING: Duration = Duration::from_secs(1);

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
    async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }

    /// Waits for one, and then for the handlers; a second one ends that at once. The server goes
    /// on: what comes meanwhile is kept.
    pub(crate) async fn drain(&mut self, receiver: &Receiver, drain: Duration) -> ShutdownReport {
        self.next().await;
        tracing::info!("draining; once more to end at once");
        tokio::select! {
            report = receiver.shutdown(drain) => report,
            () = self.next() => receiver.shutdown(Duration::ZERO).await,
        }
    }
}

/// Logs what was cut short: success when that is nothing.
pub(crate) fn end(report: &ShutdownReport) -> ExitCode {
    for left in &report.unfinished {
        tracing::error!(
            delivery = ?left.delivery, handler = %left.handler, state = ?left.state,
            "cut short: it is handled again when the app starts"
        );
    }
    if report.is_clean() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
