//! Everything that can be wrong with a handler and does not need types to be seen.

use std::collections::HashSet;
use std::time::Duration;

use proc_macro2::{Span, TokenStream, TokenTree};
use quote::ToTokens;
use syn::ext::IdentExt;
use syn::{Error, FnArg, LitInt, LitStr, Result, Safety, Type};

use crate::args::{Args, Events, Options};
use crate::ast::Function;
use crate::errors::Errors;
use crate::words;

/// As many as closures can have.
const MAX_ARGUMENTS: usize = 8;

/// A handler that can be expanded.
pub(crate) struct Handler<'a> {
    pub(crate) function: &'a Function,
    pub(crate) events: Vec<Events>,
    pub(crate) name: String,
    pub(crate) mode: Mode,
    pub(crate) arguments: Vec<&'a Type>,
    pub(crate) limits: Limits,
}

/// What the runs of a handler are held to, where its attribute says so.
pub(crate) struct Limits {
    pub(crate) attempts: Option<u32>,
    /// The first and the longest wait.
    pub(crate) backoff: Option<(Duration, Duration)>,
    pub(crate) timeout: Option<Duration>,
    pub(crate) concurrency: Option<u32>,
    pub(crate) strict: bool,
    pub(crate) skip_stale: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    Async,
    Blocking,
}

pub(crate) fn handler(args: Args, function: &Function) -> Result<Handler<'_>> {
    let Args { events, options } = args;
    let mut errors = Errors::default();
    check_events(&events, &mut errors);
    check_attributes(function, &mut errors);
    check_qualifiers(function, &mut errors);
    let mode = check_mode(&options, function, &mut errors);
    check_generics(function, &mut errors);
    let arguments = check_arguments(function, &mut errors);
    let name = check_name(&options, function, &mut errors);
    let limits = check_limits(&options, &mut errors);
    errors.or(Handler {
        function,
        events,
        name,
        mode,
        arguments,
        limits,
    })
}

fn check_events(events: &[Events], errors: &mut Errors) {
    if events.is_empty() {
        errors.push(Error::new(
            Span::call_site(),
            "name at least one event: `#[on(CallHangup)]`, or `#[on(any)]` for all of them",
        ));
    }
    let mut seen = HashSet::new();
    for entry in events {
        if !seen.insert(identity(entry)) {
            errors.push(Error::new_spanned(
                entry.tokens(),
                "this event is listed twice: remove one of the two",
            ));
        } else if events.iter().any(|other| matches!(other, Events::Any(_))) {
            match entry {
                // A custom delivery is not an event, so `any` does not cover it.
                Events::Any(_) | Events::Custom(_) | Events::Own(_) => {}
                Events::Fallback(_) => errors.push(Error::new_spanned(
                    entry.tokens(),
                    "`any` leaves nothing for `fallback`: remove one of the two",
                )),
                _ => errors.push(Error::new_spanned(
                    entry.tokens(),
                    "`any` covers this event already: remove one of the two",
                )),
            }
        }
    }
}

/// Equal for entries that mean the same, however they are written.
fn identity(entry: &Events) -> String {
    match entry {
        Events::Catalogue(name) => name.unraw().to_string(),
        Events::Named(name) => {
            let name = name.value();
            let letter = |c: char| c == '_' || c.is_ascii_lowercase() || c.is_ascii_digit();
            let snake_case = name.chars().all(letter);
            if snake_case {
                words::to_pascal_case(&name)
            } else {
                format!("{name:?}")
            }
        }
        Events::Own(path) => path.to_token_stream().to_string(),
        Events::AllOf(path) => format!("any({})", path.to_token_stream()),
        Events::Any(word) | Events::Custom(word) | Events::Fallback(word) => word.to_string(),
    }
}

fn check_attributes(function: &Function, errors: &mut Errors) {
    if let Some(other) = function.other_on() {
        errors.push(Error::new_spanned(
            other,
            "one `#[on(…)]` is enough: list all events in it, `#[on(CallHangup, CallProgressing)]`",
        ));
    }
}

