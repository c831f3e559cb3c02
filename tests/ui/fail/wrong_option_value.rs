use voipbin_receiver::resource::Call;
use voipbin_receiver::{Event, handlers, on};

#[on(CallHangup, name = 5)]
async fn number(call: Event<Call>) {
    drop(call);
}

#[on(CallHangup, name = "")]
async fn empty(call: Event<Call>) {
    drop(call);
}

#[on(CallHangup, name)]
async fn missing(call: Event<Call>) {
    drop(call);
}

#[on(CallHangup, blocking = true)]
fn flag(call: Event<Call>) {
    drop(call);
}

#[on(CallHangup, name = "crm", name = "bill")]
async fn twice(call: Event<Call>) {
    drop(call);
}

fn main() {
    let _ = handlers![number, empty, missing, flag, twice];
}
