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
