//! The item that `#[on(…)]` stands on.

use proc_macro2::TokenStream;
use syn::parse::{ParseStream, Parser};
use syn::{Abi, Attribute, Error, Result, Signature, Token, Visibility};

/// A function, of which only the head is read: a half-typed body is for the compiler to report.
pub(crate) struct Function {
    pub(crate) attrs: Vec<Attribute>,
    pub(crate) vis: Visibility,
    pub(crate) sig: Signature,
    /// The whole function, exactly as it was written.
    pub(crate) item: TokenStream,
}

/// An item that is not a function.
pub(crate) struct Unparsed {
    pub(crate) item: TokenStream,
    pub(crate) error: Error,
}

impl Function {
    pub(crate) fn parse(item: TokenStream) -> std::result::Result<Self, Unparsed> {
        match head.parse2(item.clone()) {
            Ok((attrs, vis, sig)) => Ok(Self {
                attrs,
                vis,
                sig,
                item,
            }),
            Err(error) => Err(Unparsed { item, error }),
        }
    }

    pub(crate) fn is_method(&self) -> bool {
        self.sig.receiver().is_some()
    }

    /// A second `#[on(…)]` on the same function.
    pub(crate) fn other_on(&self) -> Option<&Attribute> {
        self.attrs.iter().find(|attr| {
            attr.path()
                .segments
                .last()
                .is_some_and(|name| name.ident == "on")
        })
    }

    /// The conditions under which the function exists, and so all that is made for it.
    pub(crate) fn cfgs(&self) -> impl Iterator<Item = &Attribute> {
        self.attrs.iter().filter(|attr| attr.path().is_ident("cfg"))
    }
}

fn head(input: ParseStream<'_>) -> Result<(Vec<Attribute>, Visibility, Signature)> {
    let attrs = input.call(Attribute::parse_outer)?;
    let vis = input.parse()?;
    if !is_function(input)? {
        return Err(input.error(
            "`#[on]` is for functions: implement `EventHandler` for a type, and give a closure to `.on(…)`",
        ));
    }
    let sig = input.parse()?;
    input.parse::<TokenStream>()?;
    Ok((attrs, vis, sig))
}

fn is_function(input: ParseStream<'_>) -> Result<bool> {
    let ahead = input.fork();
    ahead.parse::<Option<Token![const]>>()?;
    ahead.parse::<Option<Token![async]>>()?;
    ahead.parse::<Option<Token![unsafe]>>()?;
    ahead.parse::<Option<Abi>>()?;
    Ok(ahead.peek(Token![fn]))
}
