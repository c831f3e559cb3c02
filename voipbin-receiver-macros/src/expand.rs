//! The code for a handler that was found to be right.

use std::time::Duration;

use proc_macro_crate::{FoundCrate, crate_name};
use proc_macro2::{Delimiter, Group, Ident, Literal, Span, TokenStream, TokenTree};
use quote::{ToTokens, quote, quote_spanned};
use syn::ReturnType;

use crate::args::Events;
use crate::ast::Function;
use crate::validate::{Handler, Limits, Mode};

/// As many as there are tuples that implement `EventSet`.
const MAX_TUPLE: usize = 12;

pub(crate) fn handler(handler: &Handler<'_>) -> TokenStream {
    let item = &handler.function.item;
    let annotation = annotation(handler.function, &registration(handler));
    quote! {
        // Whether it is used is told by its annotation.
        #[allow(dead_code)]
        #item
        #annotation
    }
}

/// A type with the function's name, for `handlers![…]` to find. Functions and types with braces
/// live in different namespaces, and one `use` imports both.
pub(crate) fn annotation(function: &Function, registration: &TokenStream) -> TokenStream {
    let Function { vis, sig, .. } = function;
    let cfgs: Vec<_> = function.cfgs().collect();
    let ident = &sig.ident;
    let receiver = receiver();
    // The name is what the compiler says of a function that is in no list. It is silent about code
    // of a macro.
    let unlisted = quote_spanned! {ident.span()=>
        #(#cfgs)*
        impl #ident {
            #[doc(hidden)]
            #vis const NOT_IN_ANY_HANDLERS_LIST: () = ();
        }
    };
    quote! {
        #(#cfgs)*
        #[doc(hidden)]
        #[allow(
            non_camel_case_types,
            unreachable_pub,
            missing_copy_implementations,
            missing_debug_implementations
        )]
        #vis struct #ident {}

        #unlisted

        #(#cfgs)*
        #[automatically_derived]
        #[allow(deprecated, unused_qualifications, clippy::all, clippy::pedantic)]
        impl #receiver::__private::Annotated for #ident {
            fn registration() -> #receiver::__private::Registration {
                #registration
            }
        }
    }
}

/// The body of `Annotated::registration`.
///
/// Each argument, and what the function returns, is checked by a call of its own under the span of
/// its type, so that the compiler blames the type that does not fit and nothing else. The types are
/// inferred: one that does not exist would be reported a second time if it were named here.
fn registration(handler: &Handler<'_>) -> TokenStream {
    let Handler {
        function,
        name,
        mode,
        arguments,
        ..
    } = handler;
    let ident = &function.sig.ident;
    let receiver = receiver();
    let events = events(&handler.events);

    // Not hygienic like the others: it is named under spans of the user's, too.
    let builder = Ident::new("__builder", Span::call_site());
    let outcome = local("outcome");
    let ended = local("ended");
    let parts = local("parts");
    let extractors: Vec<Ident> = (0..arguments.len())
        .map(|index| local(&format!("argument_{index}")))
        .collect();

    let extract = extractors.iter().zip(arguments).map(|(extractor, ty)| {
        let argument = call_under(ty, "argument_of", Some(&builder));
        quote!(let #extractor = #argument;)
    });
    let outcome_of = match &function.sig.output {
        ReturnType::Default => call_under(ident, "outcome_of", None),
        ReturnType::Type(_, ty) => call_under(ty, "outcome_of", None),
    };
    let location = quote_spanned! {ident.span()=>
        #receiver::__private::SourceLocation::new(::core::file!(), ::core::line!())
    };
    let options = options(&handler.limits);
    let call = match mode {
        Mode::Async => quote!(#outcome(#ident(#(#extractors),*).await)),
        Mode::Blocking => quote! {
            #receiver::__private::run_blocking(&#parts, move || #outcome(#ident(#(#extractors),*)))
                .await
        },
    };
    let finish = quote_spanned! {ident.span()=>
        #builder.finish(#name, #location, move |mut #parts| async move {
            #(let #extractors = #extractors(&mut #parts).await?;)*
            let #ended = #call;
            #parts.end(#ended).await
        })
    };
    quote! {
        #[allow(unused_mut)]
        let mut #builder = #receiver::__private::RegistrationBuilder::new(#events);
        #(#extract)*
        let #outcome = #outcome_of;
        #finish #options
    }
}

