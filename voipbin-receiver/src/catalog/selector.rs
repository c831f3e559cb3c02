use std::fmt;
use std::marker::PhantomData;

use serde::de::DeserializeOwned;
use serde_json::Value;

use super::{EventType, ResourceKind};
use crate::resource::Resource;

/// One entry of an [`EventSet`] as the router sees it: what it takes, and what it takes under other
/// names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Selector {
    matcher: Matcher,
    aliases: Vec<Matcher>,
}

impl Selector {
    pub(crate) fn new(matcher: Matcher, aliases: Vec<Matcher>) -> Self {
        Self { matcher, aliases }
    }

    pub(crate) fn matcher(&self) -> &Matcher {
        &self.matcher
    }

    pub(crate) fn matchers(&self) -> impl Iterator<Item = &Matcher> {
        std::iter::once(&self.matcher).chain(&self.aliases)
    }
}

impl From<Matcher> for Selector {
    fn from(matcher: Matcher) -> Self {
        Self::new(matcher, Vec::new())
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Matcher {
    /// One event of the catalogue, under any of its names: compare what
    /// [`EventType::canonical`] makes of both.
    Type(EventType),
    /// The same, where the payload meets the condition.
    When(EventType, Condition),
    /// Every event that carries this kind of resource.
    Resource(ResourceKind),
    /// Every envelope, known type or not.
    Any,
    /// Every body that is not an envelope.
    Custom,
    /// Every envelope that no other registration takes.
    Fallback,
}

/// What the payload of an event must hold for a handler to take it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Condition {
    pub(crate) direction: &'static str,
}

impl Condition {
    /// Whether a payload of this direction meets the condition.
    pub(crate) fn matches(&self, direction: Option<&str>) -> bool {
        direction == Some(self.direction)
    }
}

/// A set of events that a handler can be registered for.
///
/// Implemented by every unit struct in [`events`](super::events), by tuples of up to twelve of
/// them, and by [`Named`], [`AllOf`], [`Any`], [`Custom`] and [`Fallback`].
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not an event or a set of events",
    note = "use a type from `voipbin_receiver::events`, a tuple of them, `named(\"…\")`, `all_of::<Call>()`, `Any`, `Custom` or `Fallback`"
)]
pub trait EventSet: Send + Sync + 'static {
    /// The parts of the set. A handler runs once per delivery, however many of them match.
    fn selectors(&self) -> Vec<Selector>;
}

/// An event set whose every event carries `T`.
///
/// This is what makes a handler that asks for a `Message` in a call event a compile error. Every
/// set carries [`serde_json::Value`].
pub trait Carries<T>: EventSet {
    /// Reads a payload that is known to be JSON.
    #[doc(hidden)]
    fn read(json: &str) -> serde_json::Result<T>
    where
        T: DeserializeOwned,
    {
        serde_json::from_str(json)
    }
}

/// [`Carries`] from the payload's side: a payload that does not fit is reported here, where the
/// compiler has no catalogue to quote from.
#[doc(hidden)]
#[diagnostic::on_unimplemented(
    message = "the event `{E}` does not carry a `{Self}`",
    label = "this handler asks for an `Event<{Self}>`",
    note = "`voipbin_receiver::events` says which resource an event carries; `Event<serde_json::Value>` fits every event that VoIPBIN writes",
    note = "a function that returns a set says what it carries: `-> impl Carries<{Self}>`"
)]
pub trait CarriedBy<E>: Sized {
    fn read(json: &str) -> serde_json::Result<Self>
    where
        Self: DeserializeOwned;
}

#[diagnostic::do_not_recommend]
impl<E: Carries<T>, T> CarriedBy<E> for T {
    fn read(json: &str) -> serde_json::Result<T>
    where
        T: DeserializeOwned,
    {
        E::read(json)
    }
}

/// Events of the given name, whether or not the catalogue knows it. Made by [`named`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Named(String);

/// Events of the given name, with a payload of your own.
///
/// ```
/// use voipbin_receiver::catalog::named;
///
/// let events = named("case_created");
/// # let _ = events;
/// ```
#[must_use]
pub fn named(name: impl Into<String>) -> Named {
    Named(name.into())
}

