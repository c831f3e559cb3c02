//! Which handlers a delivery is for.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use foldhash::fast::RandomState;

use crate::build_error::{BuildError, BuildErrorKind};
use crate::catalog::{CATALOG, Condition, EventType, Matcher, Selector, mistake};
use crate::event::Envelope;
use crate::handler::{
    BoxLayer, HandlerName, HandlerOptions, HandlerService, Registration, RetryPolicy,
    SourceLocation, States,
};
use crate::inbox::HandlerSet;

/// From the type of an event to the handlers it is for, worked out when the receiver is built: a
/// delivery costs one look-up.
pub(crate) struct Router {
    by_type: HashMap<EventType, Route, RandomState>,
    /// For types that neither the catalogue nor a registration names.
    unknown: HandlerSet,
    custom: HandlerSet,
}

/// The registered handlers.
pub(crate) type Handlers = HashMap<HandlerName, Handler, RandomState>;

/// A registered handler as the dispatcher runs it.
pub(crate) struct Handler {
    pub(crate) service: HandlerService,
    pub(crate) retry: RetryPolicy,
    pub(crate) options: HandlerOptions,
}

/// What holds for handlers that do not say otherwise.
pub(crate) struct Defaults {
    pub(crate) options: HandlerOptions,
    /// Around each handler, the first one inside.
    pub(crate) layers: Vec<BoxLayer>,
    /// How many transactions of the inbox's handlers may have at once.
    pub(crate) transactions: usize,
}

/// The handlers of one type of event, in the order in which they were registered.
enum Route {
    /// The same for every event.
    Fixed(HandlerSet),
    /// Some look at the payload.
    Conditional {
        rows: Vec<(HandlerName, Match)>,
        fallback: HandlerSet,
    },
}

/// Whether a handler takes an event.
#[derive(PartialEq)]
enum Match {
    Always,
    /// When the payload meets any of these.
    When(Vec<Condition>),
    Never,
}

impl Router {
    /// Refuses names that are taken twice, states that are missing, and a fallback that could
    /// never run.
    pub(crate) fn build(
        registrations: Vec<Registration>,
        states: &Arc<States>,
        defaults: &Defaults,
        runs_handlers: bool,
    ) -> Result<(Self, Handlers), BuildError> {
        check_events(&registrations)?;
        check_names(&registrations)?;
        if runs_handlers {
            check_states(&registrations, states)?;
            check_transactions(&registrations, defaults)?;
        }
        check_fallbacks(&registrations)?;
        check_limits(&registrations)?;

        let rows: Vec<Subscription> = registrations.iter().map(Subscription::new).collect();
        let fallback = handlers_of(&rows, &Matcher::Fallback);

        let named = rows.iter().flat_map(|row| &row.matchers);
        let named = named.filter_map(|matcher| match matcher {
            Matcher::Type(event_type) | Matcher::When(event_type, _) => {
                Some(event_type.canonical())
            }
            _ => None,
        });
        let known = CATALOG
            .iter()
            .map(|entry| EventType::parse(entry.name).canonical());
        let by_type = known
            .chain(named)
            .map(|event_type| {
                let route = Route::new(&rows, &event_type, &fallback);
                (event_type, route)
            })
            .collect();

        let any = handlers_of(&rows, &Matcher::Any);
        let router = Self {
            by_type,
            unknown: if any.is_empty() { fallback } else { any },
            custom: handlers_of(&rows, &Matcher::Custom),
        };
        let names = rows.into_iter().map(|row| row.name);
        let handlers = registrations.into_iter().map(|registration| {
            let mut options = registration.options.or(&defaults.options);
            if registration.needs.transaction {
                options.concurrency.get_or_insert(defaults.transactions);
            }
            let service = HandlerService::new(registration.call, Arc::clone(states));
            let layers = registration.layers.iter().chain(&defaults.layers);
            Handler {
                service: layers.fold(service, |service, wrap| wrap(service)),
                retry: options.policy(),
                options,
            }
        });
        Ok((router, names.zip(handlers).collect()))
    }

