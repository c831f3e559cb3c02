//! Events that come after a later state of their resource.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use support::{builder, deliver};
use tokio::runtime::Handle;
use voipbin_receiver::catalog::Any;
use voipbin_receiver::{
    Context, HandlerError, HandlerOptions, Receiver, Registration, RetryPolicy,
};

const DRAIN: Duration = Duration::from_secs(10);

fn call(name: &str, id: &str, times: &str) -> String {
    format!(r#"{{"type":"{name}","data":{{"id":"{id}"{times}}}}}"#)
}

fn updated(seconds: u32) -> String {
    format!(r#","tm_create":"2026-08-22T10:30:00Z","tm_update":"2026-08-22T10:30:{seconds:02}.5Z""#)
}

/// What a handler saw: the type, and whether it was stale.
type Seen = Arc<Mutex<Vec<(String, bool)>>>;

fn note(seen: &Seen, context: &Context) {
    let name = context.event_type().unwrap().as_str().to_owned();
    seen.lock().unwrap().push((name, context.is_stale()));
}

async fn receive(receiver: &Receiver, bodies: impl IntoIterator<Item = String>) {
    for body in bodies {
        deliver(&receiver.service(), body).await;
    }
    assert!(receiver.shutdown(DRAIN).await.is_drained());
}

#[tokio::test(start_paused = true)]
async fn a_handler_is_told_that_it_completed_a_later_state_of_the_resource() {
    let seen = Seen::default();
    let receiver = {
        let seen = Arc::clone(&seen);
        let handler = move |context: Context| {
            note(&seen, &context);
            async {}
        };
        let built = builder()
            .runtime(Handle::current())
            .on(Any, handler)
            .build();
        built.unwrap()
    };
    let bodies = [
        call("call_hangup", "1", &updated(9)),
        // Late, at the same time, of another call, without any time, only created.
        call("call_progressing", "1", &updated(5)),
        call("call_updated", "1", &updated(9)),
        call("call_progressing", "2", &updated(5)),
        call("call_ringing", "1", ""),
        call(
            "call_created",
            "1",
            r#","tm_create":"2026-08-22T10:30:00Z","tm_update":null"#,
        ),
    ];
    receive(&receiver, bodies).await;
    let mut seen = seen.lock().unwrap().clone();
    seen.sort();
    let expected = [
        ("call_created", true),
        ("call_hangup", false),
        ("call_progressing", false),
        ("call_progressing", true),
        ("call_ringing", false),
        ("call_updated", false),
    ];
    assert_eq!(seen, expected.map(|(name, stale)| (name.to_owned(), stale)));
}

#[tokio::test(start_paused = true)]
async fn what_failed_makes_nothing_stale_and_each_handler_has_a_past_of_its_own() {
    let seen = Seen::default();
    let receiver = {
        let seen = Arc::clone(&seen);
        let fails = |context: Context| async move {
            let hangup = context
                .event_type()
                .is_some_and(|name| name.as_str() == "call_hangup");
            if hangup {
                Err(HandlerError::new("on purpose"))
            } else {
                Ok(())
            }
        };
        let notes = move |context: Context| {
            note(&seen, &context);
            fails(context)
        };
        builder()
            .runtime(Handle::current())
            .handler_options(HandlerOptions::new().retry(RetryPolicy::never()))
            .handlers([
                Registration::new(Any, notes).name("fails at the hangup"),
                Registration::new(Any, || async {}).name("completes it"),
            ])
            .build()
            .unwrap()
    };
    let bodies = [
        call("call_hangup", "1", &updated(9)),
        call("call_progressing", "1", &updated(5)),
    ];
    receive(&receiver, bodies).await;
    let expected = ["call_hangup", "call_progressing"].map(|name| (name.to_owned(), false));
    assert_eq!(*seen.lock().unwrap(), expected);
}

#[tokio::test(start_paused = true)]
async fn a_handler_that_asks_for_it_is_spared_what_is_stale() {
    let seen = Seen::default();
    let receiver = {
        let seen = Arc::clone(&seen);
        let handler = move |context: Context| {
            note(&seen, &context);
            async {}
        };
        builder()
            .runtime(Handle::current())
            .handlers([Registration::new(Any, handler).options(HandlerOptions::new().skip_stale())])
            .build()
            .unwrap()
    };
    let delta = |sequence: u32| {
        let fields = format!(r#","aicall_id":"a","sequence":{sequence}"#);
        call("aimessage_intermediate", "m", &fields)
    };
    let bodies = [
        call("call_hangup", "1", &updated(9)),
        call("call_progressing", "1", &updated(5)),
        delta(2),
        delta(1),
        delta(3),
    ];
    receive(&receiver, bodies).await;
    assert_eq!(seen.lock().unwrap().len(), 3);
    let stats = receiver.stats();
    assert_eq!(
        (stats.skipped, stats.handled, stats.inbox.events),
        (2, 3, 0)
    );
}
