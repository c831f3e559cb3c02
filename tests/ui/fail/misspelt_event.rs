use voipbin_receiver::resource::Call;
use voipbin_receiver::{Event, handlers, on};

#[on(CallHangpu)]
async fn handler(call: Event<Call>) {
    drop(call);
}

fn main() {
    let _ = handlers![handler];
}
