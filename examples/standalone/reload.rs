//! What may change while the server runs.

use std::future::pending;
use std::io;
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at};
use voipbin_receiver::Receiver;

use crate::greeting::in_full;

/// Has files read again: on SIGHUP, which is caught from when this is made, and every so often.
pub(crate) struct Reload {
    hangup: Signal,
    ticks: Option<Interval>,
}

impl Reload {
    /// With no time, on SIGHUP alone.
    pub(crate) fn new(every: Duration) -> io::Result<Self> {
        let ticks = (!every.is_zero()).then(|| {
            let mut ticks = interval_at(Instant::now() + every, every);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            ticks
        });
        let hangup = signal(SignalKind::hangup())?;
        Ok(Self { hangup, ticks })
    }

    /// For as long as it is polled.
    pub(crate) async fn run(mut self, receiver: Receiver) {
        let secrets = receiver.secrets();
        loop {
            let asked = self.next().await;
            match secrets.refresh().await {
                Ok(()) if asked => tracing::info!("files of secrets were read again"),
                Ok(()) => {}
                Err(error) => tracing::warn!(
                    error = in_full(&error),
                    "a file of secrets could not be read again: what it said before counts"
                ),
            }
        }
    }

    /// Whether it was asked for.
    async fn next(&mut self) -> bool {
        let tick = async {
            match &mut self.ticks {
                Some(ticks) => drop(ticks.tick().await),
                None => pending().await,
            }
        };
        tokio::select! {
            _ = self.hangup.recv() => true,
            () = tick => false,
        }
    }
}
