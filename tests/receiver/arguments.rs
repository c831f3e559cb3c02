//! Arguments of handlers that are types of the user's own.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use support::{builder, call_hangup, deliver};
use tokio::runtime::Handle;
use voipbin_receiver::catalog::Any;
use voipbin_receiver::handler::{Argument, Needs, RunParts};
use voipbin_receiver::{
    BuildErrorKind, Context, HandlerError, HandlerOptions, Receiver, ReceiverBuilder, Registration,
    RetryPolicy, blocking, handlers, on,
};

const HOUR: Duration = Duration::from_secs(3600);

/// What happened, in order.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<String>>>);

impl Log {
    fn add(&self, line: impl Into<String>) {
        self.0.lock().unwrap().push(line.into());
    }

    fn lines(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }
}

/// The resource of the event, looked up somewhere slow.
struct Tenant(String);

impl<E> Argument<E> for Tenant {
    async fn extract(parts: &mut RunParts) -> Result<Self, HandlerError> {
        tokio::time::sleep(Duration::from_secs(1)).await;
        match parts.context().delivery().resource_id() {
            Some("nobody") => Err(HandlerError::permanent("no such tenant")),
            id => Ok(Self(id.unwrap_or_default().to_owned())),
        }
    }
}

/// What is begun for a run, and ends as the run does.
struct Tx(Log);

/// What a transaction that is neither committed nor told to roll back does.
struct RollsBack {
    log: Log,
    committed: bool,
}

impl Drop for RollsBack {
    fn drop(&mut self) {
        if !self.committed {
            self.log.add("rolled back");
        }
    }
}

impl<E> Argument<E> for Tx {
    fn needs(needs: &mut Needs) {
        needs.state::<Log>();
    }

    async fn extract(parts: &mut RunParts) -> Result<Self, HandlerError> {
        let log: Log = parts.state()?;
        let mut tx = RollsBack {
            log: log.clone(),
            committed: false,
        };
        log.add("begun");
        parts.on_end(move |result| async move {
            result?;
            tokio::task::yield_now().await;
            tx.committed = true;
            tx.log.add("committed");
            Ok(())
        });
        Ok(Self(log))
    }
}

fn here() -> ReceiverBuilder {
    builder()
        .runtime(Handle::current())
        .handler_options(HandlerOptions::new().retry(RetryPolicy::never()))
}

/// What a receiver with this log has written down and counted after these events.
async fn handled(receiver: Receiver, ids: &[&str]) -> (u64, u64) {
    for id in ids {
        deliver(&receiver.service(), call_hangup(id)).await;
    }
    assert!(receiver.shutdown(HOUR).await.unfinished.len() <= ids.len());
    let stats = receiver.stats();
    (stats.handled, stats.dead)
}

#[on(any, name = "annotated")]
async fn annotated(tenant: Tenant, tx: Tx) -> Result<(), HandlerError> {
    tx.0.add(format!("for {}", tenant.0));
    Ok(())
}

#[on(any, name = "blocks", blocking)]
fn blocks(tx: Tx, tenant: Tenant, _context: Context) {
    tx.0.add(format!("for {}", tenant.0));
}

#[tokio::test(start_paused = true)]
async fn every_kind_of_function_gets_arguments_of_the_users_own() {
    let kinds = [
        handlers![annotated],
        handlers![blocks],
        vec![Registration::new(
            Any,
            |tx: Tx, tenant: Tenant| async move {
                tx.0.add(format!("for {}", tenant.0));
            },
        )],
        vec![Registration::new(
            Any,
            blocking(|tenant: Tenant, tx: Tx| tx.0.add(format!("for {}", tenant.0))),
        )],
    ];
    for kind in kinds {
        let log = Log::default();
        let receiver = here().state(log.clone()).handlers(kind).build().unwrap();
        assert_eq!(handled(receiver, &["a"]).await, (1, 0));
        assert_eq!(log.lines(), ["begun", "for a", "committed"]);
    }
}

#[tokio::test(start_paused = true)]
async fn what_an_argument_begins_ends_as_the_run_does() {
    let log = Log::default();
    let receiver = here()
        .state(log.clone())
        .on(Any, |_: Tx, context: Context| async move {
            match context.delivery().resource_id() {
                Some("fails") => Err(HandlerError::new("no")),
                Some("panics") => panic!("at once"),
                Some("hangs") => std::future::pending().await,
                _ => Ok(()),
            }
        })
        .handler_options(HandlerOptions::new().timeout(Duration::from_secs(5)))
        .build()
        .unwrap();
    for id in ["goes well", "fails", "panics", "hangs"] {
        deliver(&receiver.service(), call_hangup(id)).await;
        support::until(|| {
            let stats = receiver.stats();
            stats.handled + stats.dead == stats.accepted
        })
        .await;
        log.add(id);
    }
    assert_eq!(
        log.lines(),
        [
            "begun",
            "committed",
            "goes well",
            "begun",
            "rolled back",
            "fails",
            "begun",
            "rolled back",
            "panics",
            "begun",
            "rolled back",
            "hangs",
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn an_argument_that_cannot_be_made_ends_the_attempt_and_what_was_begun() {
    let log = Log::default();
    let receiver = here()
        .handler_options(HandlerOptions::new().retry(RetryPolicy::default()))
        .state(log.clone())
        .on(Any, |tx: Tx, _: Tenant| async move { tx.0.add("ran") })
        .build()
        .unwrap();
    // Permanent, so that there is one attempt.
    assert_eq!(handled(receiver, &["nobody"]).await, (0, 1));
    assert_eq!(log.lines(), ["begun", "rolled back"]);
}

/// What the hooks return counts, and the last one comes first.
#[tokio::test(start_paused = true)]
async fn the_end_of_an_argument_can_fail_the_run_or_save_it() {
    struct Ends<const SAYS: char>;

    impl<E, const SAYS: char> Argument<E> for Ends<SAYS> {
        async fn extract(parts: &mut RunParts) -> Result<Self, HandlerError> {
            let log: Log = parts.state()?;
            parts.on_end(move |result| async move {
                log.add(format!(
                    "{SAYS} after {}",
                    if result.is_ok() { "ok" } else { "error" }
                ));
                match SAYS {
                    'f' => Err("the commit failed".into()),
                    's' => Ok(()),
                    _ => result,
                }
            });
            Ok(Self)
        }
    }

    let log = Log::default();
    let receiver = here().state(log.clone()).handlers([
        Registration::new(Any, |_: Ends<'x'>, _: Ends<'f'>| async {}).name("fails"),
        Registration::new(Any, |_: Ends<'y'>, _: Ends<'s'>| async {
            Err::<(), _>(HandlerError::new("no"))
        })
        .name("is saved"),
    ]);
    let receiver = receiver.build().unwrap();
    assert_eq!(handled(receiver, &["a"]).await, (1, 1));
    let mut lines = log.lines();
    lines.sort();
    assert_eq!(
        lines,
        ["f after ok", "s after error", "x after error", "y after ok"]
    );
}

#[test]
fn a_state_that_an_argument_needs_and_that_is_not_given_is_an_error_of_build() {
    let error = builder()
        .on(Any, |tx: Tx| async move { drop(tx.0) })
        .build();
    assert_eq!(error.unwrap_err().kind(), BuildErrorKind::MissingState);
}