    /// Whether a handler takes events of this type, if only some.
    pub(crate) fn handles(&self, event_type: &EventType) -> bool {
        match self.by_type.get(&event_type.canonical()) {
            Some(Route::Fixed(handlers)) => !handlers.is_empty(),
            Some(Route::Conditional { .. }) => true,
            None => !self.unknown.is_empty(),
        }
    }

    /// The handlers that a body is for, in the order in which they were registered.
    pub(crate) fn route(&self, envelope: &Envelope, body: &[u8]) -> HandlerSet {
        let Some(event_type) = &envelope.event_type else {
            return self.custom.clone();
        };
        match self.by_type.get(&event_type.canonical()) {
            Some(Route::Fixed(handlers)) => handlers.clone(),
            Some(Route::Conditional { rows, fallback }) => {
                let direction = envelope.direction(body);
                let taking = rows
                    .iter()
                    .filter(|(_, matched)| matched.matches(direction));
                let handlers: HandlerSet = taking.map(|(name, _)| name.clone()).collect();
                match handlers.is_empty() {
                    true => fallback.clone(),
                    false => handlers,
                }
            }
            None => self.unknown.clone(),
        }
    }
}

impl Route {
    fn new(rows: &[Subscription], event_type: &EventType, fallback: &HandlerSet) -> Self {
        let rows: Vec<(HandlerName, Match)> = rows
            .iter()
            .map(|row| (row.name.clone(), row.matches(event_type)))
            .filter(|(_, matched)| *matched != Match::Never)
            .collect();
        if rows.is_empty() {
            Self::Fixed(fallback.clone())
        } else if rows.iter().all(|(_, matched)| *matched == Match::Always) {
            Self::Fixed(rows.into_iter().map(|(name, _)| name).collect())
        } else {
            Self::Conditional {
                rows,
                fallback: fallback.clone(),
            }
        }
    }
}

impl Match {
    fn matches(&self, direction: Option<&str>) -> bool {
        match self {
            Self::Always => true,
            Self::When(conditions) => conditions
                .iter()
                .any(|condition| condition.matches(direction)),
            Self::Never => false,
        }
    }
}

/// What one registration listens for.
struct Subscription {
    name: HandlerName,
    matchers: Vec<Matcher>,
}

impl Subscription {
    fn new(registration: &Registration) -> Self {
        Self {
            name: HandlerName::new(&registration.name),
            matchers: registration
                .selectors
                .iter()
                .flat_map(Selector::matchers)
                .cloned()
                .collect(),
        }
    }

    fn matches(&self, event_type: &EventType) -> Match {
        let mut conditions = Vec::new();
        for matcher in &self.matchers {
            match matcher {
                Matcher::Type(wanted) if wanted.canonical() == *event_type => return Match::Always,
                Matcher::Resource(kind) if event_type.resource() == Some(*kind) => {
                    return Match::Always;
                }
                Matcher::Any => return Match::Always,
                Matcher::When(wanted, condition) if wanted.canonical() == *event_type => {
                    conditions.push(*condition);
                }
                _ => {}
            }
        }
        if conditions.is_empty() {
            Match::Never
        } else {
            Match::When(conditions)
        }
    }
}

/// The registrations that name this.
fn handlers_of(rows: &[Subscription], matcher: &Matcher) -> HandlerSet {
    rows.iter()
        .filter(|row| row.matchers.contains(matcher))
        .map(|row| row.name.clone())
        .collect()
}

/// What is wrong with a handler.
fn fault(
    registration: &Registration,
    kind: BuildErrorKind,
    fault: fmt::Arguments<'_>,
) -> BuildError {
    let Registration { name, location, .. } = registration;
    BuildError::new(kind, format!("the handler `{name}` at {location} {fault}"))
}

