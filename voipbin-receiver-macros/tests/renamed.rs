//! The macros find the receiver under whatever name it has in the user's manifest.

use renamed_receiver::resource::Call;
use renamed_receiver::{Context, Event, State, handlers, on};

#[on(CallHangup)]
async fn one(call: Event<Call>, _: State<u8>) -> Result<(), std::io::Error> {
    drop(call);
    Ok(())
}

#[on(any(Call), "number_renewed", custom, blocking)]
fn several(context: Context) {
    drop(context);
}

#[on(fallback)]
async fn rest() {}

#[on(any)]
async fn all() {}

#[test]
fn the_receiver_is_found_under_another_name() {
    assert_eq!(handlers![one, several, rest, all].len(), 4);
}
