use std::future::Future;
use std::time::Duration;

/// Runs a test that would otherwise hang for ever when what it waits for does not come. Nothing
/// depends on the time itself.
///
/// # Panics
///
/// After two minutes.
pub async fn within<F: Future>(test: F) -> F::Output {
    tokio::time::timeout(Duration::from_secs(120), test)
        .await
        .expect("the test hangs")
}

/// The same on a paused clock, where waiting takes no time.
///
/// # Panics
///
/// After four days.
pub async fn within_days<F: Future>(step: F) -> F::Output {
    tokio::time::timeout(Duration::from_secs(4 * 24 * 60 * 60), step)
        .await
        .expect("the test hangs")
}

/// Waits on a paused clock for what follows a run.
///
/// # Panics
///
/// After four days.
pub async fn until(holds: impl Fn() -> bool) {
    within_days(async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
}
