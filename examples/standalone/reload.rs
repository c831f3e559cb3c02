//! What may change while the server runs.

use std::future::pending;
use std::io;
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at};
use voipbin_receiver::Receiver;

use crate::server::{has_terminal, next};
use crate::terminal::in_full;
use crate::tls::{self, Tls};

/// How often it is told how long the certificate is valid.
const DAY: Duration = Duration::from_secs(86_400);

/// Has files read again: on SIGHUP, which is caught from when this is made, and every so often. In
/// a terminal SIGHUP is the end.
pub(crate) struct Reload {
    hangup: Option<Signal>,
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
        let hangup = (!has_terminal()).then(|| signal(SignalKind::hangup()));
        Ok(Self {
            hangup: hangup.transpose()?,
            ticks,
        })
    }

    /// For as long as it is polled.
    pub(crate) async fn run(mut self, receiver: Receiver, tls: Option<Tls>) {
        let secrets = receiver.secrets();
        // At the start it was told.
        let mut checked = Instant::now();
        loop {
            let asked = self.next().await;
            if let Err(error) = secrets.refresh().await {
                tracing::warn!(
                    error = in_full(&error),
                    "a file of secrets could not be read again: what it said before counts"
                );
            }
            if let Some(tls) = &tls {
                tls::reload(tls).await;
                if checked.elapsed() >= DAY {
                    checked = Instant::now();
                    tls::expiry(tls).iter().for_each(tls::Expiry::log);
                }
            }
            if asked {
                tracing::info!("files of secrets and certificates were read again");
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
            () = next(self.hangup.as_mut()) => true,
            () = tick => false,
        }
    }
}
