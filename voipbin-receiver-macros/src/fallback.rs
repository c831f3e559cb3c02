//! What is left of an item after an error: enough that nothing else breaks because of it.

use proc_macro2::TokenStream;
use quote::quote;
use syn::Error;

use crate::ast::{Function, Unparsed};
use crate::expand;

/// The error, the function as it was, and a stub for `handlers![…]`.
pub(crate) fn function(function: &Function, error: &Error) -> TokenStream {
    let error = error.to_compile_error();
    let item = &function.item;
    // An `impl` block cannot hold the stub, and a second `#[on(…)]` brings it anyway.
    let stub = if function.is_method() || function.other_on().is_some() {
        TokenStream::new()
    } else {
        expand::annotation(function, &quote!(::core::unreachable!()))
    };
    quote! {
        #error
        #item
        #stub
    }
}

pub(crate) fn item(Unparsed { item, error }: &Unparsed) -> TokenStream {
    let error = error.to_compile_error();
    quote! {
        #error
        #item
    }
}