fn check_qualifiers(function: &Function, errors: &mut Errors) {
    let sig = &function.sig;
    let refused: [(&dyn ToTokens, &str); 4] = [
        (&sig.constness, "const"),
        (&unsafety(&sig.safety), "unsafe"),
        (&sig.abi, "extern"),
        (&sig.variadic, "variadic"),
    ];
    for (tokens, word) in refused {
        if !tokens.to_token_stream().is_empty() {
            errors.push(Error::new_spanned(
                tokens,
                format!("a handler cannot be `{word}`: wrap the function in one that is not"),
            ));
        }
    }
    if let Some(receiver) = sig.receiver() {
        errors.push(Error::new_spanned(
            receiver,
            "a handler is a free function: take the value as `State<…>`, or implement `EventHandler` for the type",
        ));
    }
}

fn unsafety(safety: &Safety) -> Option<&syn::Token![unsafe]> {
    match safety {
        Safety::Unsafe(token) => Some(token),
        _ => None,
    }
}

fn check_mode(options: &Options, function: &Function, errors: &mut Errors) -> Mode {
    match (options.blocking, &function.sig.asyncness) {
        (None, Some(_)) => Mode::Async,
        (Some(_), None) => Mode::Blocking,
        (None, None) => {
            errors.push(Error::new(
                function.sig.fn_token.span,
                "a handler is an `async fn`; for one that blocks its thread, add `blocking` to `#[on(…)]`",
            ));
            Mode::Async
        }
        (Some(_), Some(asyncness)) => {
            errors.push(Error::new(
                asyncness.span,
                "a `blocking` handler is a plain `fn`: remove `async` here, or `blocking` from `#[on(…)]`",
            ));
            Mode::Blocking
        }
    }
}

fn check_generics(function: &Function, errors: &mut Errors) {
    let generics = &function.sig.generics;
    if !generics.params.is_empty() {
        let only_lifetimes = generics.lifetimes().count() == generics.params.len();
        errors.push(Error::new_spanned(
            &generics.params,
            if only_lifetimes {
                "a handler owns its arguments: remove the lifetime"
            } else {
                "a handler cannot be generic: name the types, or implement `EventHandler` for a generic type"
            },
        ));
    } else if let Some(clause) = &generics.where_clause {
        errors.push(Error::new_spanned(
            clause,
            "a handler cannot be generic: remove the `where`",
        ));
    }
}

fn check_arguments<'a>(function: &'a Function, errors: &mut Errors) -> Vec<&'a Type> {
    let types: Vec<&Type> = function
        .sig
        .inputs
        .iter()
        .filter_map(|input| match input {
            FnArg::Typed(argument) => Some(&*argument.ty),
            FnArg::Receiver(_) => None,
        })
        .collect();
    for ty in &types {
        match bare(ty) {
            Type::Reference(reference) => errors.push(Error::new_spanned(
                reference,
                format!("take it by value: `{}`", source(&reference.elem)),
            )),
            _ => errors.take(refuse_impl_trait(ty)),
        }
    }
    if let Some(surplus) = types.get(MAX_ARGUMENTS) {
        errors.push(Error::new_spanned(
            surplus,
            format!("a handler takes at most {MAX_ARGUMENTS} arguments: put several states into one struct"),
        ));
    }
    types
}

/// The type without the invisible group that a `macro_rules!` puts around its fragments.
fn bare(ty: &Type) -> &Type {
    match ty {
        Type::Group(group) => bare(&group.elem),
        other => other,
    }
}

fn refuse_impl_trait(ty: &Type) -> Result<()> {
    fn find(tokens: TokenStream) -> Option<Span> {
        tokens.into_iter().find_map(|token| match token {
            TokenTree::Ident(word) if word == "impl" => Some(word.span()),
            TokenTree::Group(group) => find(group.stream()),
            _ => None,
        })
    }
    match find(ty.to_token_stream()) {
        Some(span) => Err(Error::new(
            span,
            "a handler cannot be generic: write a type instead of `impl …`",
        )),
        None => Ok(()),
    }
}

