use voipbin_receiver::resource::Call;
use voipbin_receiver::{Event, handlers, on};

#[on(CallHangup)]
async fn handler(call: Event<Call>) -> bool {
    drop(call);
    true
}

fn main() {
    let _ = handlers![handler];
}
