use voipbin_receiver::resource::Call;
use voipbin_receiver::{Event, handlers, on};

#[on(CallHangup)]
fn handler(call: Event<Call>) -> impl Future<Output = ()> {
    drop(call);
    async {}
}

fn main() {
    let _ = handlers![handler];
}
