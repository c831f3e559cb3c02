//! What stands between the parentheses of `#[on(…)]`.

use proc_macro2::{Span, TokenStream};
use quote::ToTokens;
use syn::ext::IdentExt;
use syn::parse::{Parse, ParseStream};
use syn::{
    Error, Expr, ExprLit, Ident, Lit, LitInt, LitStr, Path, Result, Token, parenthesized, token,
};

use crate::errors::Errors;
use crate::words;

/// The events and options of one attribute, each well formed on its own.
#[derive(Default)]
pub(crate) struct Args {
    pub(crate) events: Vec<Events>,
    pub(crate) options: Options,
}

/// One entry of the list of events.
pub(crate) enum Events {
    /// `CallHangup`: a name of the catalogue; the compiler checks that it exists.
    Catalogue(Ident),
    /// `my::Events`: an `EventSet` of the user's own.
    Own(Path),
    /// `"number_renewed"`
    Named(LitStr),
    /// `any(Call)`
    AllOf(Path),
    /// `any`
    Any(Ident),
    /// `custom`
    Custom(Ident),
    /// `fallback`
    Fallback(Ident),
}

impl Events {
    /// Sets of events that have a word of their own.
    const WORDS: [&'static str; 3] = ["any", "custom", "fallback"];

    fn from_word(word: &Ident) -> Option<Self> {
        match word.to_string().as_str() {
            "any" => Some(Self::Any(word.clone())),
            "custom" => Some(Self::Custom(word.clone())),
            "fallback" => Some(Self::Fallback(word.clone())),
            _ => None,
        }
    }

    /// What an error about this entry points at.
    pub(crate) fn tokens(&self) -> &dyn ToTokens {
        match self {
            Self::Catalogue(word) | Self::Any(word) | Self::Custom(word) | Self::Fallback(word) => {
                word
            }
            Self::Own(path) | Self::AllOf(path) => path,
            Self::Named(name) => name,
        }
    }
}

/// One option, as a row of the table below.
struct OptionSpec {
    name: &'static str,
    usage: &'static str,
    set: fn(&mut Options, Given<'_>) -> Result<()>,
}

macro_rules! options {
    ($($name:ident: $kind:ident $type:ty, $usage:literal;)+) => {
        /// What the options of an attribute were set to.
        #[derive(Default)]
        pub(crate) struct Options {
            $(pub(crate) $name: Option<$type>,)+
        }

        const OPTIONS: &[OptionSpec] = &[
            $(OptionSpec {
                name: stringify!($name),
                usage: $usage,
                set: |options, given| given.$kind(&mut options.$name),
            },)+
        ];
    };
}

options! {
    blocking: flag Span, "blocking";
    name: string LitStr, "name = \"…\"";
    attempts: number LitInt, "attempts = 5";
    backoff: string LitStr, "backoff = \"1s..10m\"";
    timeout: string LitStr, "timeout = \"30s\"";
    concurrency: number LitInt, "concurrency = 4";
    strict: flag Span, "strict";
    skip_stale: flag Span, "skip_stale";
}

/// An option as it was written.
struct Given<'a> {
    spec: &'a OptionSpec,
    word: &'a Ident,
    value: Option<&'a Expr>,
}

impl Given<'_> {
    fn flag(self, slot: &mut Option<Span>) -> Result<()> {
        if let Some(value) = self.value {
            let usage = self.spec.usage;
            return Err(Error::new_spanned(
                value,
                format!("this takes no value: write `{usage}`"),
            ));
        }
        self.fill(slot, self.word.span())
    }

    fn string(self, slot: &mut Option<LitStr>) -> Result<()> {
        match self.value {
            Some(Expr::Lit(ExprLit {
                lit: Lit::Str(text),
                ..
            })) => self.fill(slot, text.clone()),
            _ => Err(self.lacks("a string literal")),
        }
    }

    fn number(self, slot: &mut Option<LitInt>) -> Result<()> {
        match self.value {
            Some(Expr::Lit(ExprLit {
                lit: Lit::Int(number),
                ..
            })) if number.suffix().is_empty() => self.fill(slot, number.clone()),
            _ => Err(self.lacks("a whole number")),
        }
    }

    /// There is no value, or one of another kind.
    fn lacks(&self, wanted: &str) -> Error {
        let OptionSpec { name, usage, .. } = self.spec;
        match self.value {
            Some(other) => {
                Error::new_spanned(other, format!("`{name}` takes {wanted}: write `{usage}`"))
            }
            None => Error::new_spanned(
                self.word,
                format!("`{name}` takes a value: write `{usage}`"),
            ),
        }
    }

    fn fill<T>(&self, slot: &mut Option<T>, value: T) -> Result<()> {
        match slot.replace(value) {
            None => Ok(()),
            Some(_) => Err(Error::new_spanned(
                self.word,
                format!("`{}` is given twice: remove one of the two", self.spec.name),
            )),
        }
    }
}

impl Options {
    fn set(&mut self, word: &Ident, value: Option<&Expr>) -> Result<()> {
        match OPTIONS.iter().find(|spec| word == spec.name) {
            Some(spec) => (spec.set)(self, Given { spec, word, value }),
            None => Err(unknown_option(word)),
        }
    }
}

/// One comma-separated piece, before anyone asks what it means.
enum Piece {
    Text(LitStr),
    Word(Ident),
    AnyOf(Path),
    Assign(Ident, Expr),
    Path(Path),
}

