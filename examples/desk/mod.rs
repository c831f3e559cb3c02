//! What both apps have in common: the calls that they show, their options, and their end.

pub(crate) mod calls;
pub(crate) mod options;
pub(crate) mod stop;
