#![deny(warnings, missing_docs, unused_qualifications, unreachable_pub)]
#![forbid(unsafe_code)]
//! Every form of the attribute, without a warning.

use std::io;

use serde::Deserialize;
use serde_json::Value;
use voipbin_receiver::catalog::{Any, Custom, all_of, named};
use voipbin_receiver::events::{CallHangup, CallProgressing};
use voipbin_receiver::resource::Call;
use voipbin_receiver::{
    Context, Delivery, Event, HandlerError, Registration, State, blocking, handlers, on,
};

/// The user's own state.
#[derive(Clone)]
pub struct Crm;

/// The user's own payload.
#[derive(Deserialize)]
pub struct Renewed {
    number: String,
}

/// One event, documented and public.
#[on(CallHangup)]
pub async fn one(call: Event<Call>) -> Result<(), HandlerError> {
    drop(call);
    Ok(())
}

#[on(CallHangup, CallProgressing, name = "two events")]
async fn several(State(crm): State<Crm>, call: Event<Call>, _: Context, _: Delivery) {
    drop((crm, call));
}

#[on(any)]
async fn any(event: Event<Value>) -> Result<(), io::Error> {
    drop(event);
    Ok(())
}

#[on(any(Call), name = "calls")]
async fn any_call(call: Event<Call>) {
    drop(call);
}

#[on(any, custom)]
async fn everything(context: Context) {
    drop(context);
}

#[on(custom)]
async fn custom(event: Event<Renewed>) -> Result<(), impl std::error::Error> {
    event.number.parse::<u64>().map(drop)
}

#[on(fallback)]
async fn fallback() {}

#[on("number_renewed")]
async fn by_name(event: Event<Renewed>) {
    drop(event);
}

#[on(CallHangup, blocking)]
fn blocks(call: Event<Call>) -> io::Result<()> {
    drop(call);
    Ok(())
}

#[on(blocking, CallHangup)]
fn blocks_and_returns_nothing() {}

#[on(CallHangup, attempts = 5, timeout = "30s", concurrency = 4, strict, skip_stale)]
async fn limited(call: Event<Call>) {
    drop(call);
}

#[on(concurrency = 1, timeout = "500ms", CallHangup, blocking, attempts = 1, name = "limits")]
fn limited_and_blocks() {}

#[on(CallHangup, timeout = "5m", backoff = "500ms..1h")]
async fn minutes() {}

#[on(CallHangup, timeout = "1h", attempts = 1_000, concurrency = 4294967295)]
async fn hours() {}

macro_rules! limited {
    ($name:ident, $attempts:expr, $timeout:expr) => {
        #[on(CallHangup, attempts = $attempts, timeout = $timeout)]
        async fn $name() {}
    };
}

limited!(limited_by_a_macro, 3, "10s");

#[on(CallHangup)]
async fn r#type(call: Event<Call>) {
    drop(call);
}

/// Not used any more, except by the attribute.
#[deprecated = "say something else"]
#[on(CallHangup)]
pub async fn deprecated() {}

#[on(CallHangup)]
#[cfg(any())]
async fn absent(call: DoesNotExist) {}

/// A path is taken as it is.
#[on(voipbin_receiver::events::CallHangup, self::own::EVENTS)]
async fn path(event: Event<Value>) {
    drop(event);
}

mod own {
    use voipbin_receiver::events::{CallHangup, MessageCreated};

    pub(crate) const EVENTS: (CallHangup, MessageCreated) = (CallHangup, MessageCreated);
}

mod nested {
    pub(crate) mod handlers {
        use voipbin_receiver::{Context, on};

        #[on(CallHangup)]
        pub(crate) async fn inner(context: Context) {
            drop(context);
        }
    }
}

/// Names of the expansion that a handler may have too.
#[on(CallHangup)]
async fn wiring(context: Context) {
    drop(context);
}

#[on(CallHangup)]
async fn outcome(states: State<Crm>) {
    drop(states);
}

fn main() {
    use nested::handlers::inner;

    #[on(CallHangup)]
    async fn local() {}

    assert_eq!(handlers![].len(), 0);
    let registrations = handlers![
        one,
        several,
        any,
        any_call,
        everything,
        custom,
        fallback,
        by_name,
        blocks,
        blocks_and_returns_nothing,
        limited,
        limited_and_blocks,
        minutes,
        hours,
        limited_by_a_macro,
        r#type,
        path,
        nested::handlers::inner,
        inner,
        self::wiring,
        crate::outcome,
        local,
    ];
    assert_eq!(registrations.len(), 22);

    // The same with closures.
    let _ = [
        Registration::new(CallHangup, |call: Event<Call>| async move { drop(call) }),
        Registration::new(CallHangup, one),
        Registration::new(
            (CallHangup, CallProgressing),
            |State(crm): State<Crm>| async move {
                drop(crm);
                Ok::<_, io::Error>(())
            },
        ),
        Registration::new(
            all_of::<Call>(),
            |call: Event<Call>, context: Context| async move {
                drop((call, context));
            },
        ),
        Registration::new(
            named("number_renewed"),
            |event: Event<Renewed>| async move {
                drop(event);
            },
        ),
        Registration::new((Any, Custom), || async {}),
        Registration::new(CallHangup, blocking(|call: Event<Call>| drop(call))),
        Registration::new(CallHangup, blocking(blocks)),
    ];

    // They stay ordinary functions.
    blocks_and_returns_nothing();
    drop(fallback());
    let _: fn(Event<Call>) -> io::Result<()> = blocks;
}
