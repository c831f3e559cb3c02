//! Layers of tower's around handlers.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use support::{Recorder, builder, call_hangup, deliver, until, within};
use tokio::runtime::Handle;
use tokio::time::Instant;
use tower::BoxError;
use tower::limit::GlobalConcurrencyLimitLayer;
use tower::timeout::TimeoutLayer;
use tower::util::{MapErrLayer, MapRequestLayer};
use voipbin_receiver::catalog::Any;
use voipbin_receiver::inbox::AttemptEnd;
use voipbin_receiver::observe::DeadLetterReason;
use voipbin_receiver::testing::TokioClock;
use voipbin_receiver::{
    Context, EventHandler, HandlerError, HandlerOptions, ReceiverBuilder, Registration,
    RetryPolicy, blocking,
};

const HOUR: Duration = Duration::from_secs(3600);

fn here() -> ReceiverBuilder {
    builder()
        .runtime(Handle::current())
        .clock(Arc::new(TokioClock::new()))
}

fn writes(
    log: &Arc<Mutex<Vec<&'static str>>>,
    line: &'static str,
) -> MapRequestLayer<impl Fn(Context) -> Context + Clone + Send + Sync + use<>> {
    let log = Arc::clone(log);
    MapRequestLayer::new(move |context| {
        log.lock().unwrap().push(line);
        context
    })
}

#[tokio::test(start_paused = true)]
async fn layers_wrap_in_the_order_in_which_they_are_given_and_see_each_attempt() {
    let log = Arc::default();
    let receiver = here()
        .layer(writes(&log, "all"))
        .layer(writes(&log, "outermost"))
        .handlers([Registration::new(Any, |context: Context| async move {
            match context.attempt() {
                1 => Err(HandlerError::new("not yet")),
                _ => Ok(()),
            }
        })
        .layer(writes(&log, "innermost"))
        .layer(writes(&log, "own"))])
        .build()
        .unwrap();
    deliver(&receiver.service(), call_hangup(1)).await;
    until(|| receiver.stats().handled != 0).await;
    let once = ["outermost", "all", "own", "innermost"];
    assert_eq!(*log.lock().unwrap(), [once, once].concat());
    assert!(receiver.shutdown(HOUR).await.is_drained());
}

#[tokio::test(start_paused = true)]
async fn a_layer_can_change_the_error() {
    let (told, mut letters) = tokio::sync::mpsc::unbounded_channel();
    let receiver = here()
        .layer(MapErrLayer::new(|_: BoxError| {
            HandlerError::permanent("the CRM failed")
        }))
        .on_dead_letter(move |letter| {
            let told = told.clone();
            async move { told.send(letter).unwrap() }
        })
        .on(Any, || async {
            Err::<(), _>(HandlerError::new("+15551234567 is busy"))
        })
        .build()
        .unwrap();
    deliver(&receiver.service(), call_hangup(1)).await;
    let letter = within(letters.recv()).await.unwrap();
    let ends: Vec<AttemptEnd> = letter.history.into_iter().map(|one| one.ended).collect();
    assert_eq!(ends, [AttemptEnd::Failed("the CRM failed".into())]);
    assert!(receiver.shutdown(HOUR).await.is_drained());
}

/// tower's own layers fail with boxed errors and want those of what they wrap boxed.
#[tokio::test(start_paused = true)]
async fn a_layer_with_boxed_errors_fits_and_what_an_error_says_of_retries_survives_it() {
    let (told, mut letters) = tokio::sync::mpsc::unbounded_channel();
    let limit = TimeoutLayer::new(Duration::from_secs(5));
    let receiver = here()
        .layer(limit.clone())
        .layer(MapErrLayer::new(|error: BoxError| Wrapped(error)))
        .on_dead_letter(move |letter| {
            let told = told.clone();
            async move { told.send(letter).unwrap() }
        })
        .handlers([
            Registration::new(Any, || async {
                Err::<(), _>(HandlerError::permanent("gone"))
            })
            .name("permanent")
            .layer(limit),
            Registration::new(Any, |context: Context| async move {
                match context.attempt() {
                    1 => Err(HandlerError::new("busy").retry_after(Duration::from_secs(77))),
                    _ => Err(HandlerError::permanent("still busy")),
                }
            })
            .name("later"),
            Registration::new(Any, || tokio::time::sleep(HOUR))
                .name("hangs")
                .options(HandlerOptions::new().attempts(1)),
        ])
        .build()
        .unwrap();
    let begun = Instant::now();
    deliver(&receiver.service(), call_hangup(1)).await;
    let mut ends = Vec::new();
    for _ in 0..3 {
        let letter = within(letters.recv()).await.unwrap();
        let after = begun.elapsed().as_secs();
        ends.push((
            letter.handler.to_string(),
            letter.attempts,
            letter.reason,
            after,
        ));
    }
    assert_eq!(
        ends,
        [
            ("permanent".to_owned(), 1, DeadLetterReason::Permanent, 0),
            (
                "hangs".to_owned(),
                1,
                DeadLetterReason::AttemptsExhausted,
                5
            ),
            ("later".to_owned(), 2, DeadLetterReason::Permanent, 77),
        ]
    );
    assert!(receiver.shutdown(HOUR).await.is_drained());
}