impl Parse for Piece {
    fn parse(input: ParseStream<'_>) -> Result<Self> {
        if input.peek(LitStr) {
            return input.parse().map(Self::Text);
        }
        if input.peek(Lit) {
            return Err(input.error("expected an event such as `CallHangup`, or a name in quotes"));
        }
        if input.peek(Ident::peek_any) && input.peek2(Token![=]) {
            let word = input.call(Ident::parse_any)?;
            input.parse::<Token![=]>()?;
            return Ok(Self::Assign(word, bare(input.parse()?)));
        }
        if input.peek(Ident) && input.peek2(token::Paren) {
            let word: Ident = input.parse()?;
            let inner;
            parenthesized!(inner in input);
            if word != "any" {
                return Err(Error::new_spanned(
                    &word,
                    "only `any` takes a resource: `any(Call)`",
                ));
            }
            if inner.is_empty() {
                return Err(Error::new_spanned(
                    &word,
                    "name a resource, `any(Call)`, or write `any` for every event",
                ));
            }
            let resource = inner.call(Path::parse_mod_style)?;
            if !inner.is_empty() {
                return Err(inner.error("one resource each: `any(Call), any(Message)`"));
            }
            return Ok(Self::AnyOf(resource));
        }
        if input.peek(Ident) && !input.peek2(Token![::]) {
            return input.parse().map(Self::Word);
        }
        input.call(Path::parse_mod_style).map(Self::Path)
    }
}

impl Args {
    fn add(&mut self, piece: Piece) -> Result<()> {
        let events = match piece {
            Piece::Assign(word, value) => return self.options.set(&word, Some(&value)),
            Piece::Word(word) if OPTIONS.iter().any(|spec| word == spec.name) => {
                return self.options.set(&word, None);
            }
            Piece::Word(word) => event(word)?,
            Piece::AnyOf(resource) => all_of(resource)?,
            Piece::Text(name) => named(name)?,
            Piece::Path(path) => Events::Own(path),
        };
        self.events.push(events);
        Ok(())
    }
}

impl Parse for Args {
    fn parse(input: ParseStream<'_>) -> Result<Self> {
        let mut args = Self::default();
        let mut errors = Errors::default();
        while !input.is_empty() {
            match next(input) {
                Ok(piece) => errors.take(args.add(piece)),
                Err(error) => {
                    errors.push(error);
                    // What follows cannot be told apart any more.
                    input.parse::<TokenStream>()?;
                }
            }
        }
        errors.or(args)
    }
}

fn next(input: ParseStream<'_>) -> Result<Piece> {
    let piece = input.parse()?;
    if input.peek(Token![|]) {
        return Err(
            input.error("several events are separated by commas: `CallHangup, CallProgressing`")
        );
    }
    if !input.is_empty() {
        input.parse::<Token![,]>()?;
    }
    Ok(piece)
}

/// The expression without the invisible group that a `macro_rules!` puts around its fragments.
fn bare(value: Expr) -> Expr {
    match value {
        Expr::Group(group) => bare(*group.expr),
        other => other,
    }
}

fn event(word: Ident) -> Result<Events> {
    let text = word.unraw().to_string();
    if words::is_pascal_case(&text) {
        return Ok(Events::Catalogue(word));
    }
    Events::from_word(&word).ok_or_else(|| unknown_word(&word, &text))
}

/// A name in quotes is exact. What no event can be called is refused here; what is near to a name
/// of the catalogue, which this crate does not have, when the receiver is built.
fn named(name: LitStr) -> Result<Events> {
    let text = name.value();
    let wrong = if text.trim().is_empty() {
        "the name of the event is empty".to_owned()
    } else if Events::WORDS.contains(&text.as_str()) {
        format!("in quotes this is the name of an event: write `{text}` without them")
    } else if text.contains(['*', '|', ',', '^', '$', '%']) {
        "names in quotes are exact: write `any(Call)` for every event of a call, `any` for all events, and \
         several names one by one, `\"one\", \"two\"`"
            .to_owned()
    } else if words::is_pascal_case(&text) && text.chars().all(char::is_alphanumeric) {
        format!("events are sent under names such as `call_hangup`: write `{text}` without quotes")
    } else {
        return Ok(Events::Named(name));
    };
    Err(Error::new_spanned(name, wrong))
}

fn all_of(resource: Path) -> Result<Events> {
    match resource.get_ident().map(ToString::to_string) {
        Some(name) if !words::is_pascal_case(&name) => Err(Error::new_spanned(
            resource,
            format!(
                "resources are named in PascalCase: `{}`",
                words::to_pascal_case(&name)
            ),
        )),
        _ => Ok(Events::AllOf(resource)),
    }
}

fn unknown_word(word: &Ident, text: &str) -> Error {
    let known = Events::WORDS
        .into_iter()
        .chain(OPTIONS.iter().map(|spec| spec.name));
    let message = match words::nearest(text, known) {
        Some(meant) => format!("unknown word `{text}`: did you mean `{meant}`?"),
        None if text.contains('_') || text.contains(char::is_uppercase) => {
            format!(
                "events are named in PascalCase: `{}`",
                words::to_pascal_case(text)
            )
        }
        None => format!(
            "unknown word `{text}`: events are named in PascalCase, such as `CallHangup`; \
             `any`, `any(Call)`, `custom` and `fallback` stand for several"
        ),
    };
    Error::new(word.span(), message)
}

fn unknown_option(word: &Ident) -> Error {
    let text = word.unraw().to_string();
    let message = match words::nearest(&text, OPTIONS.iter().map(|spec| spec.name)) {
        Some(meant) => format!("unknown option `{text}`: did you mean `{meant}`?"),
        None => {
            let usages: Vec<_> = OPTIONS
                .iter()
                .map(|spec| format!("`{}`", spec.usage))
                .collect();
            format!(
                "unknown option `{text}`: the options are {}",
                usages.join(", ")
            )
        }
    };
    Error::new(word.span(), message)
}

#[cfg(test)]
mod tests;
