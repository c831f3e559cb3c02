//! What `#[on(…)]` and `handlers![…]` accept, and what they say about everything else.
//!
//! `TRYBUILD=overwrite cargo test -p voipbin-receiver-ui` writes the expected messages anew.

#[test]
fn a_mistake_is_reported_once_and_where_it_was_made() {
    trybuild::TestCases::new().compile_fail("fail/*.rs");
}

#[test]
fn every_form_compiles() {
    trybuild::TestCases::new().pass("pass/*.rs");
}