/// The call that hands what the attribute limits to the registration.
fn options(limits: &Limits) -> TokenStream {
    let Limits {
        attempts,
        backoff,
        timeout,
        concurrency,
        strict,
        skip_stale,
    } = limits;
    let attempts = attempts.iter().map(|attempts| quote!(.attempts(#attempts)));
    let backoff = backoff.iter().map(|(first, longest)| {
        let (first, longest) = (duration(*first), duration(*longest));
        quote!(.backoff(#first, #longest))
    });
    let timeout = timeout.iter().map(|timeout| {
        let timeout = duration(*timeout);
        quote!(.timeout(#timeout))
    });
    let concurrency = concurrency.iter().map(|runs| {
        let runs = Literal::u32_unsuffixed(*runs);
        quote!(.concurrency(#runs))
    });
    let strict = strict.then(|| quote!(.strict()));
    let skip_stale = skip_stale.then(|| quote!(.skip_stale()));
    let options =
        quote!(#(#attempts)* #(#backoff)* #(#timeout)* #(#concurrency)* #strict #skip_stale);
    if options.is_empty() {
        return options;
    }
    let receiver = receiver();
    quote!(.options(#receiver::HandlerOptions::new() #options))
}

fn duration(duration: Duration) -> TokenStream {
    // It was made of milliseconds that fit.
    let millis = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    quote!(::core::time::Duration::from_millis(#millis))
}

/// A call of one of the receiver's functions, spanned so that an error in any part of it underlines
/// all of `blamed`: compilers join the spans of the first and the last token of an expression.
fn call_under(blamed: &impl ToTokens, function: &str, builder: Option<&Ident>) -> TokenStream {
    let tokens: Vec<_> = blamed.to_token_stream().into_iter().collect();
    let first = tokens
        .first()
        .map_or_else(Span::call_site, |token| edges(token).0);
    let last = tokens
        .last()
        .map_or_else(Span::call_site, |token| edges(token).1);

    let receiver = receiver_at(first);
    let function = Ident::new(function, last);
    let argument = builder.map(|builder| {
        let builder = Ident::new(&builder.to_string(), last);
        quote_spanned!(first=> &mut #builder)
    });
    let mut parentheses = Group::new(Delimiter::Parenthesis, argument.to_token_stream());
    parentheses.set_span(last);
    quote_spanned!(first=> #receiver::__private::#function #parentheses)
}

/// Where a token begins and ends.
fn edges(token: &TokenTree) -> (Span, Span) {
    match token {
        TokenTree::Group(group) => (group.span_open(), group.span_close()),
        other => (other.span(), other.span()),
    }
}

/// The entries as one tuple, of as many levels as they need.
fn events(entries: &[Events]) -> TokenStream {
    let mut level: Vec<TokenStream> = entries.iter().map(event).collect();
    while level.len() > MAX_TUPLE {
        level = level
            .chunks(MAX_TUPLE)
            .map(|entries| quote!((#(#entries,)*)))
            .collect();
    }
    // An error in a lone event is then not one in the attribute as a whole.
    let span = match level.as_slice() {
        [alone] => alone
            .clone()
            .into_iter()
            .last()
            .map(|token| edges(&token).1),
        _ => None,
    };
    quote_spanned!(span.unwrap_or_else(Span::call_site)=> (#(#level,)*))
}

fn event(entry: &Events) -> TokenStream {
    let receiver = receiver();
    match entry {
        Events::Catalogue(name) => quote!(#receiver::events::#name),
        Events::Own(path) => quote!(#path),
        Events::Named(name) => quote!(#receiver::catalog::named(#name)),
        Events::AllOf(path) => match path.get_ident() {
            Some(name) => quote!(#receiver::catalog::all_of::<#receiver::resource::#name>()),
            None => quote!(#receiver::catalog::all_of::<#path>()),
        },
        Events::Any(word) => quote_spanned!(word.span()=> #receiver::catalog::Any),
        Events::Custom(word) => quote_spanned!(word.span()=> #receiver::catalog::Custom),
        Events::Fallback(word) => quote_spanned!(word.span()=> #receiver::catalog::Fallback),
    }
}

/// A local variable that no name of the user's can mean.
fn local(name: &str) -> Ident {
    Ident::new(name, Span::mixed_site())
}

/// The path of `voipbin-receiver` in the crate that is being compiled, whatever it is called there.
pub(crate) fn receiver() -> TokenStream {
    receiver_at(Span::call_site())
}

fn receiver_at(span: Span) -> TokenStream {
    let name = match crate_name("voipbin-receiver") {
        Ok(FoundCrate::Name(name)) => name,
        // The receiver's own tests and doctests know it by its name too. So does, most likely, a
        // build without Cargo.
        Ok(FoundCrate::Itself) | Err(_) => "voipbin_receiver".to_owned(),
    };
    let name = Ident::new(&name, span);
    quote_spanned!(span=> ::#name)
}
