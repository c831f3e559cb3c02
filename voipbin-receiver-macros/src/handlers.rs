//! `handlers![…]`.

use proc_macro2::{Ident, TokenStream};
use quote::quote;
use syn::parse::{Parse, ParseStream};
use syn::punctuated::Punctuated;
use syn::{Error, Path, Result, Token};

use crate::expand::receiver;

/// The paths of the listed functions.
pub(crate) struct List(Punctuated<Path, Token![,]>);

impl Parse for List {
    fn parse(input: ParseStream<'_>) -> Result<Self> {
        Punctuated::parse_terminated_with(input, handler).map(Self)
    }
}

fn handler(input: ParseStream<'_>) -> Result<Path> {
    let path = input
        .call(Path::parse_mod_style)
        .map_err(|error| Error::new(error.span(), "expected the name of a handler"))?;
    if input.is_empty() || input.peek(Token![,]) {
        Ok(path)
    } else {
        Err(input.error("expected `,`: handlers are listed by name, `handlers![update_crm]`"))
    }
}

/// Each path is imported under an alias. A function without `#[on(…)]` has no type of its name, so
/// that the alias keeps the meaning it has outside: a type that exists to be refused, with words
/// that tell what is missing.
pub(crate) fn expand(List(paths): &List) -> TokenStream {
    let receiver = receiver();
    let registrations = paths.iter().map(|path| {
        let span = path.segments.last().map(|name| name.ident.span());
        let alias = Ident::new(
            "__Handler",
            span.unwrap_or_else(proc_macro2::Span::call_site),
        );
        quote!({
            #[allow(unused_imports)]
            use #path as #alias;
            let () = #alias::NOT_IN_ANY_HANDLERS_LIST;
            <#alias as #receiver::__private::Annotated>::registration()
        })
    });
    quote!({
        #[allow(unused_imports)]
        use #receiver::__private::NotAnnotated as __Handler;
        ::std::vec::Vec::<#receiver::__private::Registration>::from([#(#registrations),*])
    })
}

pub(crate) fn fallback(error: &Error) -> TokenStream {
    let receiver = receiver();
    let error = error.to_compile_error();
    quote!({
        #error
        ::std::vec::Vec::<#receiver::__private::Registration>::new()
    })
}
