use voipbin_receiver::resource::Call;
use voipbin_receiver::{Event, handlers, on};

#[on(call_hangup, nmae = "crm")]
async fn in_the_attribute(call: Event<Call>) {
    drop(call);
}

#[on(CallHangup, CallHangup)]
fn in_both<T>(call: &Event<Call>) {
    let _ = call;
}

fn main() {
    let _ = handlers![in_the_attribute, in_both];
}