/// An error of a layer's own, that names the handler's as its cause.
#[derive(Debug)]
struct Wrapped(BoxError);

impl std::fmt::Display for Wrapped {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the layer says")
    }
}

impl std::error::Error for Wrapped {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&*self.0)
    }
}

#[tokio::test(start_paused = true)]
async fn errors_of_every_kind_end_an_attempt_with_their_text() {
    let (told, mut letters) = tokio::sync::mpsc::unbounded_channel();
    fn parsed(text: &str) -> Result<u8, HandlerError> {
        let context = anyhow::Context::context(text.parse::<u8>(), "the extension")?;
        Ok(context)
    }
    let receiver = here()
        .handler_options(HandlerOptions::new().retry(RetryPolicy::never()))
        .on_dead_letter(move |letter| {
            let told = told.clone();
            async move { told.send(letter).unwrap() }
        })
        .handlers([
            Registration::new(Any, || async { Err::<(), _>(anyhow::anyhow!("anyhow's")) })
                .name("anyhow"),
            Registration::new(Any, || async { Err::<(), BoxError>("boxed".into()) }).name("boxed"),
            Registration::new(Any, || async { Err::<(), String>("a text".to_owned()) })
                .name("text"),
            Registration::new(Any, || async { parsed("x").map(drop) }).name("with causes"),
        ])
        .build()
        .unwrap();
    deliver(&receiver.service(), call_hangup(1)).await;
    let mut ends = Vec::new();
    for _ in 0..4 {
        let letter = within(letters.recv()).await.unwrap();
        let AttemptEnd::Failed(text) = &letter.history[0].ended else {
            panic!("{letter:?}");
        };
        ends.push(format!("{}: {text}", letter.handler));
    }
    ends.sort();
    assert_eq!(
        ends,
        [
            "anyhow: anyhow's",
            "boxed: boxed",
            "text: a text",
            "with causes: the extension: invalid digit found in string",
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn a_limit_that_two_handlers_share_holds_for_both_together() {
    let limit = GlobalConcurrencyLimitLayer::new(1);
    let slow = || async { tokio::time::sleep(Duration::from_secs(1)).await };
    let receiver = here()
        .handlers([
            Registration::new(Any, slow).name("a").layer(limit.clone()),
            Registration::new(Any, slow).name("b").layer(limit),
            Registration::new(Any, slow).name("c"),
        ])
        .build()
        .unwrap();
    let start = Instant::now();
    deliver(&receiver.service(), call_hangup(1)).await;
    deliver(&receiver.service(), call_hangup(2)).await;
    assert!(receiver.shutdown(HOUR).await.is_drained());
    assert_eq!(start.elapsed(), Duration::from_secs(4));
}

#[tokio::test]
async fn a_blocking_handler_can_be_wrapped_and_its_panic_is_an_attempt() {
    let log = Arc::default();
    let recorder = Recorder::new();
    let runs = recorder.clone();
    let receiver = builder()
        .runtime(Handle::current())
        .handler_options(
            HandlerOptions::new().retry(RetryPolicy::default().initial(Duration::ZERO)),
        )
        .layer(writes(&log, "seen"))
        .on(
            Any,
            blocking(move |context: Context| {
                let first = context.attempt() == 1;
                let run = runs.handle(context);
                futures_util::FutureExt::now_or_never(run).unwrap().unwrap();
                assert!(!first, "the first attempt panics");
            }),
        )
        .build()
        .unwrap();
    deliver(&receiver.service(), call_hangup(1)).await;
    for attempt in [1, 2] {
        assert_eq!(within(recorder.next()).await.attempt(), attempt);
    }
    assert!(receiver.shutdown(HOUR).await.is_drained());
    assert_eq!(*log.lock().unwrap(), ["seen", "seen"]);
    assert_eq!((receiver.stats().failed, receiver.stats().handled), (1, 1));
}