fn check_name(options: &Options, function: &Function, errors: &mut Errors) -> String {
    match &options.name {
        Some(given) => {
            let name = given.value();
            if name.trim().is_empty() {
                errors.push(Error::new_spanned(
                    given,
                    "the name is empty: handlers are counted, completed and resumed by name",
                ));
            }
            name
        }
        None => function.sig.ident.unraw().to_string(),
    }
}

fn check_limits(options: &Options, errors: &mut Errors) -> Limits {
    Limits {
        attempts: check(options.attempts.as_ref(), "attempts", count, errors),
        backoff: check(options.backoff.as_ref(), "backoff", backoff, errors),
        timeout: check(options.timeout.as_ref(), "timeout", time, errors),
        concurrency: check(options.concurrency.as_ref(), "concurrency", count, errors),
        strict: options.strict.is_some(),
        skip_stale: options.skip_stale.is_some(),
    }
}

/// The value of an option, if it is there and makes sense.
fn check<L, T>(
    given: Option<&L>,
    option: &str,
    read: fn(&L, &str) -> Result<T>,
    errors: &mut Errors,
) -> Option<T> {
    match read(given?, option) {
        Ok(value) => Some(value),
        Err(error) => {
            errors.push(error);
            None
        }
    }
}

fn count(given: &LitInt, option: &str) -> Result<u32> {
    match given.base10_parse() {
        Ok(0) => Err(Error::new_spanned(
            given,
            format!("with zero `{option}` the handler could never run: write 1 or more"),
        )),
        Ok(count) => Ok(count),
        Err(_) => Err(Error::new_spanned(
            given,
            format!("`{option}` is at most {}", u32::MAX),
        )),
    }
}

fn time(given: &LitStr, option: &str) -> Result<Duration> {
    match duration(given, &given.value(), option)? {
        Duration::ZERO => Err(Error::new_spanned(
            given,
            format!("with zero `{option}` the handler could never run: write \"1ms\" or more"),
        )),
        time => Ok(time),
    }
}

/// Two times such as `1s..10m`.
fn backoff(given: &LitStr, option: &str) -> Result<(Duration, Duration)> {
    let text = given.value();
    let Some((first, longest)) = text.split_once("..") else {
        return Err(Error::new_spanned(
            given,
            format!("`{option}` takes the first and the longest wait: \"1s..10m\""),
        ));
    };
    let first = duration(given, first, option)?;
    let longest = duration(given, longest, option)?;
    if first > longest {
        return Err(Error::new_spanned(
            given,
            format!("the first wait of `{option}` is longer than the longest one"),
        ));
    }
    Ok((first, longest))
}

/// A time such as `500ms`.
fn duration(given: &LitStr, text: &str, option: &str) -> Result<Duration> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let unit = match unit {
        "ms" => Some(1),
        "s" => Some(1_000),
        "m" => Some(60 * 1_000),
        "h" => Some(60 * 60 * 1_000),
        _ => None,
    };
    let (Some(unit), false) = (unit, number.is_empty()) else {
        return Err(Error::new_spanned(
            given,
            format!(
                "`{option}` takes a whole number of `ms`, `s`, `m` or `h`: \"500ms\", \"30s\", \"5m\", \"1h\""
            ),
        ));
    };
    let millis = number
        .parse()
        .ok()
        .and_then(|number: u64| number.checked_mul(unit));
    millis.map(Duration::from_millis).ok_or_else(|| {
        Error::new_spanned(
            given,
            format!("`{option}` is longer than can be counted: leave it out for no limit"),
        )
    })
}

/// A type as its author would write it: tokens alone come out as `Event < Call >`.
fn source(ty: &Type) -> String {
    let tokens = ty.to_token_stream().to_string();
    tokens
        .replace(" < ", "<")
        .replace(" >", ">")
        .replace(" :: ", "::")
        .replace(" ,", ",")
}

#[cfg(test)]
mod tests;
