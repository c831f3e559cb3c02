use std::future::Future;
use std::io;
use std::num::NonZeroUsize;
use std::panic::catch_unwind;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use tokio::runtime::{Builder, Handle, RuntimeFlavor};

/// Where handlers run.
#[derive(Clone, Debug, Default)]
pub(crate) enum RuntimeChoice {
    /// On the runtime in which the receiver is built, if that has several threads and a timer;
    /// otherwise on one of its own.
    #[default]
    Auto,
    /// On a runtime that the user chose.
    Given(Handle),
    /// On a runtime of its own with this many threads.
    Own(NonZeroUsize),
}

/// Threads for what blocks beside handlers: names that are resolved, files.
const OTHERS: usize = 64;

/// Starts the pump there.
pub(crate) fn start<F>(on: RuntimeChoice, concurrency: usize, pump: F) -> io::Result<()>
where
    F: Future<Output = ()> + Send + 'static,
{
    match on {
        RuntimeChoice::Given(handle) if has_timer(&handle) => {
            handle.spawn(pump);
            Ok(())
        }
        RuntimeChoice::Given(_) => Err(io::Error::other(
            "its timer is disabled: build it with `enable_time` or `enable_all`",
        )),
        RuntimeChoice::Own(threads) => own(Some(threads), concurrency, pump),
        RuntimeChoice::Auto => match Handle::try_current() {
            Ok(handle)
                if handle.runtime_flavor() == RuntimeFlavor::MultiThread && has_timer(&handle) =>
            {
                handle.spawn(pump);
                Ok(())
            }
            _ => own(None, concurrency, pump),
        },
    }
}

/// A runtime does not tell whether it has a timer, other than by a panic.
fn has_timer(handle: &Handle) -> bool {
    let _entered = handle.enter();
    catch_unwind(|| drop(tokio::time::sleep(Duration::ZERO))).is_ok()
}

/// A runtime on a thread of its own, which ends with the pump. It is made and dropped there, so
/// that the receiver can be built and dropped in async code.
fn own<F>(threads: Option<NonZeroUsize>, concurrency: usize, pump: F) -> io::Result<()>
where
    F: Future<Output = ()> + Send + 'static,
{
    let (started, result) = mpsc::sync_channel(1);
    thread::Builder::new()
        .name("voipbin-receiver".into())
        .spawn(move || {
            let mut builder = Builder::new_multi_thread();
            builder.enable_all().thread_name("voipbin-handler");
            // Tokio's limit would hold blocking handlers up in silence, and what else blocks behind
            // them.
            builder.max_blocking_threads(concurrency.saturating_add(OTHERS).max(512));
            if let Some(threads) = threads {
                builder.worker_threads(threads.get());
            }
            match builder.build() {
                Ok(runtime) => {
                    let _ = started.send(Ok(()));
                    runtime.block_on(pump);
                    // A handler that blocks its thread must not hold up the end of this one.
                    runtime.shutdown_background();
                }
                Err(error) => {
                    let _ = started.send(Err(error));
                }
            }
        })?;
    result
        .recv()
        .unwrap_or_else(|_| Err(io::Error::other("the handlers' thread did not start")))
}
