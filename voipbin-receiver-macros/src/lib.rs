//! The `#[on(…)]` attribute and the `handlers![…]` macro of `voipbin-receiver`, which re-exports
//! and documents them. Depend on that crate, not on this one.
//!
//! An attribute goes through four phases, each in a file of its own: `args` and `ast` parse,
//! `validate` finds everything that is wrong, `expand` writes the code and cannot fail, and
//! `fallback` takes its place after an error, so that one mistake is reported once.

mod args;
mod ast;
mod errors;
mod expand;
mod fallback;
mod handlers;
mod validate;
mod words;

use proc_macro::TokenStream;

#[allow(missing_docs, reason = "documented where it is re-exported")]
#[proc_macro_attribute]
pub fn on(args: TokenStream, item: TokenStream) -> TokenStream {
    ast::Function::parse(item.into())
        .map(|function| {
            syn::parse::<args::Args>(args)
                .and_then(|args| validate::handler(args, &function))
                .map(|handler| expand::handler(&handler))
                .unwrap_or_else(|error| fallback::function(&function, &error))
        })
        .unwrap_or_else(|unparsed| fallback::item(&unparsed))
        .into()
}

#[allow(missing_docs, reason = "documented where it is re-exported")]
#[proc_macro]
pub fn handlers(list: TokenStream) -> TokenStream {
    syn::parse::<handlers::List>(list)
        .map(|list| handlers::expand(&list))
        .unwrap_or_else(|error| handlers::fallback(&error))
        .into()
}