impl EventSet for Named {
    fn selectors(&self) -> Vec<Selector> {
        vec![EventType::parse(&self.0).selector()]
    }
}

impl<T: DeserializeOwned + Send + Sync + 'static> Carries<T> for Named {}

/// Every event that carries a `T`. Made by [`all_of`].
#[derive(Clone, Copy, Debug)]
pub struct AllOf<T>(PhantomData<fn() -> T>);

/// Every event that carries a `T`: `all_of::<Call>()` is every `call_*` event.
#[must_use]
pub fn all_of<T: Resource>() -> AllOf<T> {
    AllOf(PhantomData)
}

impl<T: Resource> EventSet for AllOf<T> {
    fn selectors(&self) -> Vec<Selector> {
        vec![Matcher::Resource(T::KIND).into()]
    }
}

impl<T: Resource> Carries<T> for AllOf<T> {
    fn read(json: &str) -> serde_json::Result<T> {
        T::read(json)
    }
}

impl<T: Resource> Carries<Value> for AllOf<T> {}

/// Every envelope, whatever its type.
#[derive(Clone, Copy, Debug)]
pub struct Any;

impl EventSet for Any {
    fn selectors(&self) -> Vec<Selector> {
        vec![Matcher::Any.into()]
    }
}

impl Carries<Value> for Any {}

/// Every signed body that is valid JSON but not an envelope: what the flow action `webhook_send`
/// sends. The payload is the whole body.
#[derive(Clone, Copy, Debug)]
pub struct Custom;

impl EventSet for Custom {
    fn selectors(&self) -> Vec<Selector> {
        vec![Matcher::Custom.into()]
    }
}

impl<T: DeserializeOwned + Send + Sync + 'static> Carries<T> for Custom {}

/// Every envelope that no other registration takes, unknown types included.
#[derive(Clone, Copy, Debug)]
pub struct Fallback;

impl EventSet for Fallback {
    fn selectors(&self) -> Vec<Selector> {
        vec![Matcher::Fallback.into()]
    }
}

impl Carries<Value> for Fallback {}

macro_rules! tuple_of_events {
    ($first:ident $($event:ident)*) => {
        impl<$first: EventSet, $($event: EventSet),*> EventSet for ($first, $($event,)*) {
            #[allow(non_snake_case)]
            fn selectors(&self) -> Vec<Selector> {
                let ($first, $($event,)*) = self;
                #[allow(unused_mut)]
                let mut selectors = $first.selectors();
                $(selectors.extend($event.selectors());)*
                selectors
            }
        }

        impl<T, $first: EventSet, $($event: EventSet),*> Carries<T> for ($first, $($event,)*)
        where
            T: CarriedBy<$first> $(+ CarriedBy<$event>)*,
        {
            fn read(json: &str) -> serde_json::Result<T>
            where
                T: DeserializeOwned,
            {
                <T as CarriedBy<$first>>::read(json)
            }
        }
    };
}

tuple_of_events!(A);
tuple_of_events!(A B);
tuple_of_events!(A B C);
tuple_of_events!(A B C D);
tuple_of_events!(A B C D E);
tuple_of_events!(A B C D E F);
tuple_of_events!(A B C D E F G);
tuple_of_events!(A B C D E F G H);
tuple_of_events!(A B C D E F G H I);
tuple_of_events!(A B C D E F G H I J);
tuple_of_events!(A B C D E F G H I J K);
tuple_of_events!(A B C D E F G H I J K L);

/// The name that a registration gets when none is given.
impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.matcher {
            Matcher::Type(event_type) | Matcher::When(event_type, _) => {
                fmt::Display::fmt(event_type, f)
            }
            Matcher::Resource(kind) => write!(f, "{}_*", kind.as_str()),
            Matcher::Any => f.write_str("*"),
            Matcher::Custom => f.write_str("custom"),
            Matcher::Fallback => f.write_str("fallback"),
        }
    }
}
