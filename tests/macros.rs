//! What `#[on(…)]` and `handlers![…]` accept, and what they say about everything else.
//!
//! `TRYBUILD=overwrite cargo test --test macros` writes the expected messages anew.

#[test]
fn a_mistake_is_reported_once_and_where_it_was_made() {
    trybuild::TestCases::new().compile_fail("ui/fail/*.rs");
}

#[test]
fn every_form_compiles() {
    trybuild::TestCases::new().pass("ui/pass/*.rs");
}
