//! The client of the platform, against a stand-in of it.
//!
//! With `VOIPBIN_TEST_CREDENTIAL=FILE`, a file with an access key of an account that nothing
//! depends on, the tests in `account` run against that account at VoIPBIN instead;
//! `cargo test -p voipbin-receiver-tests --test http platform::account`. They put back what they
//! change. Nothing sets it by itself.

mod account;
mod failures;
mod history;
mod probe;
mod unkind;

pub(crate) use support::api as builder;
use support::platform;
use voipbin_receiver::platform::Platform;

/// A URI that nothing resolves: only ever stored.
const HOOK: &str = "https://hooks.example.com/voipbin/webhook";

pub(crate) fn client(stand_in: &platform::Platform) -> Platform {
    builder(stand_in).build().unwrap()
}
