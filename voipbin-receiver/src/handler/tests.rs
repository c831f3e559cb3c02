use std::error::Error;
use std::sync::Arc;
use std::time::SystemTime;

use bytes::Bytes;
use serde_json::Value;

use super::{
    Blocking, Context, Event, EventHandler, HandlerError, HandlerName, Registration, State, States,
    blocking,
};
use crate::event::{BodyError, Delivery};
use crate::events::{CallHangup, MessageCreated};
use crate::resource;
use crate::{async_trait, handlers, on};

type TestResult = Result<(), Box<dyn Error>>;

#[derive(Clone)]
struct Seen(Arc<std::sync::Mutex<Vec<String>>>);

impl Seen {
    fn push(&self, what: impl Into<String>) {
        if let Ok(mut seen) = self.0.lock() {
            seen.push(what.into());
        }
    }
}

const DEFAULT_LINE: u32 = line!() + 2;
#[on(CallHangup)]
async fn default_name(
    State(seen): State<Seen>,
    call: Event<resource::Call>,
    context: Context,
) -> Result<(), HandlerError> {
    seen.push(format!("{:?} {}", call.id.as_deref(), context.attempt()));
    Ok(())
}

#[on(CallHangup, MessageCreated, name = "given", blocking)]
fn given_name(event: Event<Value>, seen: State<Seen>) {
    seen.push(event.payload().to_string());
}

#[on(any(Call))]
async fn r#type() -> std::fmt::Result {
    Err(std::fmt::Error)
}

#[on(
    "a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l", "m", custom
)]
async fn many() {}

fn delivery() -> Result<Delivery, BodyError> {
    let body = Bytes::from_static(br#"{"type":"call_hangup","data":{"id":"c1"}}"#);
    Delivery::unsigned(body, SystemTime::UNIX_EPOCH)
}

/// What a run left behind.
async fn run(registration: &Registration) -> Result<Vec<String>, Box<dyn Error>> {
    let seen = Seen(Arc::default());
    let mut states = States::default();
    states.insert(seen.clone());
    let states = Arc::new(states);
    let context = Context::new(delivery()?, HandlerName::new(&registration.name)).attempt_number(7);
    if let Err(error) = (registration.call)(context, states).await {
        seen.push(format!("failed: {error}"));
    }
    let seen = seen.0.lock().map_err(|_| "poisoned")?;
    Ok(seen.clone())
}

fn selectors(registration: &Registration) -> Vec<String> {
    registration
        .selectors
        .iter()
        .map(ToString::to_string)
        .collect()
}

#[test]
fn the_attribute_describes_the_registration() {
    let registrations = handlers![default_name, given_name, r#type, many];
    let names: Vec<_> = registrations.iter().map(|one| one.name.as_str()).collect();
    assert_eq!(names, ["default_name", "given", "type", "many"]);

    let listens: Vec<_> = registrations
        .iter()
        .map(|one| selectors(one).join(" "))
        .collect();
    assert_eq!(
        listens,
        [
            "call_hangup",
            "call_hangup message_created",
            "call_*",
            "a b c d e f g h i j k l m custom"
        ]
    );

    let needs: Vec<_> = registrations
        .iter()
        .map(|one| one.needs.states.len())
        .collect();
    assert_eq!(needs, [1, 1, 0, 0]);
}

#[tokio::test]
async fn only_what_blocks_runs_on_a_thread_of_its_own() -> TestResult {
    fn thread() -> String {
        format!("{:?}", std::thread::current().id())
    }

    #[on(CallHangup)]
    async fn here(seen: State<Seen>) {
        seen.push(thread());
    }

    #[on(CallHangup, blocking)]
    fn elsewhere(seen: State<Seen>) {
        seen.push(thread());
    }

    let mut seen = Vec::new();
    for registration in handlers![here, elsewhere] {
        seen.extend(run(&registration).await?);
    }
    let same: Vec<_> = seen.iter().map(|id| *id == thread()).collect();
    assert_eq!(same, [true, false]);
    Ok(())
}

#[test]
fn the_location_is_that_of_the_function() {
    let locations: Vec<_> = handlers![default_name]
        .iter()
        .map(|one| one.location.to_string())
        .collect();
    assert_eq!(locations, [format!("{}:{DEFAULT_LINE}", file!())]);
}

#[tokio::test]
async fn annotated_functions_get_their_arguments() -> TestResult {
    let mut seen = Vec::new();
    for registration in handlers![default_name, given_name, r#type] {
        seen.extend(run(&registration).await?);
    }
    assert_eq!(
        seen,
        [
            r#"Some("c1") 7"#,
            r#"{"id":"c1"}"#,
            "failed: an error occurred when formatting an argument",
        ]
    );
    Ok(())
}

#[tokio::test]
async fn every_kind_of_handler_can_be_registered() -> TestResult {
    struct Audit;

    #[async_trait]
    impl EventHandler for Audit {
        async fn handle(&self, context: Context) -> Result<(), HandlerError> {
            Err(HandlerError::new(context.attempt().to_string()))
        }
    }

    let plain: Blocking<_> = blocking(|seen: State<Seen>, call: Event<resource::Call>| {
        seen.push(format!("blocking {:?}", call.id));
    });
    let registrations = [
        Registration::new(CallHangup, Audit),
        Registration::new(
            (CallHangup, MessageCreated),
            |seen: State<Seen>| async move {
                seen.push("closure");
                Ok::<_, std::fmt::Error>(())
            },
        ),
        Registration::new(CallHangup, plain),
        Registration::new(CallHangup, default_name),
    ];
    let mut seen = Vec::new();
    for registration in &registrations {
        seen.extend(run(registration).await?);
    }
    assert_eq!(
        seen,
        [
            "failed: 7",
            "closure",
            r#"blocking Some("c1")"#,
            r#"Some("c1") 7"#
        ]
    );
    Ok(())
}

#[tokio::test]
async fn an_annotated_function_can_still_be_called() -> TestResult {
    let call = Event::read(&delivery()?).map_err(|error| error.to_string())?;
    let seen = Seen(Arc::default());
    let context = Context::new(delivery()?, HandlerName::new("test"));
    assert!(default_name(State(seen), call, context).await.is_ok());
    assert!(r#type().await.is_err());
    Ok(())
}
