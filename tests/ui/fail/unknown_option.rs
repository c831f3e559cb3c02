use voipbin_receiver::resource::Call;
use voipbin_receiver::{Event, handlers, on};

#[on(CallHangup, nmae = "crm")]
async fn near(call: Event<Call>) {
    drop(call);
}

#[on(CallHangup, colour = "red")]
async fn far(call: Event<Call>) {
    drop(call);
}

fn main() {
    let _ = handlers![near, far];
}
