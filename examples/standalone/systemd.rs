//! What systemd is told where it has started the server, with `Type=notify`.

use std::time::Duration;

use sd_notify::NotifyState;
use tokio::time::interval;

pub(crate) fn tell(state: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(state) {
        tracing::warn!(%error, "systemd could not be told");
    }
}

/// Says that the runtime is alive, twice within the time after which systemd would end the process.
pub(crate) async fn watch(within: Option<Duration>) {
    let Some(within) = within.filter(|within| !within.is_zero()) else {
        return;
    };
    let mut due = interval(within / 2);
    loop {
        due.tick().await;
        tell(&[NotifyState::Watchdog]);
    }
}