fn check_names(registrations: &[Registration]) -> Result<(), BuildError> {
    let mut taken: HashMap<&str, SourceLocation> = HashMap::new();
    for Registration { name, location, .. } in registrations {
        if name.trim().is_empty() {
            return Err(BuildError::new(
                BuildErrorKind::EmptyName,
                format!("the handler at {location} has an empty name"),
            ));
        }
        if let Some(first) = taken.insert(name, *location) {
            return Err(BuildError::new(
                BuildErrorKind::DuplicateName,
                format!(
                    "two handlers are named `{name}`: at {first} and at {location}; give one of them a name of its own with `name = \"…\"` in `#[on(…)]` or `Registration::name`"
                ),
            ));
        }
    }
    Ok(())
}

fn check_states(registrations: &[Registration], states: &States) -> Result<(), BuildError> {
    for registration in registrations {
        let mut needs = registration.needs.states.iter();
        if let Some((_, missing)) = needs.find(|(id, _)| !states.has(*id)) {
            return Err(fault(
                registration,
                BuildErrorKind::MissingState,
                format_args!(
                    "asks for `State<{missing}>`, and no `{missing}` was given: add `.state(…)` to the builder"
                ),
            ));
        }
    }
    Ok(())
}

fn check_transactions(
    registrations: &[Registration],
    defaults: &Defaults,
) -> Result<(), BuildError> {
    let most = defaults.transactions;
    for registration in registrations {
        let fault = |kind, text: fmt::Arguments<'_>| Err(fault(registration, kind, text));
        let Registration { needs, options, .. } = registration;
        if needs.completion && most == 0 {
            return fault(
                BuildErrorKind::NoTransactions,
                format_args!(
                    "asks for `Tx` or `Completion`, and the inbox has no transactions: give the builder a `PostgresInbox`"
                ),
            );
        }
        let runs = options.concurrency.or(defaults.options.concurrency);
        if let Some(runs) = runs.filter(|runs| needs.transaction && *runs > most) {
            return fault(
                BuildErrorKind::BadSetting,
                format_args!(
                    "asks for `Tx` and may run {runs} times at once, and the inbox has {most} transactions: lower the handler's `concurrency`, or raise `PostgresInboxBuilder::transactions`"
                ),
            );
        }
    }
    Ok(())
}

fn check_events(registrations: &[Registration]) -> Result<(), BuildError> {
    for registration in registrations {
        let fault = |kind, text: fmt::Arguments<'_>| Err(fault(registration, kind, text));
        let selectors = &registration.selectors;
        if selectors.is_empty() {
            return fault(
                BuildErrorKind::UnreachableHandler,
                format_args!("is for no event: its set of events is empty"),
            );
        }
        for (place, selector) in selectors.iter().enumerate() {
            if let Matcher::Type(EventType::Other(event)) = selector.matcher()
                && let Some(mistake) = mistake(event)
            {
                return fault(
                    BuildErrorKind::BadEventName,
                    format_args!("names `{event}`, which no event is called: {mistake}"),
                );
            }
            if selectors[..place].contains(selector) {
                return fault(
                    BuildErrorKind::DuplicateEvent,
                    format_args!("names `{selector}` twice: leave one out"),
                );
            }
        }
    }
    Ok(())
}

fn check_limits(registrations: &[Registration]) -> Result<(), BuildError> {
    for registration in registrations {
        if let Some(zero) = registration.options.zero() {
            return Err(fault(
                registration,
                BuildErrorKind::BadSetting,
                format_args!("could never run with a `{zero}` of zero"),
            ));
        }
    }
    Ok(())
}

fn check_fallbacks(registrations: &[Registration]) -> Result<(), BuildError> {
    let with = |wanted: Matcher| {
        registrations.iter().find(move |registration| {
            let mut matchers = registration.selectors.iter().flat_map(Selector::matchers);
            matchers.any(|matcher| *matcher == wanted)
        })
    };
    let (Some(any), Some(fallback)) = (with(Matcher::Any), with(Matcher::Fallback)) else {
        return Ok(());
    };
    Err(BuildError::new(
        BuildErrorKind::UnreachableHandler,
        format!(
            "the fallback `{}` at {} can never run, because `{}` at {} takes every event",
            fallback.name, fallback.location, any.name, any.location
        ),
    ))
}
